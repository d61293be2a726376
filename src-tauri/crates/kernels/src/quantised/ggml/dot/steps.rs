//! Steps of six bits brought to bytes, several at a time in a word, for vectors to take from there.

#[inline(always)]
fn words(bytes: &[u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
        u32::from_le_bytes([i, j, k, l]),
    ]
}

/// The scales of the eight parts of a `Q4_K` or `Q5_K` block, the first in the lowest byte, and
/// their minimums.
#[inline(always)]
pub(super) fn of_parts(bytes: &[u8; 12]) -> [u64; 2] {
    let [scales, minimums, rest] = words(bytes);
    let both = |first: u32, rest: u32| {
        let second = rest & 0x0f0f_0f0f | (first >> 6 & 0x0303_0303) << 4;
        u64::from(first & 0x3f3f_3f3f) | u64::from(second) << 32
    };
    [both(scales, rest), both(minimums, rest >> 4)]
}

/// The scales of the sixteen halves of parts of a `Q3_K` block, counted from -32, four to a word.
#[inline(always)]
pub(super) fn of_halves(bytes: &[u8; 12]) -> [u32; 4] {
    let [first, second, upper] = words(bytes);
    let four = |lower: u32, at: u32| lower & 0x0f0f_0f0f | (upper >> (2 * at) & 0x0303_0303) << 4;
    [
        four(first, 0),
        four(second, 1),
        four(first >> 4, 2),
        four(second >> 4, 3),
    ]
}
