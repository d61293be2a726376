//! Memory for packed panels, and for what is widened before it is packed, kept by each thread between products.

use std::cell::Cell;

/// A cache line, and a vector of AVX-512.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as numbers, through a pointer")] [f32; 16]);

thread_local! {
    static LEFT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    static RIGHT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    static WIDENED: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// What the memory is for: a thread packs both operands at once, and widens one of them.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Right,
    Widened,
}

/// Lends `work` an aligned slice of `len` numbers of no particular value. A thread that comes back
/// here from inside `work`, by taking over a task while it waits, gets memory of its own.
pub(super) fn with<T>(side: Side, len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let slot = match side {
        Side::Left => &LEFT,
        Side::Right => &RIGHT,
        Side::Widened => &WIDENED,
    };
    let mut lines = slot.take();
    if lines.len() * 16 < len {
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
    }
    // SAFETY: a `Line` is sixteen f32 without padding, and `lines` is at least `len` of them long.
    let numbers = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = work(numbers);
    slot.set(lines);
    result
}
