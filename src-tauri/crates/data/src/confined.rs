//! Foreign programs at work: on threads of their own, with bounded memory, stack and time.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::foreign::caught;
use crate::memory_budget::{Budget, State};

/// Stack for each byte of a budget. A level of nesting costs at least a block, and going down one
/// level was never seen to take more than three times what that counts.
const STACK: usize = 8;

/// How often, and for how long each time, is waited: 20 seconds for what takes a millisecond. A
/// machine that sleeps, or a process that is stopped, wakes to the rest of them, not to their end.
const WAITS: u32 = 200;
const WAIT: Duration = Duration::from_millis(100);

/// Why work came to nothing.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It panicked, with these words.
    Broke(String),
    /// It asked for more memory than its budget. Its thread and what it holds stay until the
    /// process ends, so the same work must not be tried again.
    Memory,
    /// It took too long; the same goes for it.
    Time,
    /// The system gave no thread.
    Thread(io::Error),
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that waits for work, and the budget it has stack for.
struct Worker {
    budget: usize,
    jobs: Sender<Job>,
}

/// Threads without work. To start one costs as much as to render a short conversation.
static IDLE: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

/// Does `work`, which may hold `budget` bytes of memory at once.
pub(crate) fn confined<T: Send + 'static>(
    budget: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopped> {
    wait_for(budget, WAITS, work)
}

fn wait_for<T: Send + 'static>(
    budget: usize,
    most: u32,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopped> {
    let worker = Worker::with(budget).map_err(Stopped::Thread)?;
    let shared = Arc::new((Budget::new(budget), Mutex::new(None)));
    let theirs = Arc::clone(&shared);
    let job = move || {
        let (budget, outcome) = &*theirs;
        let found = budget.spend(|| caught(work));
        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        budget.end();
    };
    if worker.jobs.send(Box::new(job)).is_err() {
        return Err(Stopped::Thread(io::Error::other("it ended")));
    }
    let (budget, outcome) = &*shared;
    let mut waits = 0;
    while budget.state() == State::Running {
        if waits == most {
            budget.abandon();
            return Err(Stopped::Time);
        }
        let before = Instant::now();
        thread::park_timeout(WAIT);
        waits += u32::from(before.elapsed() >= WAIT);
    }
    if budget.state() == State::Exceeded {
        return Err(Stopped::Memory);
    }
    worker.rest();
    let found = outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    found
        .unwrap_or_else(|| Err("it left nothing".to_owned()))
        .map_err(Stopped::Broke)
}

impl Worker {
    /// An idle one with enough stack, or a new one.
    fn with(budget: usize) -> io::Result<Self> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|worker| worker.budget >= budget) {
            return Ok(idle.swap_remove(at));
        }
        drop(idle);
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("template".to_owned())
            .stack_size(budget.saturating_mul(STACK))
            .spawn(move || queue.iter().for_each(|job| job()))?;
        Ok(Self { budget, jobs })
    }

    fn rest(self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(self);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{Stopped, confined, wait_for};
    use crate::memory_budget::Budgeted;
    use std::alloc::System;
    use std::hint::black_box;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    /// As the programs have it.
    #[global_allocator]
    static ALLOCATOR: Budgeted<System> = Budgeted(System);

    const BUDGET: usize = 4 << 20;

    #[test]
    fn work_within_its_budget_is_done_as_often_as_it_is_asked_for() {
        let work = || {
            let blocks: Vec<Vec<u8>> = (0..30).map(|_| vec![1; 100_000]).collect();
            blocks.len()
        };
        for _ in 0..100 {
            assert_eq!(confined(BUDGET, work).unwrap(), 30);
        }
    }

    #[test]
    fn one_block_many_blocks_and_a_growing_one_are_stopped() {
        let one = || black_box(Vec::<u8>::with_capacity(BUDGET + 1)).len();
        let growing = || {
            let mut text = "ab".to_owned();
            while text.len() > 1 {
                text = black_box(text.clone() + &text);
            }
            text.len()
        };
        let kept = || {
            let mut blocks = Vec::new();
            while black_box(blocks.len()) < usize::MAX {
                blocks.push(Box::new(0_u8));
            }
            blocks.len()
        };
        let zeroed = || black_box(vec![0_u8; 1 << 40]).len();
        for work in [one, growing, kept, zeroed] {
            assert!(matches!(confined(BUDGET, work), Err(Stopped::Memory)));
        }
        // And nobody else is.
        assert_eq!(confined(BUDGET, || 7).unwrap(), 7);
        assert_eq!(vec![1_u8; 2 * BUDGET].len(), 2 * BUDGET);
    }

    /// What is given back may be taken again, and what came from elsewhere is nobody's credit.
    #[test]
    fn what_is_given_back_counts_no_more() {
        let foreign = vec![0_u8; 8 * BUDGET];
        let work = move || {
            for _ in 0..1000 {
                black_box(vec![1_u8; BUDGET / 2]);
            }
            drop(foreign);
            black_box(vec![1_u8; BUDGET + 1]).len()
        };
        assert!(matches!(confined(BUDGET, work), Err(Stopped::Memory)));
    }

    #[test]
    fn a_panic_is_its_words() {
        let work = || -> usize { [1][black_box(1)] };
        let found = confined(BUDGET, work);
        assert!(matches!(found, Err(Stopped::Broke(reason)) if reason.contains("index out of")));
        assert_eq!(confined(BUDGET, || 7).unwrap(), 7);
    }

    /// Nobody waits for ever, and what nobody waits for ends at its next allocation.
    #[test]
    fn work_without_end_is_left_alone() {
        static GO_ON: AtomicBool = AtomicBool::new(false);
        static STEPS: AtomicU32 = AtomicU32::new(0);
        let work = || {
            STEPS.store(1, Ordering::SeqCst);
            while !GO_ON.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            STEPS.store(2, Ordering::SeqCst);
            drop(black_box(Box::new(1)));
            STEPS.store(3, Ordering::SeqCst);
        };
        assert!(matches!(wait_for(BUDGET, 2, work), Err(Stopped::Time)));
        GO_ON.store(true, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(500));
        assert!(STEPS.load(Ordering::SeqCst) <= 2);
    }
}
