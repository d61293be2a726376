//! Whether the window shows its page.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gtk::cairo::{Context, Format, ImageSurface};
use gtk::gdk::WindowState;
use gtk::glib::{ControlFlow, timeout_add_local};
use gtk::prelude::*;
use tauri::{AppHandle, Manager, WebviewWindow};
use tauri_plugin_dialog::{DialogExt, MessageDialogKind};
use webkit2gtk::{WebProcessTerminationReason, WebView, WebViewExt};

use super::crash::Guard;
use super::{Drawing, Trouble};
use crate::calls::{Calls, Work};

/// Between two looks.
const PACE: Duration = Duration::from_millis(200);
/// How long a page may be without an answer, loading its scripts from a cold disk on a busy machine.
/// An idle one needs 0.7 s, one with six times the work it can do needed 6.4 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How long a page that answers may take to be seen. Its first picture is on its way by then.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// What was seen up to now; only time in which the window could be seen counts.
#[derive(Debug, Clone, Copy, Default)]
struct Sight {
    waited: Duration,
    /// Of that, since the page answered.
    answered: Option<Duration>,
    /// More than one colour.
    coloured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wait,
    Painted,
    Troubled(Trouble),
}

impl Sight {
    /// A look, one `PACE` after the last. A hidden window need not paint.
    fn look(&mut self, visible: bool, answered: bool, coloured: impl FnOnce() -> bool) -> Verdict {
        if visible {
            self.waited += PACE;
            if answered {
                self.answered = Some(self.answered.map_or(Duration::ZERO, |past| past + PACE));
                self.coloured = coloured();
            }
        }
        match self.answered {
            Some(_) if self.coloured => Verdict::Painted,
            Some(past) if past >= SEEN_WITHIN => Verdict::Troubled(Trouble::Blank),
            None if self.waited >= ANSWERS_WITHIN => Verdict::Troubled(Trouble::Silent),
            _ => Verdict::Wait,
        }
    }
}

/// Watches until the page is seen, and lets go of the guard then; a start that shows none is begun
/// anew in a safer way.
pub(crate) fn watch(app: &AppHandle, window: &WebviewWindow, guard: Guard) -> tauri::Result<()> {
    let drawing = Arc::clone(&app.state::<Arc<Drawing>>());
    let app = app.clone();
    window.with_webview(move |view| Watch::begin(app, drawing, &view.inner(), guard))
}

/// Ends with the first verdict.
struct Watch {
    app: AppHandle,
    drawing: Arc<Drawing>,
    sight: Sight,
    _guard: Guard,
}

type Shared = Rc<RefCell<Option<Watch>>>;

impl Watch {
    fn begin(app: AppHandle, drawing: Arc<Drawing>, view: &WebView, guard: Guard) {
        let watch: Shared = Rc::new(RefCell::new(Some(Self {
            app,
            drawing,
            sight: Sight::default(),
            _guard: guard,
        })));
        let ended = Rc::clone(&watch);
        view.connect_web_process_terminated(move |_, reason| {
            if reason == WebProcessTerminationReason::Crashed {
                judge(&ended, Verdict::Troubled(Trouble::Crashed));
            }
        });
        let view = view.clone();
        timeout_add_local(PACE, move || {
            let verdict = watch.borrow_mut().as_mut().map(|watch| {
                let answered = watch.drawing.answered.load(Ordering::Relaxed);
                let look = || coloured(&view);
                watch.sight.look(visible(&view), answered, look)
            });
            match verdict {
                Some(Verdict::Wait) => ControlFlow::Continue,
                Some(verdict) => {
                    judge(&watch, verdict);
                    ControlFlow::Break
                }
                None => ControlFlow::Break,
            }
        });
    }

    fn troubled(&self, trouble: Trouble) {
        let calls = self.app.state::<Calls>();
        if calls.count(Work::Run) + calls.count(Work::Job) > 0 {
            tracing::error!("the window is not drawn ({trouble:?}), but work is in progress");
            return;
        }
        if let Some(lesson) = self.drawing.learn(trouble) {
            tracing::warn!("the window is not drawn ({trouble:?}): trying again, {lesson:?}");
            let refused = self.drawing.beginning.again(Some(lesson));
            tracing::error!("the program cannot be started anew: {refused}");
        }
        tracing::error!("the window cannot be drawn ({trouble:?})");
        let dialog = self.app.dialog().message(
            "Every way of drawing it that Attune knows has failed.\n\nUpdate the graphics driver, or use “attune”, the same program for the terminal.",
        );
        dialog
            .title("The window cannot be drawn")
            .kind(MessageDialogKind::Error)
            .show(|_| {});
    }
}

fn judge(watch: &Shared, verdict: Verdict) {
    let Some(watch) = watch.borrow_mut().take() else {
        return;
    };
    match verdict {
        Verdict::Wait => {}
        Verdict::Painted => watch.drawing.painted(),
        Verdict::Troubled(trouble) => watch.troubled(trouble),
    }
}

/// Whether the window could be seen, were nothing in front of it.
fn visible(view: &WebView) -> bool {
    let hidden = WindowState::ICONIFIED | WindowState::WITHDRAWN;
    let toplevel = view.toplevel().and_then(|toplevel| toplevel.window());
    view.is_mapped() && toplevel.is_some_and(|window| !window.state().intersects(hidden))
}

/// Whether what WebKit has for the window is of more than one colour: the picture that came from
/// the process that draws, by the way it came. A snapshot would tell nothing: it is drawn anew, by
/// the processor. Nor would the pixels of the screen, where something may stand in front.
fn coloured(view: &WebView) -> bool {
    let (width, height) = (view.allocated_width(), view.allocated_height());
    let Ok(mut surface) = ImageSurface::create(Format::ARgb32, width, height) else {
        return false;
    };
    match Context::new(&surface) {
        Ok(context) => view.draw(&context),
        Err(_) => return false,
    }
    let stride = usize::try_from(surface.stride()).unwrap_or_default();
    let row = usize::try_from(width).unwrap_or_default() * 4;
    surface
        .data()
        .is_ok_and(|pixels| differ(&pixels, stride, row))
}

/// Whether two of the four-byte pixels differ; what a row of `stride` has behind `row` is none.
fn differ(pixels: &[u8], stride: usize, row: usize) -> bool {
    let mut all = pixels
        .chunks(stride.max(1))
        .flat_map(|line| line.get(..row).unwrap_or(line).chunks_exact(4));
    let first = all.next();
    all.any(|pixel| Some(pixel) != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks until there is a verdict; how long that took, too.
    fn watched(mut at: impl FnMut(Duration) -> (bool, bool, bool)) -> (Verdict, Duration) {
        let mut sight = Sight::default();
        let mut now = Duration::ZERO;
        loop {
            now += PACE;
            let (visible, answered, coloured) = at(now);
            let verdict = sight.look(visible, answered, || coloured);
            if verdict != Verdict::Wait || now > Duration::from_secs(3600) {
                return (verdict, now);
            }
        }
    }

    #[test]
    fn a_page_is_painted_when_it_answers_and_is_seen() {
        let late = Duration::from_secs(20);
        let (verdict, after) = watched(|now| (true, now >= late, now >= late + PACE));
        assert_eq!((verdict, after), (Verdict::Painted, late + PACE));
    }

    #[test]
    fn an_empty_window_is_noticed_from_the_answer_on_and_silence_from_the_start() {
        let slow = Duration::from_secs(25);
        let (verdict, after) = watched(|now| (true, now >= slow, false));
        assert_eq!(verdict, Verdict::Troubled(Trouble::Blank));
        assert_eq!(after, slow + SEEN_WITHIN);
        // What is seen without an answer is not the page.
        let (verdict, after) = watched(|_| (true, false, true));
        assert_eq!(verdict, Verdict::Troubled(Trouble::Silent));
        assert_eq!(after, ANSWERS_WITHIN);
    }

    /// Put away at once and looked at after lunch.
    #[test]
    fn a_window_that_is_away_need_not_paint() {
        let lunch = Duration::from_secs(1800);
        let (verdict, _) = watched(|now| (now > lunch, true, now > lunch));
        assert_eq!(verdict, Verdict::Painted);
    }

    #[test]
    fn one_pixel_makes_a_difference_and_padding_none() {
        let mut pixels = vec![7; 3 * 24];
        assert!(!differ(&pixels, 24, 20));
        pixels[22] = 1;
        assert!(!differ(&pixels, 24, 20), "behind the row");
        pixels[24 + 19] = 1;
        assert!(differ(&pixels, 24, 20));
        assert!(!differ(&[], 0, 0));
    }
}
