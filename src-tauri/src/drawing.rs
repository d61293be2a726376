//! How the window is drawn on Linux. Some graphics drivers show nothing, or end the process that
//! draws: then the program starts itself anew in a safer way, and remembers it.

mod crash;
mod probe;
mod restart;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attune_studio::Error;
use serde::{Deserialize, Serialize};
use tauri::{AppHandle, Manager};

use crate::calls::{Calls, Work};
use crate::graphics;
use crate::start;
use crate::window::{self, write_whole};
pub(crate) use crash::guard;
pub(crate) use probe::watch;
use restart::Beginning;

/// How to draw, from fast to safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// As WebKitGTK and the rules for this machine have it.
    Usual,
    /// Pictures do not reach the window through memory of the graphics driver.
    Copied,
    /// The processor paints, and only Mesa's driver for it is loaded.
    Software,
}

/// What was wrong with a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Trouble {
    /// The program, or the process that draws its page, was ended by a fault in it.
    Crashed,
    /// The page never answered.
    Silent,
    /// The page answered, and one colour is all there is to see.
    Blank,
}

/// What an earlier start taught: the way to use, and why not a faster one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lesson {
    way: Way,
    trouble: Trouble,
}

/// A lesson as long as it holds: on the drivers it was learnt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    lesson: Lesson,
    drivers: String,
}

/// What a start begins with: what a `troubled` one just learnt, or what is kept and still holds.
fn lesson(troubled: Option<Lesson>, kept: Option<Kept>, drivers: &str) -> Option<Lesson> {
    let kept = kept.filter(|kept| kept.drivers == drivers);
    troubled.or_else(|| kept.map(|kept| kept.lesson))
}

/// What the machine has to draw with.
#[derive(Debug, Clone, Default)]
struct Graphics {
    /// NVIDIA's own driver.
    nvidia: bool,
    /// No graphics processor: Mesa imitates one.
    imitated: bool,
    /// Mesa among the drivers to choose from.
    mesa: Option<PathBuf>,
}

impl Graphics {
    fn look() -> Self {
        const MESA: [&str; 2] = [
            "/usr/share/glvnd/egl_vendor.d/50_mesa.json",
            "/etc/glvnd/egl_vendor.d/50_mesa.json",
        ];
        Self {
            nvidia: Path::new(NVIDIA).exists(),
            imitated: graphics::imitated(),
            mesa: MESA.iter().map(PathBuf::from).find(|path| path.exists()),
        }
    }

    /// The environment that makes WebKitGTK draw this way.
    fn variables(&self, way: Way) -> Vec<(&'static str, OsString)> {
        let mut variables = Vec::new();
        // Its fast path shows an empty window on NVIDIA's own driver.
        if self.nvidia || way >= Way::Copied {
            variables.push(("WEBKIT_DISABLE_DMABUF_RENDERER", "1".into()));
        }
        // Without a graphics processor it would layer the page with an imitated one, which costs several
        // times as much of the processor as training a small model. Painted directly, the page looks the same.
        if self.imitated || way >= Way::Software {
            variables.push(("WEBKIT_DISABLE_COMPOSITING_MODE", "1".into()));
        }
        // WebKit opens a driver even where it paints without one, and ends when that fails.
        if way >= Way::Software {
            variables.push(("LIBGL_ALWAYS_SOFTWARE", "1".into()));
            if let Some(mesa) = &self.mesa {
                variables.push(("__EGL_VENDOR_LIBRARY_FILENAMES", mesa.into()));
            }
        }
        variables
    }

    /// The next way that is safer than `way` and differs from it, beside what the person has `set`.
    fn safer(&self, way: Way, set: impl Fn(&str) -> bool) -> Option<Way> {
        let effective = |way| {
            let mut variables = self.variables(way);
            variables.retain(|(name, _)| !set(name));
            variables
        };
        [Way::Copied, Way::Software]
            .into_iter()
            .find(|next| *next > way && effective(*next) != effective(way))
    }
}

const NVIDIA: &str = "/proc/driver/nvidia/version";

/// What draws, by name and version; another after an update of any part.
fn drivers(graphics: &Graphics) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let nvidia = read(NVIDIA);
    let parts = [
        format!("WebKitGTK {}", tauri::webview_version().unwrap_or_default()),
        format!("Linux {}", kernel.trim()),
        nvidia.lines().next().unwrap_or_default().to_owned(),
        if graphics.imitated { "no device" } else { "" }.to_owned(),
    ];
    let known: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    known.join("; ")
}

/// How this start draws, and what it came from.
#[derive(Debug)]
pub(crate) struct Drawing {
    beginning: Beginning,
    file: PathBuf,
    drivers: String,
    lesson: Option<Lesson>,
    /// Whether the lesson is new.
    learnt: bool,
    safer: Option<Way>,
    answered: AtomicBool,
}

impl Drawing {
    /// Chooses the way and sets the environment for it. To be called before the first thread.
    pub(crate) fn begin(home: &Path) -> Self {
        let (beginning, troubled) = Beginning::now();
        let file = home.join("window").join("drawing.json");
        let kept = fs::read(&file).ok();
        let kept = kept.and_then(|text| serde_json::from_slice(&text).ok());
        let graphics = Graphics::look();
        let drivers = drivers(&graphics);
        let lesson = lesson(troubled, kept, &drivers);
        let way = lesson.map_or(Way::Usual, |lesson| lesson.way);
        for (name, value) in graphics.variables(way) {
            if !beginning.sets(name) {
                start::set(name, &value);
            }
        }
        Self {
            safer: graphics.safer(way, |name| beginning.sets(name)),
            learnt: troubled.is_some(),
            answered: AtomicBool::new(false),
            beginning,
            file,
            drivers,
            lesson,
        }
    }

    /// What the next start learns from `trouble` with this one; nothing where there is no safer way.
    fn learn(&self, trouble: Trouble) -> Option<Lesson> {
        self.safer.map(|way| Lesson { way, trouble })
    }

    /// The window shows its page. What is no longer true is forgotten; what cannot be kept is learnt
    /// again.
    fn painted(&self) {
        match self.lesson {
            Some(lesson) if self.learnt => {
                let drivers = self.drivers.clone();
                let text = serde_json::to_vec_pretty(&Kept { lesson, drivers });
                let kept = text.ok().and_then(|text| write_whole(&self.file, &text));
                if kept.is_none() {
                    tracing::info!("how the window is drawn cannot be remembered");
                }
            }
            Some(_) => {}
            None => self.forget(),
        }
    }

    fn forget(&self) {
        // Nothing was kept, mostly.
        let _ = fs::remove_file(&self.file);
    }
}

/// The page listens.
pub(crate) fn page_answers(app: &AppHandle) {
    let drawing = app.state::<Arc<Drawing>>();
    drawing.answered.store(true, Ordering::Relaxed);
}

/// Why the window is not drawn in the usual way, as the page reads it; null where it is.
pub(crate) fn shown(app: &AppHandle) -> serde_json::Value {
    serde_json::to_value(app.state::<Arc<Drawing>>().lesson).unwrap_or_default()
}

/// Starts the program anew in the usual way. Returns where that cannot be.
pub(crate) fn again(app: &AppHandle) -> Result<(), Error> {
    let calls = app.state::<Calls>();
    if calls.count(Work::Run) + calls.count(Work::Job) > 0 {
        return Err(
            Error::new("busy", "Attune cannot restart while work is in progress")
                .with_remedy("Wait for it, or pause it, and try again."),
        );
    }
    window::keep_place(app);
    let drawing = app.state::<Arc<Drawing>>();
    drawing.forget();
    let refused = drawing.beginning.again(None);
    Err(
        Error::new("restart", format!("Attune cannot restart: {refused}"))
            .with_remedy("Close it and open it again."),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const BLANK: Lesson = Lesson {
        way: Way::Copied,
        trouble: Trouble::Blank,
    };

    fn names(graphics: &Graphics, way: Way) -> Vec<&'static str> {
        let variables = graphics.variables(way);
        variables.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_rules_for_a_machine_hold_in_every_way() {
        let usual = Graphics::default();
        assert!(names(&usual, Way::Usual).is_empty());
        let copied = ["WEBKIT_DISABLE_DMABUF_RENDERER"];
        assert_eq!(names(&usual, Way::Copied), copied);
        let nvidia = Graphics {
            nvidia: true,
            mesa: Some("/mesa.json".into()),
            ..Graphics::default()
        };
        assert_eq!(names(&nvidia, Way::Usual), copied);
        let all = [
            "WEBKIT_DISABLE_DMABUF_RENDERER",
            "WEBKIT_DISABLE_COMPOSITING_MODE",
            "LIBGL_ALWAYS_SOFTWARE",
            "__EGL_VENDOR_LIBRARY_FILENAMES",
        ];
        assert_eq!(names(&nvidia, Way::Software), all);
        let imitated = Graphics {
            imitated: true,
            ..Graphics::default()
        };
        assert_eq!(names(&imitated, Way::Usual), all[1..2]);
    }

    #[test]
    fn each_start_is_safer_than_the_last_and_the_safest_is_the_end() {
        let nothing = |_: &str| false;
        let usual = Graphics::default();
        assert_eq!(usual.safer(Way::Usual, nothing), Some(Way::Copied));
        assert_eq!(usual.safer(Way::Copied, nothing), Some(Way::Software));
        assert_eq!(usual.safer(Way::Software, nothing), None);
        // With NVIDIA's driver the first is the second already.
        let nvidia = Graphics {
            nvidia: true,
            ..Graphics::default()
        };
        assert_eq!(nvidia.safer(Way::Usual, nothing), Some(Way::Software));
    }

    /// A start that would do nothing else is not worth a restart.
    #[test]
    fn what_the_person_set_stays_and_is_no_way_out() {
        let usual = Graphics::default();
        let dmabuf = |name: &str| name == "WEBKIT_DISABLE_DMABUF_RENDERER";
        assert_eq!(usual.safer(Way::Usual, dmabuf), Some(Way::Software));
        assert_eq!(usual.safer(Way::Usual, |_: &str| true), None);
    }

    #[test]
    fn what_was_learnt_holds_until_a_driver_changes() {
        let kept = || {
            Some(Kept {
                lesson: BLANK,
                drivers: "WebKitGTK 2.50.6; Linux 6.12".to_owned(),
            })
        };
        assert_eq!(lesson(None, None, "x"), None);
        assert_eq!(
            lesson(None, kept(), "WebKitGTK 2.50.6; Linux 6.12"),
            Some(BLANK)
        );
        assert_eq!(lesson(None, kept(), "WebKitGTK 2.52.0; Linux 6.12"), None);
        // What just happened is newer than what is remembered.
        let crashed = Lesson {
            way: Way::Software,
            trouble: Trouble::Crashed,
        };
        let now = lesson(Some(crashed), kept(), "WebKitGTK 2.50.6; Linux 6.12");
        assert_eq!(now, Some(crashed));
        let text = serde_json::to_string(&kept()).unwrap();
        assert_eq!(serde_json::from_str::<Option<Kept>>(&text).unwrap(), kept());
    }
}
