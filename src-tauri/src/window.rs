//! The window: how it is made, and where it was last time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use attune_studio::Studio;
use attune_studio::api::{Appearance, Control, PreferencesRequest, Session, preferences};
use serde::{Deserialize, Serialize};
use tauri::webview::NewWindowResponse;
use tauri::window::Color;
use tauri::{
    App, AppHandle, Manager, Monitor, Theme, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder,
};

/// The only window.
pub(crate) const LABEL: &str = "main";

const SMALLEST: (f64, f64) = (960.0, 640.0);

/// Where a window stands, in logical pixels of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Frame {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    maximized: bool,
}

impl Frame {
    /// Whether enough of its top edge lies on the monitor to take hold of it.
    fn reachable(&self, monitor: &Monitor) -> bool {
        let scale = monitor.scale_factor();
        let place = monitor.position().to_logical::<f64>(scale);
        let size = monitor.size().to_logical::<f64>(scale);
        self.overlaps((place.x, place.y), (size.width, size.height))
    }

    fn overlaps(&self, place: (f64, f64), size: (f64, f64)) -> bool {
        const HANDLE: f64 = 100.0;
        let across = (self.x + self.width).min(place.0 + size.0) - self.x.max(place.0);
        across >= HANDLE && self.y >= place.1 - 1.0 && self.y <= place.1 + size.1 - HANDLE
    }
}

/// Where the window is, kept in a small file.
#[derive(Debug)]
pub(crate) struct Place {
    file: PathBuf,
    now: Mutex<(Option<Frame>, f64)>,
}

impl Place {
    /// What was kept in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let file = home.join("window").join("place.json");
        let kept = fs::read(&file).ok();
        let frame = kept.and_then(|text| serde_json::from_slice(&text).ok());
        Self {
            file,
            now: Mutex::new((frame, 1.0)),
        }
    }

    fn update<T>(&self, change: impl FnOnce(&mut (Option<Frame>, f64)) -> T) -> T {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whole or not at all; a place that cannot be kept is not worth a word.
    fn keep(&self) -> Option<()> {
        let frame = self.update(|now| now.0)?;
        let text = serde_json::to_vec_pretty(&frame).ok()?;
        write_whole(&self.file, &text)
    }
}

/// Writes a small file whole or not at all.
pub(crate) fn write_whole(file: &Path, text: &[u8]) -> Option<()> {
    fs::create_dir_all(file.parent()?).ok()?;
    let fresh = file.with_extension("new");
    fs::write(&fresh, text).ok()?;
    fs::rename(&fresh, file).ok()
}

/// Opens the window where it was, if that place still exists.
pub(crate) fn open(app: &App, home: &Path) -> tauri::Result<WebviewWindow> {
    let monitors = app.available_monitors().unwrap_or_default();
    let frame = app
        .state::<Place>()
        .update(|now| now.0)
        .filter(|frame| monitors.iter().any(|monitor| frame.reachable(monitor)));
    let mut builder = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title("Attune")
        .min_inner_size(SMALLEST.0, SMALLEST.1)
        .inner_size(1180.0, 760.0)
        .data_directory(home.join("window"))
        .on_navigation(|address| is_ours(address, tauri::is_dev()))
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .visible(false);
    if let Some(frame) = frame {
        builder = builder
            .inner_size(frame.width.max(SMALLEST.0), frame.height.max(SMALLEST.1))
            .position(frame.x, frame.y)
            .maximized(frame.maximized);
    } else {
        builder = builder.center();
    }
    #[cfg(target_os = "macos")]
    {
        builder = builder
            .title_bar_style(tauri::TitleBarStyle::Overlay)
            .hidden_title(true);
    }
    let window = builder.build()?;
    // Before the page has painted, the window shows the page's own colour.
    let dark = match appearance(app) {
        Appearance::System => matches!(window.theme(), Ok(Theme::Dark)),
        Appearance::Light => false,
        Appearance::Dark => true,
    };
    window.set_background_color(Some(if dark { DARK } else { LIGHT }))?;
    window.show()?;
    Ok(window)
}

/// `canvas` of the page, in both themes.
const LIGHT: Color = Color(244, 242, 238, 255);
const DARK: Color = Color(19, 18, 17, 255);

fn appearance(app: &App) -> Appearance {
    let studio = app.state::<std::sync::Arc<Studio>>();
    let control = Control::default();
    let mut ignore = |_| {};
    let mut session = Session::new(&mut ignore, &control);
    preferences(&studio, PreferencesRequest {}, &mut session)
        .map(|preferences| preferences.appearance)
        .unwrap_or_default()
}

/// The page never leaves the program's own files.
fn is_ours(address: &Url, development: bool) -> bool {
    match (address.scheme(), address.host_str()) {
        ("tauri", Some("localhost")) | ("http" | "https", Some("tauri.localhost")) => true,
        ("http", Some("localhost")) => development && address.port() == Some(1420),
        _ => false,
    }
}

/// Notes where the window is now.
pub(crate) fn remember(app: &AppHandle) {
    let Some(window) = app.get_webview_window(LABEL) else {
        return;
    };
    let Some(found) = frame_of(&window) else {
        return;
    };
    app.state::<Place>().update(|now| match &mut now.0 {
        // What a maximised window covers is no place to return to.
        Some(frame) if found.maximized => frame.maximized = true,
        frame => *frame = Some(found),
    });
}

fn frame_of(window: &WebviewWindow) -> Option<Frame> {
    if window.is_minimized().ok()? || window.is_fullscreen().ok()? || !window.is_visible().ok()? {
        return None;
    }
    let scale = window.scale_factor().ok()?;
    let place = window.outer_position().ok()?.to_logical::<f64>(scale);
    let size = window.inner_size().ok()?.to_logical::<f64>(scale);
    Some(Frame {
        x: place.x,
        y: place.y,
        width: size.width,
        height: size.height,
        maximized: window.is_maximized().ok()?,
    })
}

/// Keeps where the window was.
pub(crate) fn keep_place(app: &AppHandle) {
    app.state::<Place>().keep();
}

/// Brings the window to the front.
pub(crate) fn show(app: &AppHandle) {
    let Some(window) = app.get_webview_window(LABEL) else {
        return;
    };
    let shown = window
        .show()
        .and_then(|()| window.unminimize())
        .and_then(|()| window.set_focus());
    if let Err(error) = shown {
        tracing::error!("the window cannot be shown: {error}");
    }
}

/// Makes everything larger or smaller by `factor`, or as it was.
pub(crate) fn zoom(app: &AppHandle, factor: Option<f64>) {
    let Some(window) = app.get_webview_window(LABEL) else {
        return;
    };
    let zoom = app.state::<Place>().update(|now| {
        now.1 = factor.map_or(1.0, |factor| (now.1 * factor).clamp(0.5, 3.0));
        now.1
    });
    if let Err(error) = window.set_zoom(zoom) {
        tracing::error!("the page cannot be made larger or smaller: {error}");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn frame(x: f64, y: f64) -> Frame {
        Frame {
            x,
            y,
            width: 1180.0,
            height: 760.0,
            maximized: false,
        }
    }

    /// A monitor that was unplugged must not take the window with it.
    #[test]
    fn a_place_off_the_screen_is_not_returned_to() {
        let screen = ((0.0, 0.0), (1280.0, 800.0));
        let reachable = |x, y| frame(x, y).overlaps(screen.0, screen.1);
        assert!(reachable(0.0, 0.0) && reachable(-1000.0, 20.0) && reachable(1100.0, 600.0));
        assert!(!reachable(1280.0, 0.0) && !reachable(-1100.0, 0.0));
        assert!(!reachable(0.0, 790.0) && !reachable(0.0, -40.0));
    }

    #[test]
    fn the_place_is_kept_and_an_unreadable_one_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(home.path());
        assert_eq!(place.keep(), None);
        place.update(|now| now.0 = Some(frame(12.0, 34.0)));
        place.keep().unwrap();
        let again = Place::new(home.path());
        assert_eq!(again.update(|now| now.0), Some(frame(12.0, 34.0)));
        fs::write(&place.file, "{").unwrap();
        assert_eq!(Place::new(home.path()).update(|now| now.0), None);
    }

    #[test]
    fn the_page_stays_at_home() {
        let goes = |address: &str, development| is_ours(&Url::parse(address).unwrap(), development);
        assert!(goes("tauri://localhost/index.html#/home", false));
        assert!(goes("http://localhost:1420/", true) && !goes("http://localhost:1420/", false));
        for address in [
            "https://example.org",
            "file:///etc/passwd",
            "http://localhost:8080",
            "data:text/html,x",
        ] {
            assert!(!goes(address, true), "{address}");
        }
    }
}
