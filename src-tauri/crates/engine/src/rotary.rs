//! Cosines and sines of the rotary position embedding.

use crate::{Result, Rope, RopeScaling};
use candle_core::{Device, Tensor};
use std::f64::consts::PI;
use std::sync::{Arc, PoisonError, RwLock};

/// Positions that tables hold at first.
const FIRST: usize = 256;

/// Tables `(rows, rotary_dim / 2)`.
pub(crate) struct Tables {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

/// The tables of one rotary embedding for one batch.
pub(crate) struct Angles {
    pub(crate) tables: Arc<Tables>,
    /// Each row's place in the tables, where that is not its position.
    pub(crate) rows: Option<Vec<u32>>,
}

/// A rotary embedding with tables that grow.
pub(crate) struct Rotary {
    rope: Rope,
    device: Device,
    tables: RwLock<Arc<Tables>>,
}

impl Rotary {
    pub(crate) fn new(rope: &Rope, device: &Device) -> Result<Self> {
        Ok(Self {
            rope: rope.clone(),
            device: device.clone(),
            tables: RwLock::new(by_position(rope, FIRST, device)?.into()),
        })
    }

    /// Tables for rows at `positions` of samples of `lengths`, one of each for a row.
    ///
    /// Where the angles depend on a sample's length (dynamic NTK, `LongRoPE`), a sample in a packed
    /// batch turns as it would alone, by its own length. transformers takes the longest of a batch,
    /// and for dynamic NTK even remembers that of earlier ones.
    pub(crate) fn angles(&self, positions: &[u32], lengths: &[usize]) -> Result<Angles> {
        if lengths.iter().any(|length| self.rope.regime(*length) != 0) {
            return self.by_row(positions, lengths);
        }
        let needed = positions.iter().max().map_or(0, |last| *last as usize + 1);
        // Tables are replaced whole, so a thread that panicked left them sound.
        // The lock is given back at once: it is taken again to grow.
        let known = || {
            self.tables
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        let mut tables = known();
        if needed > tables.cos.dim(0)? {
            tables = by_position(&self.rope, needed.next_power_of_two(), &self.device)?.into();
            *self.tables.write().unwrap_or_else(PoisonError::into_inner) = tables.clone();
        }
        Ok(Angles { tables, rows: None })
    }

    /// Tables of these rows alone.
    fn by_row(&self, positions: &[u32], lengths: &[usize]) -> Result<Angles> {
        let mut angles = Vec::new();
        let mut known: Option<(usize, Vec<f32>)> = None;
        for (position, length) in positions.iter().zip(lengths) {
            let frequencies = match known.take() {
                Some((at, frequencies)) if at == *length => frequencies,
                _ => frequencies(&self.rope, *length),
            };
            angles.extend(
                frequencies
                    .iter()
                    .map(|frequency| *position as f32 * frequency),
            );
            known = Some((*length, frequencies));
        }
        let tables = tables(&self.rope, angles, positions.len(), &self.device)?;
        Ok(Angles {
            tables: tables.into(),
            rows: Some((0..positions.len() as u32).collect()),
        })
    }
}

/// Tables for the first `positions` positions of a sample whose length does not matter.
fn by_position(rope: &Rope, positions: usize, device: &Device) -> Result<Tables> {
    let frequencies = frequencies(rope, 0);
    let angles = (0..positions)
        .flat_map(|position| {
            frequencies
                .iter()
                .map(move |frequency| position as f32 * frequency)
        })
        .collect();
    tables(rope, angles, positions, device)
}

fn tables(rope: &Rope, angles: Vec<f32>, rows: usize, device: &Device) -> Result<Tables> {
    let angles = Tensor::from_vec(angles, (rows, rope.rotary_dim / 2), &Device::Cpu)?;
    let (mut cos, mut sin) = (angles.cos()?, angles.sin()?);
    if let Some(
        RopeScaling::Yarn {
            attention_factor, ..
        }
        | RopeScaling::LongRope {
            attention_factor, ..
        },
    ) = rope.scaling
    {
        cos = (cos * attention_factor)?;
        sin = (sin * attention_factor)?;
    }
    Ok(Tables {
        cos: cos.to_device(device)?,
        sin: sin.to_device(device)?,
    })
}

/// Radians per position of each pair of a head, in a sample of `length`.
fn frequencies(rope: &Rope, length: usize) -> Vec<f32> {
    let dim = rope.rotary_dim as f64;
    let mut theta = rope.theta;
    if let Some(RopeScaling::Dynamic { factor, original }) = rope.scaling
        && length > original
    {
        let stretch = factor * length as f64 / original as f64 - (factor - 1.0);
        theta *= stretch.powf(dim / (dim - 2.0));
    }
    (0..rope.rotary_dim / 2)
        .map(|pair| {
            let frequency = theta.powf(-2.0 * pair as f64 / dim);
            scaled(rope, pair, frequency, length) as f32
        })
        .collect()
}

fn scaled(rope: &Rope, pair: usize, frequency: f64, length: usize) -> f64 {
    match &rope.scaling {
        None | Some(RopeScaling::Dynamic { .. }) => frequency,
        Some(RopeScaling::Linear { factor }) => frequency / factor,
        Some(RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: original,
        }) => {
            let wavelength = 2.0 * PI / frequency;
            if wavelength < original / high {
                frequency
            } else if wavelength > original / low {
                frequency / factor
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
        Some(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: original,
            beta_fast,
            beta_slow,
            truncate,
            ..
        }) => {
            // The pair that makes so many turns in the pretraining's length.
            let dim = rope.rotary_dim as f64;
            let pair_of = |turns: f64| {
                dim * (*original as f64 / (turns * 2.0 * PI)).ln() / (2.0 * rope.theta.ln())
            };
            let (mut first, mut last) = (pair_of(*beta_fast), pair_of(*beta_slow));
            if *truncate {
                (first, last) = (first.floor(), last.ceil());
            }
            let (first, mut last) = (first.max(0.0), last.min(dim - 1.0));
            if first == last {
                last += 0.001;
            }
            let ramp = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
            ramp * frequency / factor + (1.0 - ramp) * frequency
        }
        Some(RopeScaling::LongRope {
            short_factor,
            long_factor,
            original_max_position_embeddings: original,
            ..
        }) => {
            let divisors = if length > *original {
                long_factor
            } else {
                short_factor
            };
            frequency / divisors[pair]
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{FIRST, Rotary};
    use crate::Rope;
    use candle_core::Device;

    /// Tables once waited for the lock they held themselves.
    #[test]
    fn tables_grow_with_the_longest_sample() {
        let rope = Rope {
            theta: 10_000.0,
            rotary_dim: 8,
            scaling: None,
        };
        let rotary = Rotary::new(&rope, &Device::Cpu).unwrap();
        let rows = |length: usize| {
            let positions: Vec<u32> = (0..length as u32).collect();
            let angles = rotary.angles(&positions, &vec![length; length]).unwrap();
            assert!(angles.rows.is_none());
            angles.tables.cos.dim(0).unwrap()
        };
        assert_eq!(rows(10), FIRST);
        assert_eq!(rows(FIRST + 1), 2 * FIRST);
        assert_eq!(rows(10), 2 * FIRST);
    }
}
