//! The native menu. An item's id is that of the page's action, and choosing it does that action.
//! What can be done on every page stands here; [`crate::page_menu`] adds what only one page can.

use tauri::menu::{Menu, MenuBuilder, MenuItemBuilder, Submenu, SubmenuBuilder};
use tauri::{AppHandle, Emitter, Wry};

use crate::{quit, window};

/// Items of the window itself, which the page knows nothing of.
const QUIT: &str = "window.quit";
const LARGER: &str = "window.larger";
const SMALLER: &str = "window.smaller";
const ACTUAL_SIZE: &str = "window.actual_size";

/// An item: id, title, keys. An empty id is a line between items.
type Item = (&'static str, &'static str, &'static str);

const LINE: Item = ("", "", "");

const FILE: &[Item] = &[
    ("experiment.new", "New experiment", "Mod+N"),
    ("data.import", "Import data…", "Mod+O"),
];

const VIEW: &[Item] = &[
    ("palette.open", "Search…", "Mod+K"),
    ("sidebar.toggle", "Sidebar", "Mod+B"),
    LINE,
    ("theme.toggle", "Light or dark", ""),
    ("theme.system", "Theme of the desktop", ""),
    LINE,
    (LARGER, "Larger", "Mod+="),
    (SMALLER, "Smaller", "Mod+-"),
    (ACTUAL_SIZE, "Actual size", "Mod+0"),
];

const GO: &[Item] = &[
    ("go.back", "Back", "Mod+["),
    ("go.forward", "Forward", "Mod+]"),
    LINE,
    ("go.home", "Home", "Mod+1"),
    ("go.datasets", "Datasets", "Mod+2"),
    ("go.models", "Models", "Mod+3"),
    ("go.experiments", "Experiments", "Mod+4"),
    ("go.chat", "Chat", "Mod+5"),
];

const SETTINGS: &[Item] = &[("go.settings", "Settings…", "Mod+,")];

const LEAVE: &[Item] = &[(QUIT, "Quit Attune", "Mod+Q")];

/// Builds the menu of the platform.
pub(crate) fn build(app: &AppHandle) -> tauri::Result<Menu<Wry>> {
    let mac = cfg!(target_os = "macos");
    let file: &[&[Item]] = if mac {
        &[FILE]
    } else {
        &[FILE, SETTINGS, LEAVE]
    };
    let mut menu = MenuBuilder::new(app);
    if mac {
        menu = menu.item(&program(app)?);
    }
    menu = menu.item(&submenu(app, "File", file)?);
    if mac {
        menu = menu.item(&edit(app)?);
    }
    menu = menu
        .item(&submenu(app, "View", &[VIEW])?)
        .item(&submenu(app, "Go", &[GO])?);
    if mac {
        menu = menu.item(&windows(app)?);
    }
    menu.build()
}

fn program(app: &AppHandle) -> tauri::Result<Submenu<Wry>> {
    let mut menu = SubmenuBuilder::new(app, "Attune").about(None).separator();
    menu = add(app, menu, SETTINGS)?
        .separator()
        .services()
        .separator()
        .hide()
        .hide_others()
        .show_all()
        .separator();
    add(app, menu, LEAVE)?.build()
}

/// Without these items a Mac has no keys for them either; elsewhere the page has its own.
fn edit(app: &AppHandle) -> tauri::Result<Submenu<Wry>> {
    SubmenuBuilder::new(app, "Edit")
        .undo()
        .redo()
        .separator()
        .cut()
        .copy()
        .paste()
        .select_all()
        .build()
}

fn windows(app: &AppHandle) -> tauri::Result<Submenu<Wry>> {
    SubmenuBuilder::new(app, "Window")
        .minimize()
        .maximize()
        .fullscreen()
        .build()
}

/// A menu of groups with lines between them.
fn submenu(app: &AppHandle, title: &str, groups: &[&[Item]]) -> tauri::Result<Submenu<Wry>> {
    let mut menu = SubmenuBuilder::new(app, title);
    for (number, group) in groups.iter().enumerate() {
        if number > 0 {
            menu = menu.separator();
        }
        menu = add(app, menu, group)?;
    }
    menu.build()
}

fn add<'m>(
    app: &AppHandle,
    mut menu: SubmenuBuilder<'m, Wry, AppHandle>,
    items: &[Item],
) -> tauri::Result<SubmenuBuilder<'m, Wry, AppHandle>> {
    for &(id, title, keys) in items {
        if id.is_empty() {
            menu = menu.separator();
            continue;
        }
        let mut item = MenuItemBuilder::with_id(id, title);
        if !keys.is_empty() {
            item = item.accelerator(accelerator(keys));
        }
        menu = menu.item(&item.build(app)?);
    }
    Ok(menu)
}

/// The page's keys in the menu's words. The menu takes them before the page hears of them, and has
/// the page do the action; where it leaves them to the page, the page does it by itself.
pub(crate) fn accelerator(keys: &str) -> String {
    keys.replace("Mod", "CmdOrCtrl")
}

/// Does what was chosen, or has the page do it.
pub(crate) fn chosen(app: &AppHandle, id: &str) {
    match id {
        QUIT => quit::leave(app),
        LARGER => window::zoom(app, Some(1.1)),
        SMALLER => window::zoom(app, Some(1.0 / 1.1)),
        ACTUAL_SIZE => window::zoom(app, None),
        id => {
            if let Err(error) = app.emit_to(window::LABEL, "menu", id) {
                tracing::error!("the page cannot be told of the menu: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// `id: 'go.home', … shortcut: 'Mod+1'` of every action in the page's source.
    fn actions(folder: &Path, found: &mut HashMap<String, String>) {
        let quoted = |text: &str, after: &str| {
            let text = text.split_once(after)?.1;
            Some(text.split_once('\'')?.0.to_owned())
        };
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                actions(&path, found);
                continue;
            }
            if path.to_string_lossy().ends_with(".test.ts") {
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            for line in text.lines() {
                if let (Some(id), true) = (quoted(line, "id: '"), line.contains("title:")) {
                    found.insert(id, quoted(line, "shortcut: '").unwrap_or_default());
                }
            }
        }
    }

    /// The page defines an action once; what the menu repeats must be the same.
    #[test]
    fn each_item_is_an_action_of_the_page_with_the_same_keys() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src");
        let mut known = HashMap::new();
        actions(&page, &mut known);
        assert!(known.len() > 10, "{known:?}");
        for (id, title, keys) in [FILE, VIEW, GO, SETTINGS, LEAVE].concat() {
            // Which of two items with the same keys is done would be left to chance.
            let other = (known.iter()).find(|(other, theirs)| **other != id && *theirs == keys);
            assert!(keys.is_empty() || other.is_none(), "{title}: {other:?}");
            if id.is_empty() || id.starts_with("window.") {
                continue;
            }
            let wanted = known.get(id);
            assert_eq!(wanted.map(String::as_str), Some(keys), "{title}: {id}");
        }
    }
}
