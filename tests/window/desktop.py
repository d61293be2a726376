"""The desktop around the window: what a person sees and presses outside the page, and stand-ins for
services that a bare screen lacks.

    desktop.py tree               every menu, dialog and button of the program, as JSON
    desktop.py press NAME         presses the button or menu item of that name
    desktop.py drag X Y FILE…     drags files from a window of its own and drops them at X, Y
    desktop.py services FILE      answers for notifications, power and files; writes each call to FILE
"""

import json
import subprocess
import sys
import time

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, Gdk, Gio, GLib, Gtk  # noqa: E402

PROGRAM = "attune-desktop"


def children(thing):
    for number in range(thing.get_child_count()):
        child = thing.get_child_at_index(number)
        if child is not None:
            yield child


def program():
    for application in children(Atspi.get_desktop(0)):
        if application.get_name() == PROGRAM:
            yield application


def everything(thing, depth=0):
    yield thing
    # The page is looked at by WebDriver.
    if depth < 12 and thing.get_role_name() not in ("document web", "scroll pane"):
        for child in children(thing):
            yield from everything(child, depth + 1)


def tree():
    found = []
    for application in program():
        for thing in everything(application):
            states = thing.get_state_set()
            found.append(
                {
                    "role": thing.get_role_name(),
                    "name": thing.get_name(),
                    "showing": states.contains(Atspi.StateType.SHOWING),
                    "enabled": states.contains(Atspi.StateType.SENSITIVE),
                    "keys": keys(thing),
                }
            )
    json.dump(found, sys.stdout, ensure_ascii=False)


def keys(thing):
    action = thing.get_action_iface()
    if action is None or Atspi.Action.get_n_actions(action) == 0:
        return ""
    return Atspi.Action.get_key_binding(action, 0)


def press(name):
    for application in program():
        for thing in everything(application):
            if thing.get_name() == name and thing.get_role_name() in ("push button", "button", "menu item"):
                Atspi.Action.do_action(thing.get_action_iface(), 0)
                return
    sys.exit(f"nothing to press is called {name!r}")


def drag(x, y, files):
    window = Gtk.Window(title="A folder", default_width=120, default_height=60)
    label = Gtk.EventBox()
    label.add(Gtk.Label(label="files"))
    window.add(label)
    label.drag_source_set(Gdk.ModifierType.BUTTON1_MASK, [], Gdk.DragAction.COPY)
    label.drag_source_add_uri_targets()
    # As a file manager does: addresses, percent-encoded.
    addresses = [GLib.filename_to_uri(file, None) for file in files]
    label.connect("drag-data-get", lambda _, __, data, ___, ____: data.set_uris(addresses))
    label.connect("drag-end", lambda *_: Gtk.main_quit())
    window.set_keep_above(True)
    window.move(4, 4)
    window.show_all()

    def pointer(*words):
        subprocess.run(["xdotool", *map(str, words)], check=True)

    def start():
        _, left, top = window.get_window().get_origin()
        moves(left + 60, top + 30)
        return False

    def moves(left, top):
        # The main loop must run between the moves, or the drag never starts.
        steps = [("mousemove", left, top), ("mousedown", 1)]
        steps += [("mousemove", left + (x - left) * n // 15, top + (y - top) * n // 15) for n in range(1, 16)]
        steps += [("mousemove", x + 2, y + 2), ("mouseup", 1)]

        def step():
            pointer(*steps.pop(0))
            return bool(steps)

        GLib.timeout_add(120, step)

    GLib.timeout_add(400, start)
    GLib.timeout_add_seconds(20, lambda: sys.exit("nothing took the files"))
    Gtk.main()


SERVICES = {
    "org.freedesktop.Notifications": """<node><interface name='org.freedesktop.Notifications'>
        <method name='GetCapabilities'><arg type='as' direction='out'/></method>
        <method name='GetServerInformation'><arg type='s' direction='out'/><arg type='s' direction='out'/><arg type='s' direction='out'/><arg type='s' direction='out'/></method>
        <method name='Notify'><arg type='s' direction='in'/><arg type='u' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='as' direction='in'/><arg type='a{sv}' direction='in'/><arg type='i' direction='in'/><arg type='u' direction='out'/></method>
        <method name='CloseNotification'><arg type='u' direction='in'/></method>
        <signal name='ActionInvoked'><arg type='u'/><arg type='s'/></signal>
        </interface></node>""",
    "org.freedesktop.login1": """<node><interface name='org.freedesktop.login1.Manager'>
        <method name='Inhibit'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='h' direction='out'/></method>
        </interface></node>""",
    "org.freedesktop.FileManager1": """<node><interface name='org.freedesktop.FileManager1'>
        <method name='ShowItems'><arg type='as' direction='in'/><arg type='s' direction='in'/></method>
        </interface></node>""",
}

PLACES = {
    "org.freedesktop.Notifications": "/org/freedesktop/Notifications",
    "org.freedesktop.login1": "/org/freedesktop/login1",
    "org.freedesktop.FileManager1": "/org/freedesktop/FileManager1",
}


def services(path):
    import os

    log = open(path, "a", buffering=1, encoding="utf-8")

    def write(**what):
        log.write(json.dumps(what, ensure_ascii=False) + "\n")

    def called(_connection, _sender, _path, _interface, method, arguments, invocation):
        given = arguments.unpack()
        if method == "GetCapabilities":
            return invocation.return_value(GLib.Variant("(as)", (["actions", "body"],)))
        if method == "GetServerInformation":
            return invocation.return_value(GLib.Variant("(ssss)", ("test", "test", "1", "1.2")))
        if method == "Inhibit":
            ours, theirs = os.pipe()
            write(call="awake", what=given[0], who=given[1], why=given[2])
            answers = Gio.UnixFDList.new()
            answers.append(theirs)
            os.close(theirs)
            # The lock lasts until the program closes its end.
            GLib.io_add_watch(ours, GLib.IO_HUP, lambda *_: (write(call="asleep"), os.close(ours), False)[-1])
            return invocation.return_value_with_unix_fd_list(GLib.Variant("(h)", (0,)), answers)
        if method == "Notify":
            write(call="notify", title=given[3], body=given[4])
            return invocation.return_value(GLib.Variant("(u)", (1,)))
        if method == "ShowItems":
            write(call="reveal", items=given[0])
        return invocation.return_value(None)

    def acquired(connection, name):
        information = Gio.DBusNodeInfo.new_for_xml(SERVICES[name]).interfaces[0]
        connection.register_object(PLACES[name], information, called, None, None)

    waiting = set(SERVICES)

    def named(_connection, name):
        waiting.discard(name)
        if not waiting:
            write(call="ready")

    for name in SERVICES:
        Gio.bus_own_name(Gio.BusType.SESSION, name, Gio.BusNameOwnerFlags.NONE, acquired, named, None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tree"]:
            tree()
        case ["press", name]:
            press(name)
        case ["drag", x, y, *files]:
            drag(int(x), int(y), files)
        case ["services", path]:
            services(path)
        case _:
            sys.exit(__doc__)
