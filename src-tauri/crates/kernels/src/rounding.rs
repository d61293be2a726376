//! Rounding to integers, written so that the compiler turns it into vector code.
//!
//! A cast of f32 to an integer is one lane at a time: what it promises beyond the integer's range no
//! vector unit does.

/// 1.5 · 2²³. A number of magnitude below 2²² and this: a float whose lowest bits are the nearest
/// integer, ties to even.
pub(crate) const SHIFT: f32 = 12_582_912.0;

/// The nearest integer, ties to even, of a number between -128 and 127; 0 for NaN.
#[inline(always)]
pub(crate) fn nearest(x: f32) -> i8 {
    (x + SHIFT).to_bits() as i8
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn agrees_with_the_standard_library() {
        for step in -128_000..=127_000 {
            let x = step as f32 / 1000.0;
            assert_eq!(nearest(x), x.round_ties_even() as i8, "{x}");
        }
        for tie in -128..127 {
            let x = tie as f32 + 0.5;
            assert_eq!(nearest(x), x.round_ties_even() as i8, "{x}");
        }
        assert_eq!(nearest(f32::NAN), 0);
    }
}
