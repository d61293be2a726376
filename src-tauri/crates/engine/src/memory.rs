//! How much memory the process has used, and whether what is freed goes back to the system.

use crate::allocator::keep_freed;
use nix::sys::resource::{UsageWho, getrusage};

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

/// While this lives, large blocks that are freed are kept for the next allocation: a step frees all
/// its activations and the next wants them again, and the system took up to a third of a step to
/// clear them. Several may live at once. No effect where another allocator serves the program.
pub(crate) struct KeepFreed(());

impl KeepFreed {
    pub(crate) fn new() -> Self {
        keep_freed(true);
        Self(())
    }
}

impl Drop for KeepFreed {
    fn drop(&mut self) {
        keep_freed(false);
    }
}
