//! How much memory the process has used.

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
