//! A driver that fails while the window opens takes the program with it: WebKitGTK ends a process
//! in which it cannot open one, GDK one whose requests the display refuses. Until the page is seen
//! such an end is a new beginning.

use std::ffi::{CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::libc;
use tauri::{AppHandle, Manager};

use super::{Drawing, Trouble};

/// How a program ends that was not told to.
const SIGNALS: [c_int; 5] = [
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGILL,
    libc::SIGBUS,
    libc::SIGSEGV,
];

/// What `execve` is called with: nothing can be made ready in a process that has crashed.
struct Next {
    program: CString,
    arguments: Vec<*const c_char>,
    variables: Vec<*const c_char>,
    // What the pointers point to.
    _texts: (Vec<CString>, Vec<CString>),
}

static NEXT: AtomicPtr<Next> = AtomicPtr::new(ptr::null_mut());

/// Until this is dropped, a crash starts the program anew.
pub(crate) struct Guard(Vec<(c_int, libc::sigaction)>);

/// Makes a crash a safer start, or where there is none, an end with a word on it.
pub(crate) fn guard(app: &AppHandle) -> Guard {
    let drawing = app.state::<Arc<Drawing>>();
    let lesson = drawing.learn(Trouble::Crashed);
    let prepared = lesson.and_then(|lesson| drawing.beginning.prepared(lesson));
    if let Some((program, arguments, variables)) = prepared {
        let pointers = |texts: &[CString]| {
            let all = texts.iter().map(|text| text.as_ptr());
            all.chain([ptr::null()]).collect()
        };
        let next = Next {
            arguments: pointers(&arguments),
            variables: pointers(&variables),
            program,
            _texts: (arguments, variables),
        };
        // Never freed: a handler may be reading it.
        NEXT.store(Box::into_raw(Box::new(next)), Ordering::Release);
    }
    let handler = crashed as extern "C" fn(c_int);
    let before = SIGNALS.iter().filter_map(|&signal| {
        // SAFETY: both structures live through the call; zeros are a valid `sigaction`. `crashed`
        // calls nothing that a signal handler must not.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = handler as libc::sighandler_t;
            // Once: when the handler returns, the signal does what it does to every program.
            action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
            let mut before: libc::sigaction = MaybeUninit::zeroed().assume_init();
            (libc::sigaction(signal, &raw const action, &raw mut before) == 0)
                .then_some((signal, before))
        }
    });
    Guard(before.collect())
}

impl Drop for Guard {
    fn drop(&mut self) {
        let handler = crashed as extern "C" fn(c_int);
        for (signal, before) in &self.0 {
            // SAFETY: as above. What a library put in our place stays.
            unsafe {
                let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
                libc::sigaction(*signal, ptr::null(), &raw mut now);
                if now.sa_sigaction == handler as libc::sighandler_t {
                    libc::sigaction(*signal, ptr::from_ref(before), ptr::null_mut());
                }
            }
        }
    }
}

extern "C" fn crashed(_: c_int) {
    const END: &[u8] =
        b"error: the window cannot be drawn\nhint: Update the graphics driver, or use `attune`, the same program for the terminal.\n";
    let next = NEXT.load(Ordering::Acquire);
    // SAFETY: what `next` points to is never changed or freed, and its lists end in null. The calls
    // are those that a signal handler may make; the new program begins with no signal blocked.
    unsafe {
        if let Some(next) = next.as_ref() {
            let mut none: libc::sigset_t = MaybeUninit::zeroed().assume_init();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            libc::execve(
                next.program.as_ptr(),
                next.arguments.as_ptr(),
                next.variables.as_ptr(),
            );
        }
        libc::write(libc::STDERR_FILENO, END.as_ptr().cast(), END.len());
    }
}
