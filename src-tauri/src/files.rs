//! Files from outside: named at the start, by a second start, or opened from the desktop. The page
//! is told once it listens.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Emitter, Manager, Url};

use crate::window;

/// Files the page has not been told of.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    listens: bool,
    paths: Vec<PathBuf>,
}

/// The files among the arguments of a start in `folder`. Desktops name files by path or by address.
pub(crate) fn named(arguments: &[String], folder: &Path) -> Vec<PathBuf> {
    let path = |argument: &String| match Url::parse(argument) {
        Ok(address) if address.scheme() == "file" => address.to_file_path().ok(),
        _ => Some(folder.join(argument)),
    };
    let files = arguments.iter().skip(1);
    files
        .filter(|argument| !argument.is_empty() && !argument.starts_with('-'))
        .filter_map(path)
        .collect()
}

/// Tells the page of `paths`, now or when it listens.
pub(crate) fn deliver(app: &AppHandle, paths: Vec<PathBuf>) {
    change(app, |waiting| waiting.paths.extend(paths));
}

/// The page listens.
pub(crate) fn page_listens(app: &AppHandle) {
    change(app, |waiting| waiting.listens = true);
}

/// A page that is loaded anew does not listen yet.
pub(crate) fn page_loads(app: &AppHandle, event: PageLoadEvent) {
    if event == PageLoadEvent::Started {
        change(app, |waiting| waiting.listens = false);
    }
}

fn change(app: &AppHandle, change: impl FnOnce(&mut Waiting)) {
    let inbox = app.state::<Inbox>();
    let paths = {
        let mut waiting = inbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        if !waiting.listens || waiting.paths.is_empty() {
            return;
        }
        std::mem::take(&mut waiting.paths)
    };
    if let Err(error) = app.emit_to(window::LABEL, "open-files", paths) {
        tracing::error!("the page cannot be told of files: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_path_or_address_and_options_are_not_files() {
        let arguments = [
            "attune-desktop",
            "--verbose",
            "orders.csv",
            "",
            "/data/a b.jsonl",
            "file:///data/%C3%BCber%20uns.csv",
            "c:odd.csv",
        ]
        .map(String::from);
        let expected = [
            "/home/ada/orders.csv",
            "/data/a b.jsonl",
            "/data/über uns.csv",
            "/home/ada/c:odd.csv",
        ];
        assert_eq!(
            named(&arguments, Path::new("/home/ada")),
            expected.map(PathBuf::from)
        );
    }
}
