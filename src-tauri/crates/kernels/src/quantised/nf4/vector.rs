//! Widening by table look-ups in vector registers. The products are those of the plain code, bit
//! for bit.

use super::VALUES;
#[allow(
    clippy::wildcard_imports,
    reason = "thirty names that carry their own prefix"
)]
use std::arch::x86_64::*;

/// Elements that are widened at once.
pub(super) const LANES: usize = 16;

/// Writes two elements for each byte of `codes`, times `magnitude`. `to` is a multiple of [`LANES`]
/// long; returns false, and writes nothing, where the processor has no such vectors.
pub(super) fn widen(codes: &[u8], magnitude: f32, to: &mut [f32]) -> bool {
    assert!(to.len().is_multiple_of(LANES) && 2 * codes.len() >= to.len());
    // SAFETY: the unit was detected, and there is a byte for two elements.
    unsafe {
        if is_x86_feature_detected!("avx512f") {
            avx512(codes, magnitude, to);
        } else if is_x86_feature_detected!("avx2") {
            avx2(codes, magnitude, to);
        } else {
            return false;
        }
    }
    true
}

/// The sixteen codes in eight bytes, a byte each, in order.
///
/// # Safety
/// Eight bytes are readable.
#[target_feature(enable = "sse2")]
#[inline]
unsafe fn unpack(codes: *const u8) -> __m128i {
    // SAFETY: the caller's.
    let bytes = unsafe { _mm_loadl_epi64(codes.cast()) };
    let low = _mm_set1_epi8(15);
    let upper = _mm_and_si128(_mm_srli_epi16::<4>(bytes), low);
    _mm_unpacklo_epi8(upper, _mm_and_si128(bytes, low))
}

/// # Safety
/// AVX-512 was detected; there is a byte for two elements.
#[target_feature(enable = "avx512f")]
unsafe fn avx512(codes: &[u8], magnitude: f32, to: &mut [f32]) {
    // SAFETY: the table is a vector long, and so is each piece of `to`; half as many bytes are
    // read.
    unsafe {
        let table = _mm512_loadu_ps(VALUES.as_ptr());
        let magnitude = _mm512_set1_ps(magnitude);
        for (index, to) in to.chunks_exact_mut(LANES).enumerate() {
            let codes = _mm512_cvtepu8_epi32(unpack(codes.as_ptr().add(index * LANES / 2)));
            let values = _mm512_permutexvar_ps(codes, table);
            _mm512_storeu_ps(to.as_mut_ptr(), _mm512_mul_ps(values, magnitude));
        }
    }
}

/// # Safety
/// AVX2 was detected; there is a byte for two elements.
#[target_feature(enable = "avx2")]
unsafe fn avx2(codes: &[u8], magnitude: f32, to: &mut [f32]) {
    // SAFETY: the table is two vectors long, and so is each piece of `to`; half as many bytes are
    // read.
    unsafe {
        let tables = [
            _mm256_loadu_ps(VALUES.as_ptr()),
            _mm256_loadu_ps(VALUES.as_ptr().add(8)),
        ];
        let magnitude = _mm256_set1_ps(magnitude);
        for (index, to) in to.chunks_exact_mut(LANES).enumerate() {
            let codes = unpack(codes.as_ptr().add(index * LANES / 2));
            for (half, codes) in [codes, _mm_srli_si128::<8>(codes)].into_iter().enumerate() {
                let codes = _mm256_cvtepu8_epi32(codes);
                let [low, high] = tables.map(|table| _mm256_permutevar8x32_ps(table, codes));
                // The fourth bit, brought to the sign.
                let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(codes));
                let values = _mm256_blendv_ps(low, high, upper);
                let to = to.as_mut_ptr().add(8 * half);
                _mm256_storeu_ps(to, _mm256_mul_ps(values, magnitude));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_looked_up() {
        let codes: Vec<u8> = (0..=255).collect();
        let expected: Vec<u32> = codes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|code| (VALUES[usize::from(code)] * 0.37).to_bits())
            .collect();
        let check = |to: &[f32]| {
            let found: Vec<u32> = to.iter().copied().map(f32::to_bits).collect();
            assert_eq!(found, expected);
        };
        let mut to = vec![0.0; 512];
        // SAFETY: the units are detected; there is a byte for two elements.
        unsafe {
            if is_x86_feature_detected!("avx512f") {
                avx512(&codes, 0.37, &mut to);
                check(&to);
            }
            if is_x86_feature_detected!("avx2") {
                avx2(&codes, 0.37, &mut to);
                check(&to);
            }
        }
        if widen(&codes, 0.37, &mut to) {
            check(&to);
        }
    }
}
