//! Memory for packed panels, and for what is widened before it is packed, kept by each thread between products.

#[cfg(target_os = "linux")]
use super::element::Bf16;
use std::cell::Cell;

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
        Side::Left => &LEFT,
        Side::Right => &RIGHT,
        Side::Widened => &WIDENED,
        #[cfg(target_os = "linux")]
        Side::Sums => &SUMS,
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
