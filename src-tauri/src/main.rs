//! `attune-desktop`, the desktop host: a window, and what the system does for it. Every command of
//! [`attune_studio::api`] is served to the page as it is; nothing is decided here that the terminal
//! host would have to decide again.

// No console window beside the real one, should anyone build this on Windows.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod awake;
mod calls;
mod commands;
mod desktop;
#[cfg(target_os = "linux")]
mod drawing;
mod events;
mod files;
#[cfg(target_os = "linux")]
mod graphics;
mod menu;
mod page_menu;
mod quit;
mod start;
mod window;

use std::process::ExitCode;
use std::sync::Arc;

use attune_studio::Studio;
use attune_studio::api::{Allocator, Budgeted};
use tauri::{App, Manager, RunEvent, WindowEvent};

use awake::Awake;
use calls::Calls;
use desktop::Clipboard;
use files::Inbox;
use page_menu::PageMenus;
use quit::Quit;

#[global_allocator]
static ALLOCATOR: Budgeted<Allocator> = Budgeted(Allocator);

fn main() -> ExitCode {
    start::log();
    if let Some(said) = start::answer() {
        return said;
    }
    start::prepare();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => start::refuse(refusal.as_ref()),
    }
}

#[expect(clippy::exit, reason = "in what Tauri generates")]
fn run() -> Result<(), Box<dyn std::error::Error>> {
    let studio = Arc::new(Studio::open()?);
    let home = studio.folder().to_owned();
    // Before the first thread: it sets the environment.
    #[cfg(target_os = "linux")]
    let drawing = Arc::new(drawing::Drawing::begin(&home));
    attune_studio::compute_in_background();
    start::need_display()?;
    // First: a second start must end before it does anything else.
    let builder = tauri::Builder::default()
        .plugin(start::single_instance(&home))
        .plugin(tauri_plugin_dialog::init())
        .manage(studio)
        .manage(Calls::default())
        .manage(Awake::default())
        .manage(Inbox::default())
        .manage(Clipboard::default())
        .manage(PageMenus::default())
        .manage(Quit::default())
        .manage(window::Place::new(&home));
    #[cfg(target_os = "linux")]
    let builder = builder.manage(drawing);
    let app = builder
        .menu(menu::build)
        .on_menu_event(|app, event| menu::chosen(app, event.id().as_ref()))
        .on_page_load(|webview, payload| files::page_loads(webview.app_handle(), payload.event()))
        .invoke_handler(commands::handler())
        .setup(move |app| set_up(app, &home))
        .build(tauri::generate_context!())?;
    app.run(|app, event| match event {
        RunEvent::WindowEvent { label, event, .. } if label == window::LABEL => match event {
            WindowEvent::CloseRequested { api, .. } => {
                api.prevent_close();
                quit::leave(app);
            }
            WindowEvent::Moved(_) | WindowEvent::Resized(_) => window::remember(app),
            _ => {}
        },
        RunEvent::Exit => window::keep_place(app),
        #[cfg(target_os = "macos")]
        RunEvent::Opened { urls } => {
            let paths = urls.iter().filter_map(|url| url.to_file_path().ok());
            files::deliver(app, paths.collect());
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::show(app),
        _ => {}
    });
    Ok(())
}

fn set_up(app: &App, home: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::current_dir().unwrap_or_default();
    let given: Vec<String> = std::env::args().collect();
    files::deliver(app.handle(), files::named(&given, &folder));
    // WebKit may open a driver, and end the program, while the window is made.
    #[cfg(target_os = "linux")]
    let guard = drawing::guard(app.handle());
    let window = window::open(app, home)?;
    #[cfg(target_os = "linux")]
    drawing::watch(app.handle(), &window, guard)?;
    #[cfg(not(target_os = "linux"))]
    drop(window);
    quit::on_signals(app.handle());
    Ok(())
}
