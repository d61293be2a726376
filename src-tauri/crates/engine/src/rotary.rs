//! Cosines and sines of the rotary position embedding.

use crate::{ModelSpec, Result, RopeScaling};
use candle_core::{Device, Tensor};
use std::f64::consts::PI;

/// Tables `(positions, head_dim / 2)`.
pub(crate) struct Rotary {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

impl Rotary {
    /// Tables for the first `positions` positions.
    pub(crate) fn new(spec: &ModelSpec, positions: usize, device: &Device) -> Result<Self> {
        let frequencies = frequencies(spec);
        let angles: Vec<f32> = (0..positions)
            .flat_map(|position| {
                frequencies
                    .iter()
                    .map(move |frequency| position as f32 * frequency)
            })
            .collect();
        let angles = Tensor::from_vec(angles, (positions, frequencies.len()), &Device::Cpu)?;
        Ok(Self {
            cos: angles.cos()?.to_device(device)?,
            sin: angles.sin()?.to_device(device)?,
        })
    }

    /// Number of positions in the tables.
    pub(crate) fn positions(&self) -> Result<usize> {
        Ok(self.cos.dim(0)?)
    }
}

/// Radians per position of each pair of a head.
fn frequencies(spec: &ModelSpec) -> Vec<f32> {
    (0..spec.head_dim / 2)
        .map(|pair| {
            spec.rope_theta
                .powf(-2.0 * pair as f64 / spec.head_dim as f64)
        })
        .map(|frequency| scaled(frequency, spec.rope_scaling) as f32)
        .collect()
}

fn scaled(frequency: f64, scaling: Option<RopeScaling>) -> f64 {
    match scaling {
        None => frequency,
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
    }
}
