//! Names our commands to Tauri, so that none of them can be called without a permission.

use std::path::Path;

use tauri_build::{AppManifest, Attributes};

/// The names, as a test of this package writes them: building `studio` here to ask it would compile
/// all of it twice.
const COMMANDS: &str = include_str!("commands.txt");

fn main() {
    let pages = Path::new("../ui/dist/index.html");
    println!("cargo:rerun-if-changed={}", pages.display());
    let own_place = std::env::var_os("TAURI_CONFIG").is_some();
    assert!(
        pages.exists() || own_place,
        "the window's pages are not built: run `npm ci && npm run build` first, or `make`"
    );
    let commands: Vec<&'static str> = COMMANDS.lines().collect();
    let manifest = AppManifest::new().commands(commands.leak());
    tauri_build::try_build(Attributes::new().app_manifest(manifest))
        .expect("tauri.conf.json, the capabilities and the icons are in order");
}
