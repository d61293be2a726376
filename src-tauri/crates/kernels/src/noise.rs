//! Random numbers that are a pure function of a key and a position, and what training does with
//! them: dropout, and noise on embeddings. Nothing is kept between forward and backward, and the
//! division of the work among threads does not show.

use crate::storage::{on_cpu, update, view};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// Elements one task takes.
const CHUNK: usize = 16 * 1024;
/// 2⁶⁴ / φ, the step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Names one stream of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseKey(u64);

impl NoiseKey {
    /// The key of these parts in this order, such as seed, step and layer.
    pub fn new(parts: &[u64]) -> Self {
        Self(parts.iter().fold(0, |key, part| {
            mix((key ^ part).wrapping_mul(STEP).wrapping_add(STEP))
        }))
    }

    /// 24 random bits of position `index`.
    fn bits(self, index: usize) -> u32 {
        (mix(self.0.wrapping_add((index as u64).wrapping_mul(STEP))) >> 40) as u32
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Sets each element of `x` to zero with `probability`, and divides the others by its complement
/// (Srivastava et al., 2014). Its own backward: the same call on the gradient. For another device
/// the CPU draws the numbers, the same ones, and hands them over.
pub fn dropout(x: &Tensor, probability: f32, key: NoiseKey) -> Result<Tensor> {
    let threshold = (f64::from(probability) * f64::from(1 << 24)).round() as u32;
    let kept = 1.0 / (1.0 - probability);
    let factor = |index: usize| {
        if key.bits(index) < threshold {
            0.0
        } else {
            kept
        }
    };
    if on_cpu(x) {
        let mut y = vec![0.0; x.elem_count()];
        let values = view(x)?;
        (y.par_chunks_mut(CHUNK), values.par_chunks(CHUNK))
            .into_par_iter()
            .enumerate()
            .for_each(|(chunk, (y, x))| {
                for (index, (y, x)) in (chunk * CHUNK..).zip(y.iter_mut().zip(x)) {
                    *y = x * factor(index);
                }
            });
        return Tensor::from_vec(y, x.shape(), &Device::Cpu);
    }
    let factors: Vec<f32> = (0..x.elem_count()).into_par_iter().map(factor).collect();
    x * Tensor::from_vec(factors, x.shape(), x.device())?
}

/// Adds a number drawn uniformly from `±magnitudes[row]` to each element of `x (N, H)`. For another
/// device the CPU draws the numbers, the same ones, and hands them over.
pub fn add_uniform_noise(x: &mut Tensor, magnitudes: &[f32], key: NoiseKey) -> Result<()> {
    let width = x.dim(1)?;
    // Midpoints of 2²⁴ equal parts: symmetric about zero.
    let noise = |row: usize, column: usize| {
        let part = (key.bits(row * width + column) as f32 + 0.5) / (1 << 23) as f32;
        (part - 1.0) * magnitudes[row]
    };
    if on_cpu(x) {
        return update(x, |x| {
            x.par_chunks_mut(width).enumerate().for_each(|(row, x)| {
                x.iter_mut()
                    .enumerate()
                    .for_each(|(column, x)| *x += noise(row, column));
            });
        });
    }
    let added: Vec<f32> = (0..x.elem_count())
        .into_par_iter()
        .map(|index| noise(index / width, index % width))
        .collect();
    *x = (&*x + Tensor::from_vec(added, x.shape(), x.device())?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn ones() -> Tensor {
        Tensor::ones((300, 200), candle_core::DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn dropout_keeps_the_mean_and_drops_the_share_asked_for() {
        let y = values(&dropout(&ones(), 0.3, NoiseKey::new(&[1, 2])).unwrap());
        let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
        let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / y.len() as f64;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert_eq!(
            values(&dropout(&ones(), 0.0, NoiseKey::new(&[1])).unwrap()),
            values(&ones())
        );
    }

    #[test]
    fn a_key_is_a_stream_of_its_own() {
        let draw = |parts: &[u64]| values(&dropout(&ones(), 0.5, NoiseKey::new(parts)).unwrap());
        assert_eq!(draw(&[1, 2, 3]), draw(&[1, 2, 3]));
        for other in [&[1, 3, 2][..], &[2, 2, 3], &[1, 2]] {
            let same = draw(&[1, 2, 3])
                .iter()
                .zip(draw(other))
                .filter(|(a, b)| **a == *b)
                .count();
            assert!((29_000..31_000).contains(&same), "{same} of 60000");
        }
    }

    #[test]
    fn noise_fills_its_range_evenly() {
        let mut x = (ones() * 0.0).unwrap();
        let magnitudes: Vec<f32> = (0..300).map(|row| 1.0 + row as f32).collect();
        add_uniform_noise(&mut x, &magnitudes, NoiseKey::new(&[7])).unwrap();
        let rows = x.to_vec2::<f32>().unwrap();
        let mut squares = 0.0;
        for (row, magnitude) in rows.iter().zip(&magnitudes) {
            assert!(row.iter().all(|x| x.abs() <= *magnitude));
            squares += row
                .iter()
                .map(|x| f64::from(x / magnitude).powi(2))
                .sum::<f64>();
        }
        // The variance of a uniform number on ±1 is 1/3.
        assert!((squares / 60_000.0 - 1.0 / 3.0).abs() < 0.01);
    }
}
