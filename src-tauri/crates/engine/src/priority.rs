//! Which of two programs in one process waits for the other: the computing threads or the window.

/// Starts the threads that compute with less claim to the processor than the rest of the process.
/// They lose nothing while the rest sleeps, and a window stays smooth while they work.
///
/// To be called before anything is computed; later it changes nothing.
pub fn compute_in_background() {
    // Fails only when the threads run already.
    let _ = rayon::ThreadPoolBuilder::new()
        .thread_name(|number| format!("compute-{number}"))
        .start_handler(|_| step_back())
        .build_global();
}

/// Lowers the priority of this thread: on Linux, threads have priorities of their own.
#[cfg(target_os = "linux")]
fn step_back() {
    const NICE: i32 = 10;
    // SAFETY: a system call that takes numbers; 0 means the calling thread.
    unsafe {
        nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Lowers the priority of this thread: work that a person has started and waits for, but not with
/// every frame.
#[cfg(target_os = "macos")]
fn step_back() {
    // SAFETY: a system call that takes numbers and concerns the calling thread.
    unsafe {
        nix::libc::pthread_set_qos_class_self_np(nix::libc::qos_class_t::QOS_CLASS_UTILITY, 0);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn step_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    /// Of its own thread only: this one keeps its priority.
    #[test]
    fn a_thread_steps_back_and_the_rest_does_not() {
        // SAFETY: a system call that takes numbers; 0 means the calling thread.
        let nice = || unsafe { nix::libc::getpriority(nix::libc::PRIO_PROCESS, 0) };
        let before = nice();
        let lowered = std::thread::spawn(move || {
            super::step_back();
            nice()
        });
        assert_eq!(lowered.join().ok(), Some(before.max(10)));
        assert_eq!(nice(), before);
    }
}
