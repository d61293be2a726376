//! What the page may call: every command of `studio`, and the few things only a window has.

// clippy permits it in tests by itself.
#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_imports,
        reason = "the list names its requests and replies, and grows"
    )
)]

use std::path::PathBuf;
use std::sync::Arc;

use attune_studio::api::*;
use attune_studio::{Error, Studio, for_each_command};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tauri::ipc::{Channel, Invoke};
use tauri::{AppHandle, Manager, State};
use tokio::sync::mpsc;

use crate::awake::Awake;
use crate::calls::{Calls, How, Work};
#[cfg(target_os = "linux")]
use crate::drawing;
use crate::page_menu::{self, PageMenu};
use crate::{desktop, events, files};

type Outcome<T> = Result<T, Error>;

/// Ends a running command of the page early.
#[tauri::command]
fn interrupt(calls: State<'_, Calls>, call: u64, how: How) {
    calls.interrupt(call, how);
}

/// The page listens from now on.
#[tauri::command]
fn ready(app: AppHandle) {
    #[cfg(target_os = "linux")]
    drawing::page_answers(&app);
    files::page_listens(&app);
}

/// Why the window is not drawn in the usual way; null where it is.
#[tauri::command]
fn drawing(app: AppHandle) -> Value {
    #[cfg(target_os = "linux")]
    return drawing::shown(&app);
    #[cfg(not(target_os = "linux"))]
    {
        drop(app);
        Value::Null
    }
}

/// Starts the program anew, drawing the window in the usual way.
#[tauri::command]
fn draw_again(app: AppHandle) -> Outcome<()> {
    #[cfg(target_os = "linux")]
    return drawing::again(&app);
    #[cfg(not(target_os = "linux"))]
    {
        drop(app);
        Ok(())
    }
}

/// Shows the menus of the page. On the main thread, as every command that is not `async`: so the
/// last list that was sent is the one that stays.
#[tauri::command]
fn show_menus(app: AppHandle, menus: Vec<PageMenu>) -> Outcome<()> {
    page_menu::show(&app, menus).map_err(|source| {
        Error::new("menu", format!("the menu cannot be changed: {source}"))
            .with_remedy("Everything in it is also found with the search of the window.")
    })
}

/// Tells the desktop something.
#[tauri::command]
async fn notify(app: AppHandle, title: String, body: String) {
    desktop::notify(&app, title, body);
}

/// Puts text on the clipboard.
#[tauri::command]
async fn copy_text(clipboard: State<'_, desktop::Clipboard>, text: String) -> Outcome<()> {
    clipboard.set(text)
}

/// Shows a file in the file manager.
#[tauri::command]
async fn reveal(path: PathBuf) -> Outcome<()> {
    desktop::reveal(&path)
}

macro_rules! adapters {
    ($($(#[doc = $help:literal])+ $name:ident $variant:ident($request:ty) -> $reply:ty = $($function:ident)::+;)+) => {
        $(
            $(#[doc = $help])+
            #[tauri::command]
            async fn $name(app: AppHandle, arguments: Value, call: u64, events: Channel<Vec<Event>>) -> Outcome<$reply> {
                let request: $request = read(stringify!($name), arguments)?;
                match run(app, Call::$variant(request), call, events).await? {
                    Reply::$variant(reply) => Ok(reply),
                    other => Err(broken(stringify!($name), &format!("it returned {other:?}"))),
                }
            }
        )+

        /// Serves the page.
        pub(crate) fn handler() -> impl Fn(Invoke) -> bool + Send + Sync + 'static {
            tauri::generate_handler![interrupt, ready, drawing, draw_again, show_menus, notify, copy_text, reveal, $($name),+]
        }
    };
}

for_each_command!(adapters);

fn read<T: DeserializeOwned>(command: &str, arguments: Value) -> Outcome<T> {
    serde_json::from_value(arguments).map_err(|source| {
        Error::new(
            "arguments",
            format!("`{command}` was asked wrongly: {source}"),
        )
        .with_remedy("This is a mistake in Attune. Please report it with what you did before.")
    })
}

fn broken(command: &str, how: &str) -> Error {
    Error::new("broken", format!("`{command}` broke inside: {how}")).with_remedy(
        "What was saved is safe. Try again; if it stays, report it with what you did before.",
    )
}

/// Runs one command on a thread of its own. A panic ends the command, not the window.
async fn run(app: AppHandle, call: Call, number: u64, page: Channel<Vec<Event>>) -> Outcome<Reply> {
    let name = call.name();
    let work = Work::of(&call);
    let (sender, reports) = mpsc::unbounded_channel();
    let delivery = tauri::async_runtime::spawn(events::deliver(reports, page));
    let worker = tauri::async_runtime::spawn_blocking(move || {
        let studio = app.state::<Arc<Studio>>();
        let calls = app.state::<Calls>();
        let underway = calls.begin(number, work);
        let chooses = matches!(call, Call::PreferencesSet(_));
        if work == Work::Run {
            app.state::<Awake>().follow(&studio, &calls);
        }
        // Sending fails only when nobody waits any more.
        let mut report = |event| drop(sender.send(event));
        let result = studio.call(call, &mut report, &underway.control);
        drop(underway);
        if work == Work::Run || chooses {
            app.state::<Awake>().follow(&studio, &calls);
        }
        result
    });
    let result = worker.await;
    // The page hears everything a command reported before it hears that it has ended.
    let _ = delivery.await;
    result.unwrap_or_else(|panic| Err(broken(name, &panic.to_string())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::path::Path;

    use attune_studio::api::COMMANDS;
    use serde_json::json;

    use super::*;

    const OWN: [&str; 8] = [
        "interrupt",
        "ready",
        "drawing",
        "draw_again",
        "show_menus",
        "notify",
        "copy_text",
        "reveal",
    ];

    /// What the page needs beside our commands: to hear events, and to choose files.
    const GRANTED: [&str; 4] = [
        "core:event:allow-listen",
        "core:event:allow-unlisten",
        "dialog:allow-open",
        "dialog:allow-save",
    ];

    fn names() -> impl Iterator<Item = &'static str> {
        OWN.into_iter()
            .chain(COMMANDS.iter().map(|command| command.name))
    }

    fn same_as_file(name: &str, wanted: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, wanted).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            wanted,
            "{name} is out of date: `make generated` writes it anew"
        );
    }

    /// The build script refuses what is not in this list, and must not build `studio` to know it.
    #[test]
    fn generated_names_are_those_of_the_command_list() {
        let text: String = names().map(|name| format!("{name}\n")).collect();
        same_as_file("commands.txt", &text);
    }

    #[test]
    fn generated_capability_grants_our_commands_and_little_else() {
        let ours = names().map(|name| format!("allow-{}", name.replace('_', "-")));
        let permissions: Vec<String> = GRANTED.map(String::from).into_iter().chain(ours).collect();
        let capability = json!({
            "identifier": "main",
            "description": "What the page may ask for. Written by `make generated`.",
            "local": true,
            "windows": ["main"],
            "permissions": permissions,
        });
        let text = serde_json::to_string_pretty(&capability).unwrap() + "\n";
        same_as_file("capabilities/main.json", &text);
    }

    #[test]
    fn wrong_arguments_are_a_refusal_in_our_own_words() {
        let refusal = read::<DataShowRequest>("data_show", json!({ "first": "many" })).unwrap_err();
        assert_eq!(refusal.code, "arguments");
        assert!(refusal.message.contains("`data_show`"), "{refusal:?}");
        let defaults: DataShowRequest = read("data_show", json!({ "dataset": "orders" })).unwrap();
        assert_eq!(defaults.dataset, "orders");
    }
}
