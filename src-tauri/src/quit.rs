//! Leaving. A run in progress is a reason to ask, and then to wait for its checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attune_studio::Studio;
use attune_studio::api::{
    Control, Experiment, ExperimentsListRequest, JobKind, JobsListRequest, Session,
    experiments_list, jobs_list,
};
use tauri::{AppHandle, Manager};
use tauri_plugin_dialog::{
    DialogExt, MessageDialogButtons, MessageDialogKind, MessageDialogResult,
};

use crate::calls::{Calls, Work};
use crate::window;

/// How far leaving has come.
#[derive(Debug, Default)]
pub(crate) struct Quit {
    asking: AtomicBool,
    leaving: AtomicBool,
    // The window is hidden and its run goes on.
    hidden: AtomicBool,
}

const PAUSE: &str = "Pause and quit";
const CANCEL_WORK: &str = "Cancel it and quit";
const KEEP: &str = "Keep running";
const STAY: &str = "Cancel";

/// Leaves, after asking if work is in progress. Asked again while it waits, it leaves at once: what
/// is on the disk can be continued.
pub(crate) fn leave(app: &AppHandle) {
    let (quit, calls) = (app.state::<Quit>(), app.state::<Calls>());
    let idle = calls.count(Work::Run) + calls.count(Work::Job) == 0;
    if idle || quit.leaving.load(Ordering::Relaxed) {
        app.exit(0);
    } else if !quit.asking.swap(true, Ordering::Relaxed) {
        let app = app.clone();
        // Reads the library, which the main thread must not wait for.
        std::thread::spawn(move || ask(&app));
    }
}

fn ask(app: &AppHandle) {
    let runs = app.state::<Calls>().count(Work::Run) > 0;
    let (title, first) = if runs {
        ("A run is in progress", PAUSE)
    } else {
        ("Work is in progress", CANCEL_WORK)
    };
    let mut dialog = app
        .dialog()
        .message(question(&app.state::<Arc<Studio>>(), runs))
        .title(title)
        .kind(MessageDialogKind::Warning)
        .buttons(MessageDialogButtons::YesNoCancelCustom(
            first.to_owned(),
            KEEP.to_owned(),
            STAY.to_owned(),
        ));
    if let Some(window) = app.get_webview_window(window::LABEL) {
        dialog = dialog.parent(&window);
    }
    let app = app.clone();
    dialog.show_with_result(move |answer| {
        app.state::<Quit>().asking.store(false, Ordering::Relaxed);
        match answer {
            MessageDialogResult::Yes => pause_and_leave(&app),
            MessageDialogResult::Custom(chosen) if chosen == first => pause_and_leave(&app),
            MessageDialogResult::No => hide(&app),
            MessageDialogResult::Custom(chosen) if chosen == KEEP => hide(&app),
            _ => {}
        }
    });
}

/// What goes on in this process, in a sentence, and what the answers mean.
fn question(studio: &Studio, runs: bool) -> String {
    let control = Control::default();
    let mut ignore = |_| {};
    let mut session = Session::new(&mut ignore, &control);
    let mine = jobs_list(studio, JobsListRequest::default(), &mut session).unwrap_or_default();
    let mine = mine.iter().filter(|job| job.pid == std::process::id());
    if !runs {
        let doing: Vec<_> = mine.filter_map(|job| job.what.clone()).collect();
        return format!(
            "{}\n\nIt would have to be done again. It can also go on with the window closed.",
            doing.join("\n")
        );
    }
    let subjects: Vec<_> = mine
        .filter(|job| job.kind == JobKind::Train)
        .map(|job| job.subject.clone())
        .collect();
    let experiments = experiments_list(studio, ExperimentsListRequest::default(), &mut session)
        .unwrap_or_default();
    let running: Vec<_> = experiments
        .iter()
        .filter(|experiment| subjects.contains(&experiment.id))
        .map(describe)
        .collect();
    format!(
        "{}\n\nA paused run loses nothing and can be continued at any time. It can also go on with the window closed.",
        running.join("\n")
    )
}

fn describe(experiment: &Experiment) -> String {
    match experiment.total_steps {
        Some(total) if experiment.step > 0 => {
            format!("{}: step {} of {total}", experiment.name, experiment.step)
        }
        _ => format!("{} waits for its turn", experiment.name),
    }
}

/// Pauses runs, cancels other work, waits for both, and leaves.
fn pause_and_leave(app: &AppHandle) {
    app.state::<Quit>().leaving.store(true, Ordering::Relaxed);
    let calls = app.state::<Calls>();
    calls.pause_all();
    calls.wait_until_idle();
    app.exit(0);
}

/// Goes on without a window; with nothing left to do and still no window, leaves.
fn hide(app: &AppHandle) {
    let quit = app.state::<Quit>();
    if let Some(window) = app.get_webview_window(window::LABEL)
        && let Err(error) = window.hide()
    {
        tracing::error!("the window cannot be hidden: {error}");
        return;
    }
    if quit.hidden.swap(true, Ordering::Relaxed) {
        return;
    }
    app.state::<Calls>().wait_until_idle();
    quit.hidden.store(false, Ordering::Relaxed);
    let seen = app
        .get_webview_window(window::LABEL)
        .is_some_and(|window| window.is_visible().unwrap_or(true));
    if !seen {
        app.exit(0);
    }
}

/// Ctrl-C in the terminal and the end of the session: there is nobody to ask.
pub(crate) fn on_signals(app: &AppHandle) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let app = app.clone();
            tauri::async_runtime::spawn(async move {
                let Ok(mut signals) = signal(kind) else {
                    return;
                };
                while signals.recv().await.is_some() {
                    if app.state::<Quit>().leaving.load(Ordering::Relaxed) {
                        app.exit(0);
                    }
                    let app = app.clone();
                    std::thread::spawn(move || pause_and_leave(&app));
                }
            });
        }
    }
}
