//! How much memory the process has used, and whether what is freed goes back to the system.

use mimalloc as _;
use nix::sys::resource::{UsageWho, getrusage};
use std::ffi::{c_int, c_long};
use std::sync::{Mutex, PoisonError};

/// The largest resident size of this process so far, in bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    let peak = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss()) as u64;
    // Linux counts in KiB, macOS in bytes.
    if cfg!(target_os = "macos") {
        peak
    } else {
        peak * 1024
    }
}

/// `mi_option_purge_delay`, whose number is the same in mimalloc 2 and 3.
const PURGE_DELAY: c_int = 15;
/// Milliseconds: longer than any step between whose halves an activation's memory lies unused.
const KEPT: c_long = 600_000;

// The crate `mimalloc` links these; its own face has no options.
unsafe extern "C" {
    fn mi_option_get(option: c_int) -> c_long;
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_collect(force: bool);
}

/// How many runs keep freed memory, and the delay to return to after the last.
static KEEPERS: Mutex<(usize, c_long)> = Mutex::new((0, 0));

/// While this lives, freed memory is kept for the next allocation instead of being given back a
/// second later: a step frees all its activations and the next wants them again, and the system
/// took up to a third of a step to clear them. No effect where another allocator serves the
/// program.
pub(crate) struct KeepFreed(());

impl KeepFreed {
    pub(crate) fn new() -> Self {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        if keepers.0 == 0 {
            // SAFETY: any thread may read and set an option at any time.
            unsafe {
                keepers.1 = mi_option_get(PURGE_DELAY);
                mi_option_set(PURGE_DELAY, KEPT);
            }
        }
        keepers.0 += 1;
        Self(())
    }
}

impl Drop for KeepFreed {
    fn drop(&mut self) {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.0 -= 1;
        if keepers.0 == 0 {
            // SAFETY: any thread may set an option and give memory back at any time.
            unsafe {
                mi_option_set(PURGE_DELAY, keepers.1);
                mi_collect(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, KeepFreed, PURGE_DELAY, mi_option_get};

    /// Two runs may overlap; only the last to end goes back to giving memory away.
    #[test]
    fn freed_memory_is_kept_while_any_run_lasts() {
        // SAFETY: any thread may read an option at any time.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        let before = delay();
        assert_ne!(before, KEPT);
        let (first, second) = (KeepFreed::new(), KeepFreed::new());
        drop(first);
        assert_eq!(delay(), KEPT);
        drop(second);
        assert_eq!(delay(), before);
    }
}
