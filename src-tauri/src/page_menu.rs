//! The menus of the page that is open. They come and go with it, beside the fixed ones of
//! [`crate::menu`]; what is in them, the page says.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tauri::menu::{Menu, MenuItem, Submenu, SubmenuBuilder};
use tauri::{AppHandle, Manager, Wry};

use crate::menu::accelerator;

/// A menu, as the page asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct PageMenu {
    title: String,
    /// With lines between them.
    sections: Vec<Vec<PageItem>>,
}

/// An item of it. Its id is that of the page's action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PageItem {
    id: String,
    title: String,
    shortcut: Option<String>,
    enabled: bool,
}

impl PageMenu {
    fn items(&self) -> impl Iterator<Item = &PageItem> {
        self.sections.iter().flatten()
    }

    /// Whether one can become the other while it is open.
    fn has_places_of(&self, other: &Self) -> bool {
        let same = |one: &Vec<PageItem>, other: &Vec<PageItem>| {
            one.iter()
                .map(|item| &item.id)
                .eq(other.iter().map(|item| &item.id))
        };
        self.title == other.title
            && self.sections.len() == other.sections.len()
            && (self.sections.iter().zip(&other.sections)).all(|(one, other)| same(one, other))
    }
}

impl PageItem {
    fn accelerator(&self) -> Option<String> {
        self.shortcut.as_deref().map(accelerator)
    }
}

/// A single `&` would underline the letter behind it.
fn literal(title: &str) -> String {
    title.replace('&', "&&")
}

struct Shown {
    what: PageMenu,
    menu: Submenu<Wry>,
    /// Those of all sections.
    items: Vec<MenuItem<Wry>>,
}

impl Shown {
    fn build(app: &AppHandle, what: PageMenu) -> tauri::Result<Self> {
        let mut menu = SubmenuBuilder::new(app, literal(&what.title));
        let mut items = Vec::new();
        for (number, section) in what.sections.iter().enumerate() {
            if number > 0 {
                menu = menu.separator();
            }
            for item in section {
                let built = MenuItem::with_id(
                    app,
                    &item.id,
                    literal(&item.title),
                    item.enabled,
                    item.accelerator(),
                )?;
                menu = menu.item(&built);
                items.push(built);
            }
        }
        let menu = menu.build()?;
        Ok(Self { what, menu, items })
    }

    /// Becomes `what`, which has the same places.
    fn change(&mut self, what: PageMenu) -> tauri::Result<()> {
        for ((item, before), now) in self.items.iter().zip(self.what.items()).zip(what.items()) {
            if before.title != now.title {
                item.set_text(literal(&now.title))?;
            }
            if before.shortcut != now.shortcut {
                item.set_accelerator(now.accelerator())?;
            }
            if before.enabled != now.enabled {
                item.set_enabled(now.enabled)?;
            }
        }
        self.what = what;
        Ok(())
    }
}

/// The menus that are shown for the page.
#[derive(Default)]
pub(crate) struct PageMenus(Mutex<Vec<Shown>>);

/// Shows `wanted` in place of what was shown. Called by the main thread, or two lists could mix.
pub(crate) fn show(app: &AppHandle, wanted: Vec<PageMenu>) -> tauri::Result<()> {
    let Some(bar) = app.menu() else {
        return Ok(());
    };
    let state = app.state::<PageMenus>();
    let mut shown = state.0.lock().unwrap_or_else(PoisonError::into_inner);
    let same_places = shown.len() == wanted.len()
        && (shown.iter().zip(&wanted)).all(|(shown, wanted)| shown.what.has_places_of(wanted));
    if same_places {
        // Somebody may look at it: a menu that is built anew closes.
        return (shown.iter_mut().zip(wanted)).try_for_each(|(shown, what)| shown.change(what));
    }
    while let Some(gone) = shown.pop() {
        bar.remove(&gone.menu)?;
    }
    let first = behind_the_last(&bar)?;
    for (number, what) in wanted.into_iter().enumerate() {
        let new = Shown::build(app, what)?;
        bar.insert(&new.menu, first + number)?;
        shown.push(new);
    }
    Ok(())
}

/// Behind the fixed menus none of them moves. On a Mac the menu of the windows is the last.
fn behind_the_last(bar: &Menu<Wry>) -> tauri::Result<usize> {
    let fixed = bar.items()?.len();
    Ok(fixed.saturating_sub(usize::from(cfg!(target_os = "macos"))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn menu(title: &str, sections: &[&[&str]]) -> PageMenu {
        let item = |id| json!({ "id": id, "title": format!("Do {id}"), "shortcut": null, "enabled": true });
        let sections: Vec<Vec<_>> = sections
            .iter()
            .map(|ids| ids.iter().map(item).collect())
            .collect();
        serde_json::from_value(json!({ "title": title, "sections": sections })).unwrap()
    }

    /// What changes while a menu is open is changed in it; the menu is built anew only for others.
    #[test]
    fn words_keys_and_states_change_in_place() {
        let before = menu(
            "Experiment",
            &[&["run.pause", "run.stop"], &["run.charts.log"]],
        );
        let mut now = before.clone();
        now.sections[0][0].title = "Continue".into();
        now.sections[0][1].enabled = false;
        now.sections[1][0].shortcut = Some("Mod+L".into());
        assert!(before.has_places_of(&now));
        for other in [
            menu("Chat", &[&["run.pause", "run.stop"], &["run.charts.log"]]),
            menu(
                "Experiment",
                &[&["run.pause", "run.stop", "run.charts.log"]],
            ),
            menu(
                "Experiment",
                &[&["run.stop", "run.pause"], &["run.charts.log"]],
            ),
            menu("Experiment", &[&["run.pause"], &["run.charts.log"]]),
        ] {
            assert!(!before.has_places_of(&other), "{other:?}");
        }
    }

    #[test]
    fn what_the_page_sends_is_understood() {
        let sent = json!({ "id": "chat.new", "title": "Tom & Co", "shortcut": "Mod+Shift+O", "enabled": false });
        let item: PageItem = serde_json::from_value(sent).unwrap();
        assert_eq!(item.accelerator().as_deref(), Some("CmdOrCtrl+Shift+O"));
        assert_eq!(literal(&item.title), "Tom && Co");
    }
}
