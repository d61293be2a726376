//! What the desktop does for the page: notifications, the clipboard, the file manager.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use attune_studio::Error;
use tauri::AppHandle;

/// The clipboard. On Linux what was copied lives as long as this does.
#[derive(Default)]
pub(crate) struct Clipboard(Mutex<Option<arboard::Clipboard>>);

impl Clipboard {
    pub(crate) fn set(&self, text: String) -> Result<(), Error> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clipboard = match opened.take() {
            Some(clipboard) => Ok(clipboard),
            None => arboard::Clipboard::new(),
        };
        clipboard
            .and_then(|clipboard| opened.insert(clipboard).set_text(text))
            .map_err(|source| {
                Error::new("clipboard", format!("the clipboard refused: {source}"))
                    .with_remedy("Select the text and copy it by hand.")
            })
    }
}

/// Shows `path` in the file manager.
pub(crate) fn reveal(path: &Path) -> Result<(), Error> {
    if let Err(source) = path.metadata() {
        return Err(Error::file("show", path, &source));
    }
    tauri_plugin_opener::reveal_item_in_dir(path).map_err(|source| {
        Error::new(
            "file-manager",
            format!("no file manager answered: {source}"),
        )
        .with_remedy("Open the folder by hand.")
        .with_place(path.display().to_string())
    })
}

/// Tells the desktop something; choosing it brings the window to the front. A desktop that shows no
/// notifications is no error: the window says the same.
pub(crate) fn notify(app: &AppHandle, title: String, body: String) {
    let app = app.clone();
    // Waits for the person, perhaps for ever, so that no thread of a pool may be taken.
    let told = std::thread::Builder::new()
        .name("notification".to_owned())
        .spawn(move || show(&app, &title, &body));
    if let Err(error) = told {
        tracing::warn!("no notification: {error}");
    }
}

fn show(app: &AppHandle, title: &str, body: &str) {
    #[cfg(target_os = "macos")]
    let _ = notify_rust::set_application(&app.config().identifier);
    let mut notification = notify_rust::Notification::new();
    notification.appname("Attune").icon("attune-desktop");
    notification.summary(title).body(body);
    #[cfg(target_os = "linux")]
    notification.action("default", "Open");
    match notification.show() {
        #[cfg(target_os = "linux")]
        Ok(shown) => shown.wait_for_action(|action| {
            if action == "default" {
                crate::window::show(app);
            }
        }),
        #[cfg(not(target_os = "linux"))]
        Ok(_) => {}
        Err(error) => tracing::info!("no notification: {error}"),
    }
}
