//! AdamW whose moments are stored in 8 bits, as bitsandbytes' `AdamW8bit` (Dettmers et al., 2022):
//! blocks of 256 elements, each with its largest magnitude, and one byte an element that points
//! into the dynamic map. The arithmetic of a step is that of [`crate::adamw`].

use crate::adamw::AdamW;
use crate::storage::{on_cpu, update, view};
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;
use std::sync::LazyLock;

/// Elements that share a magnitude.
const BLOCK: usize = 256;

/// The values a code can stand for, in rising order: signed for the first moment, unsigned for
/// the second.
pub(crate) static SIGNED: LazyLock<[f32; 256]> = LazyLock::new(|| dynamic_map(true));
static UNSIGNED: LazyLock<[f32; 256]> = LazyLock::new(|| dynamic_map(false));

/// bitsandbytes' `create_dynamic_map`: seven decades, each with twice the steps of the one below.
fn dynamic_map(signed: bool) -> [f32; 256] {
    let mut values = vec![0.0, 1.0];
    for decade in 0..7_usize {
        let steps: usize = 1 << (decade + usize::from(!signed));
        // Halves in f32 from either end, as torch.linspace.
        let step = (1.0_f32 - 0.1) / steps as f32;
        let boundary = |index: usize| {
            if index < steps.div_ceil(2) {
                0.1 + step * index as f32
            } else {
                1.0 - step * (steps - index) as f32
            }
        };
        let power = 10_f64.powi(decade as i32 - 6);
        for index in 0..steps {
            let middle = f32::midpoint(boundary(index), boundary(index + 1));
            let value = power * f64::from(middle);
            values.push(value as f32);
            if signed {
                values.push(-value as f32);
            }
        }
    }
    values.sort_unstable_by(f32::total_cmp);
    let mut map = [0.0; 256];
    // 256 values, whether 2 + 2·(1 + … + 64) or 2 + (2 + … + 128).
    map.copy_from_slice(&values);
    map
}

/// One moment of a parameter in 8 bits.
#[derive(Debug, Clone, PartialEq)]
struct Moment {
    codes: Vec<u8>,
    /// Largest magnitude of each block.
    magnitudes: Vec<f32>,
}

/// Both moments of a parameter in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments8bit {
    first: Moment,
    second: Moment,
}

impl Moments8bit {
    /// Moments of zero for `count` elements.
    pub fn zeros(count: usize) -> Self {
        let zero = Moment {
            codes: vec![0; count],
            magnitudes: vec![0.0; count.div_ceil(BLOCK)],
        };
        Self {
            first: zero.clone(),
            second: zero,
        }
    }

    /// Codes `(2, n)` as bytes, and magnitudes `(2, blocks)` as f32.
    pub fn to_tensors(&self) -> Result<(Tensor, Tensor)> {
        let codes = [&self.first.codes[..], &self.second.codes].concat();
        let magnitudes = [&self.first.magnitudes[..], &self.second.magnitudes].concat();
        let (count, blocks) = (self.first.codes.len(), self.first.magnitudes.len());
        Ok((
            Tensor::from_vec(codes, (2, count), &Device::Cpu)?,
            Tensor::from_vec(magnitudes, (2, blocks), &Device::Cpu)?,
        ))
    }

    /// The moments that `to_tensors` took apart.
    pub fn from_tensors(codes: &Tensor, magnitudes: &Tensor) -> Result<Self> {
        let (codes, magnitudes) = (codes.to_vec2::<u8>()?, magnitudes.to_vec2::<f32>()?);
        let mut moments = codes
            .into_iter()
            .zip(magnitudes)
            .map(|(codes, magnitudes)| Moment { codes, magnitudes });
        match (moments.next(), moments.next()) {
            (Some(first), Some(second))
                if first.magnitudes.len() == first.codes.len().div_ceil(BLOCK) =>
            {
                Ok(Self { first, second })
            }
            _ => bail!("8-bit moments are two rows of codes and a magnitude for each 256 of them"),
        }
    }
}

/// Moves `parameter` by one step. `moments` has the parameter's number of elements.
pub fn adamw8bit(
    parameter: &mut Tensor,
    moments: &mut Moments8bit,
    gradient: &Tensor,
    options: &AdamW,
) -> Result<()> {
    if !on_cpu(parameter) {
        bail!("8-bit AdamW has no kernel for this device; AdamW has");
    }
    if moments.first.codes.len() != parameter.elem_count() {
        bail!("8-bit moments of another parameter");
    }
    let derived = options.derived();
    let (rate, root, decay) = (
        derived.rate as f32,
        derived.root as f32,
        derived.decay as f32,
    );
    let (beta1, beta2) = (options.beta1 as f32, options.beta2 as f32);
    let (rest1, rest2) = ((1.0 - options.beta1) as f32, (1.0 - options.beta2) as f32);
    let (scale, epsilon) = (options.gradient_scale as f32, options.epsilon as f32);
    let gradient = view(gradient)?;
    let mut values = view(parameter)?.to_vec();
    let Moments8bit { first, second } = moments;
    (
        values.par_chunks_mut(BLOCK),
        gradient.par_chunks(BLOCK),
        first.codes.par_chunks_mut(BLOCK),
        first.magnitudes.par_iter_mut(),
        second.codes.par_chunks_mut(BLOCK),
        second.magnitudes.par_iter_mut(),
    )
        .into_par_iter()
        .for_each(
            |(values, gradient, codes1, magnitude1, codes2, magnitude2)| {
                let (mut m, mut v) = ([0.0_f32; BLOCK], [0.0_f32; BLOCK]);
                let count = values.len();
                for index in 0..count {
                    let g = gradient[index] * scale;
                    m[index] = beta1 * (SIGNED[codes1[index] as usize] * *magnitude1) + rest1 * g;
                    v[index] =
                        beta2 * (UNSIGNED[codes2[index] as usize] * *magnitude2) + rest2 * g * g;
                    let p = &mut values[index];
                    *p = *p * decay - rate * m[index] / (v[index].sqrt() / root + epsilon);
                }
                *magnitude1 = quantize(&SIGNED, &m[..count], codes1);
                *magnitude2 = quantize(&UNSIGNED, &v[..count], codes2);
            },
        );
    update(parameter, |parameter| parameter.copy_from_slice(&values))
}

/// Codes of the nearest values; returns the block's largest magnitude.
fn quantize(map: &[f32; 256], values: &[f32], codes: &mut [u8]) -> f32 {
    let largest = values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    for (code, value) in codes.iter_mut().zip(values) {
        let part = if largest > 0.0 { value / largest } else { 0.0 };
        *code = nearest(map, part);
    }
    largest
}

fn nearest(map: &[f32; 256], part: f32) -> u8 {
    let above = map.partition_point(|value| *value <= part).clamp(1, 255);
    let below = above - 1;
    let code = if map[above] - part < part - map[below] {
        above
    } else {
        below
    };
    code as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_span_seven_decades() {
        for map in [&*SIGNED, &*UNSIGNED] {
            assert!(map.is_sorted());
            assert_eq!(map[255], 1.0);
            assert!(map.contains(&0.0));
        }
        assert_eq!(UNSIGNED[0], 0.0);
        assert!((SIGNED[0] + 0.992_968_75).abs() < 1e-6);
    }

    #[test]
    fn every_value_of_a_map_is_its_own_nearest() {
        for map in [&*SIGNED, &*UNSIGNED] {
            for (code, value) in map.iter().enumerate() {
                assert_eq!(nearest(map, *value) as usize, code);
            }
        }
        assert_eq!(SIGNED[nearest(&SIGNED, 1.0) as usize], 1.0);
        assert_eq!(nearest(&SIGNED, -1.0), 0);
    }
}
