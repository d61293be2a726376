//! Memory for packed panels, and for what is widened before it is packed, kept between products:
//! by each thread, or by all together where it is large.

#[cfg(target_os = "linux")]
use super::element::Bf16;
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// A cache line, and a vector of AVX-512.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as numbers, through a pointer")] [f32; 16]);

thread_local! {
    static LEFT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    static RIGHT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    static WIDENED: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    #[cfg(target_os = "linux")]
    static SUMS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Numbers from which a left side's panels are no thread's own: any thread may be the one that
/// packs for all, and each would come to keep as much.
const SHARED: usize = 512 * 1024;

/// Such panels that no product is at.
static LARGE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// What the memory is for: a thread packs both operands at once, widens one of them, and may keep
/// sums beside.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Right,
    Widened,
    #[cfg(target_os = "linux")]
    Sums,
}

/// Lends `work` an aligned slice of `len` numbers of no particular value. A thread that comes back
/// here from inside `work`, by taking over a task while it waits, gets memory of its own.
pub(super) fn with<T>(side: Side, len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let slot = match side {
        Side::Left if len >= SHARED => return with_shared(len, work),
        Side::Left => &LEFT,
        Side::Right => &RIGHT,
        Side::Widened => &WIDENED,
        #[cfg(target_os = "linux")]
        Side::Sums => &SUMS,
    };
    slot.with(|slot| {
        let (lines, result) = lend(slot.take(), len, work);
        slot.set(lines);
        result
    })
}

fn with_shared<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let shared = || LARGE.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = shared().pop().unwrap_or_default();
    let (lines, result) = lend(lines, len, work);
    shared().push(lines);
    result
}

fn lend<T>(mut lines: Vec<Line>, len: usize, work: impl FnOnce(&mut [f32]) -> T) -> (Vec<Line>, T) {
    if lines.len() * 16 < len {
        // The old ones go first: nothing in them is wanted.
        drop(lines);
        lines = vec![Line([0.0; 16]); len.div_ceil(16)];
    }
    // SAFETY: a `Line` is sixteen f32 without padding, and `lines` is at least `len` of them long.
    let numbers = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = work(numbers);
    (lines, result)
}

/// The same for numbers of half the size.
#[cfg(target_os = "linux")]
pub(super) fn with_bf16<T>(side: Side, len: usize, work: impl FnOnce(&mut [Bf16]) -> T) -> T {
    with(side, len.div_ceil(2), |numbers| {
        // SAFETY: two `Bf16` take the place of an f32, and any bits are a value of either.
        let halves =
            unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast::<Bf16>(), len) };
        work(halves)
    })
}
