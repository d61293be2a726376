//! What happens before there is a window.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use tauri::Wry;
use tauri::plugin::TauriPlugin;

use crate::{files, window};

const HELP: &str = "\
Attune tunes language models on this machine.

usage: attune-desktop [FILE…]

Opens the window; files are imported. `attune` is the same program for the terminal.
ATTUNE_HOME names another folder to keep everything in, RUST_LOG how much is logged.
";

/// What libraries report goes to stderr; `RUST_LOG` says how much.
pub(crate) fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}

/// Answers `--help` and `--version`, which need no display.
pub(crate) fn answer() -> Option<ExitCode> {
    let text = match env::args().nth(1)?.as_str() {
        "--help" | "-h" => HELP.to_owned(),
        "--version" | "-V" => format!("attune-desktop {}\n", env!("CARGO_PKG_VERSION")),
        _ => return None,
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    Some(written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

/// Says why there is no window.
pub(crate) fn refuse(refusal: &(dyn Error + 'static)) -> ExitCode {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "error: {refusal}");
    if let Some(remedy) = refusal
        .downcast_ref::<attune_studio::Error>()
        .and_then(|error| error.remedy.as_deref())
    {
        let _ = writeln!(std::io::stderr(), "hint: {remedy}");
    }
    ExitCode::FAILURE
}

/// GTK would panic without a display.
pub(crate) fn need_display() -> Result<(), attune_studio::Error> {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY") {
        return Ok(());
    }
    Err(
        attune_studio::Error::new("no-display", "there is no display to open a window on")
            .with_remedy("Use `attune`, the same program for the terminal."),
    )
}

/// Settles the language that WebKitGTK takes from the environment, before anything reads it.
pub(crate) fn prepare() {
    // It makes a language `C` of the locale of containers and servers, and then pages that sort or
    // print numbers break. Of plain `C` it makes English; files keep their UTF-8 names.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    if locale.is_some_and(|locale| locale.starts_with("C.")) {
        set("LC_ALL", OsStr::new("C"));
    }
}

pub(crate) fn set(name: &str, value: &OsStr) {
    // SAFETY: `main` calls this before it starts a thread.
    unsafe { env::set_var(name, value) };
}

#[cfg(target_os = "linux")]
pub(crate) fn unset(name: &str) {
    // SAFETY: as above.
    unsafe { env::remove_var(name) };
}

/// A second start on the same home folder hands its files to the first, and ends.
pub(crate) fn single_instance(home: &Path) -> TauriPlugin<Wry> {
    let mut hasher = DefaultHasher::new();
    home.hash(&mut hasher);
    tauri_plugin_single_instance::Builder::new()
        .dbus_id(format!("org.attune.studio.home{:016x}", hasher.finish()))
        .callback(|app, arguments, folder| {
            files::deliver(app, files::named(&arguments, Path::new(&folder)));
            window::show(app);
        })
        .build()
}
