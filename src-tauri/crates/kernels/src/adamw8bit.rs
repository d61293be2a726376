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

/// Signed for the first moment, unsigned for the second.
pub(crate) static SIGNED: LazyLock<Map> = LazyLock::new(|| Map::new(true));
static UNSIGNED: LazyLock<Map> = LazyLock::new(|| Map::new(false));

/// Bits of an f32 below those that name a bin: six of the mantissa are left.
const BIN_SHIFT: u32 = 17;
/// The bin of 2⁻²⁴: whatever is smaller shares the first.
const FIRST_BIN: u32 = 103 << 6;
/// Bins up to 1.
const BINS: usize = (24 << 6) + 1;

/// The values a code can stand for.
pub(crate) struct Map {
    /// In rising order.
    pub(crate) values: [f32; 256],
    /// Between a value and the next.
    middles: [f32; 255],
    /// The code nearest to the lowest number of each bin, of positive and of negative ones: from
    /// there the nearest is a step or two up.
    starts: [Vec<u8>; 2],
}

impl Map {
    fn new(signed: bool) -> Self {
        let values = dynamic_map(signed);
        let middles = std::array::from_fn(|code| f32::midpoint(values[code], values[code + 1]));
        let nearest = |part: f32| middles.partition_point(|middle| *middle < part) as u8;
        let edge = |bin: usize| match bin {
            0 => 0.0,
            _ => f32::from_bits((bin as u32 + FIRST_BIN) << BIN_SHIFT),
        };
        let starts = [
            (0..BINS).map(|bin| nearest(edge(bin))).collect(),
            (0..BINS).map(|bin| nearest(-edge(bin + 1))).collect(),
        ];
        Self {
            values,
            middles,
            starts,
        }
    }

    /// The code of the value nearest to `part`, of -1 to 1.
    fn nearest(&self, part: f32) -> u8 {
        let bits = part.to_bits();
        let bin = ((bits & !(1 << 31)) >> BIN_SHIFT).saturating_sub(FIRST_BIN) as usize;
        let mut code = self.starts[(bits >> 31) as usize][bin.min(BINS - 1)];
        while code < 255 && part > self.middles[code as usize] {
            code += 1;
        }
        code
    }
}

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

/// Moves `parameter` by one step. `moments` has the parameter's number of elements, and is on the
/// CPU: on another device the step goes through it, gradient and parameter there and back.
pub fn adamw8bit(
    parameter: &mut Tensor,
    moments: &mut Moments8bit,
    gradient: &Tensor,
    options: &AdamW,
) -> Result<()> {
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
    let (signed, unsigned) = (&*SIGNED, &*UNSIGNED);
    let device = parameter.device().clone();
    let (gradient, held) = (
        gradient.to_device(&Device::Cpu)?,
        parameter.to_device(&Device::Cpu)?,
    );
    let gradient = view(&gradient)?;
    let mut values = view(&held)?.to_vec();
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
                    m[index] =
                        beta1 * (signed.values[codes1[index] as usize] * *magnitude1) + rest1 * g;
                    v[index] = beta2 * (unsigned.values[codes2[index] as usize] * *magnitude2)
                        + rest2 * g * g;
                    let p = &mut values[index];
                    *p = *p * decay - rate * m[index] / (v[index].sqrt() / root + epsilon);
                }
                *magnitude1 = quantize(signed, &m[..count], codes1);
                *magnitude2 = quantize(unsigned, &v[..count], codes2);
            },
        );
    if on_cpu(parameter) {
        return update(parameter, |parameter| parameter.copy_from_slice(&values));
    }
    *parameter = Tensor::from_vec(values, parameter.shape(), &Device::Cpu)?.to_device(&device)?;
    Ok(())
}

/// Codes of the nearest values; returns the block's largest magnitude.
fn quantize(map: &Map, values: &[f32], codes: &mut [u8]) -> f32 {
    let largest = values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    for (code, value) in codes.iter_mut().zip(values) {
        let part = if largest > 0.0 { value / largest } else { 0.0 };
        *code = map.nearest(part);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_span_seven_decades() {
        for map in [&SIGNED.values, &UNSIGNED.values] {
            assert!(map.is_sorted());
            assert_eq!(map[255], 1.0);
            assert!(map.contains(&0.0));
        }
        assert_eq!(UNSIGNED.values[0], 0.0);
        assert!((SIGNED.values[0] + 0.992_968_75).abs() < 1e-6);
    }

    #[test]
    fn the_nearest_is_the_nearest_of_all() {
        for map in [&*SIGNED, &*UNSIGNED] {
            for (code, value) in map.values.iter().enumerate() {
                assert_eq!(map.nearest(*value) as usize, code);
            }
            for step in 0..200_000 {
                let size = 10_f32.powf(-8.0 * (step / 2) as f32 / 100_000.0);
                let part = if step % 2 == 0 { size } else { -size };
                let distance = |value: f32| (value - part).abs();
                let found = distance(map.values[map.nearest(part) as usize]);
                let best = map.values.iter().copied().map(distance);
                let best = best.fold(f32::INFINITY, f32::min);
                assert!(found <= best * 1.001, "{part}: {found} and {best}");
            }
        }
    }
}
