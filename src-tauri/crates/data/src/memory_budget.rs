//! A bound on the memory of a thread that runs what a stranger wrote.
//!
//! An allocator may neither unwind nor, without the end of the process, refuse: most of the
//! libraries' allocations cannot fail. What it may do is take its time. A thread whose next
//! allocation would exceed its budget says so to the one who waits for it and is never heard of
//! again: it sleeps, with what it holds, until the process ends. Nothing unwinds through foreign
//! code, and no allocator's lock is held, because the budget is asked before the allocator is.
//!
//! A program without [`Budgeted`] around its global allocator works, unbounded.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, Thread};

/// What a block counts besides its bytes. Deep nesting is made of small blocks, and going down into
/// it takes stack: with this, a budget bounds the depth as well.
const BLOCK: usize = 64;

/// An allocator that keeps the budgets of threads that have one. Others pay for one comparison.
///
/// `#[global_allocator] static ALLOCATOR: Budgeted<System> = Budgeted(System);`
#[derive(Debug, Clone, Copy, Default)]
pub struct Budgeted<A>(pub A);

thread_local! {
    /// The budget of this thread; null where it has none.
    static BUDGET: Cell<*const Budget> = const { Cell::new(ptr::null()) };
    /// Bytes this thread holds of what it took since the budget began.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every block is the inner allocator's, with the layout it was asked for.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Budgeted<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the caller's.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While a block moves, both are there.
        take(size);
        // SAFETY: the caller's.
        let moved = unsafe { self.0.realloc(block, layout, size) };
        give_back(if moved.is_null() { size } else { layout.size() });
        moved
    }
}

#[inline]
fn take(size: usize) {
    let budget = BUDGET.get();
    if !budget.is_null() {
        // SAFETY: whoever set the pointer keeps the budget alive until it is null again.
        unsafe { &*budget }.take(size);
    }
}

#[inline]
fn give_back(size: usize) {
    if !BUDGET.get().is_null() && !thread::panicking() {
        // What came from elsewhere was never counted.
        HELD.set(HELD.get().saturating_sub(size.saturating_add(BLOCK)));
    }
}

/// How far a piece of work with a budget has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// It runs.
    Running,
    /// It has ended, or will without help.
    Ended,
    /// It asked for more than its budget, and its thread sleeps for ever.
    Exceeded,
    /// Nobody waits for it any more: its thread sleeps for ever from its next allocation on.
    Abandoned,
}

/// The budget of one piece of work, known to the thread that does it and to the one that waits.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes that may be held at once.
    limit: usize,
    state: AtomicU8,
    waiting: Thread,
}

impl Budget {
    /// A budget of `limit` bytes for work that this thread will wait for.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: AtomicU8::new(State::Running as u8),
            waiting: thread::current(),
        })
    }

    /// Does `work` on this thread within the budget; returns where it is kept.
    pub(crate) fn spend<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        /// Where `work` panics, the budget ends too.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                BUDGET.set(ptr::null());
            }
        }
        HELD.set(0);
        BUDGET.set(Arc::as_ptr(self));
        let _end = End;
        work()
    }

    /// Says that the work is done, and wakes who waits.
    pub(crate) fn end(&self) {
        self.change(State::Ended);
    }

    /// Says that nobody waits any more.
    pub(crate) fn abandon(&self) {
        self.change(State::Abandoned);
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            state if state == State::Running as u8 => State::Running,
            state if state == State::Exceeded as u8 => State::Exceeded,
            state if state == State::Abandoned as u8 => State::Abandoned,
            _ => State::Ended,
        }
    }

    fn change(&self, to: State) {
        self.state.store(to as u8, Ordering::Release);
        self.waiting.unpark();
    }

    fn take(&self, size: usize) {
        // A thread that panics holds the lock of stderr while it says so, and to say where, it
        // reads the program's debug information. It must come through, and does no work any more.
        if thread::panicking() {
            return;
        }
        let held = HELD.get().saturating_add(size).saturating_add(BLOCK);
        let abandoned = self.state.load(Ordering::Relaxed) == State::Abandoned as u8;
        if held > self.limit || abandoned {
            self.stop();
        }
        HELD.set(held);
    }

    #[cold]
    fn stop(&self) -> ! {
        if self.state() == State::Running {
            self.change(State::Exceeded);
        }
        loop {
            thread::park();
        }
    }
}
