//! AdamW over the trainable parameters, with clipping by the global norm.

use crate::parameter::Parameter;
use crate::{Decoder, Error, Result, weights};
use attune_kernels::{AdamW, adamw, in_pool, squared_norm};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// First and second moments of every trainable parameter, `(2, n)` each.
pub(crate) struct Optimizer {
    moments: BTreeMap<String, Tensor>,
}

impl Optimizer {
    /// Moments of zero.
    pub(crate) fn new(decoder: &Decoder) -> Result<Self> {
        let zeros =
            |value: &Tensor| Tensor::zeros((2, value.elem_count()), DType::F32, value.device());
        let moments = decoder
            .trainable()
            .into_iter()
            .map(|(name, value)| Ok((name, zeros(&value)?)))
            .collect::<Result<_>>()?;
        Ok(Self { moments })
    }

    /// One step over the gathered gradients, which are cleared. Returns their global norm before
    /// clipping; `clip` of 0 leaves them as they are. `options.gradient_scale` is set here.
    pub(crate) fn step(&mut self, decoder: &mut Decoder, options: AdamW, clip: f64) -> Result<f64> {
        in_pool(|| self.update(decoder, options, clip))
    }

    fn update(&mut self, decoder: &mut Decoder, options: AdamW, clip: f64) -> Result<f64> {
        let mut squared = 0.0;
        for gradient in decoder.gradients().values() {
            squared += squared_norm(gradient)?;
        }
        let norm = squared.sqrt();
        if !norm.is_finite() {
            return Err(Error::Diverged { step: options.step });
        }
        // As torch.nn.utils.clip_grad_norm_ does it.
        let gradient_scale = if clip > 0.0 {
            (clip / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        decoder.visit_mut(&mut |parameter: &mut Parameter| {
            let Some(moments) = self.moments.get_mut(&parameter.name) else {
                return Ok(());
            };
            // Biases and norm weights are not decayed, as in transformers' Trainer.
            let decays = parameter.value.rank() > 1;
            let weight_decay = if decays { options.weight_decay } else { 0.0 };
            let options = AdamW {
                weight_decay,
                gradient_scale,
                ..options
            };
            if let Some((value, gradient)) = parameter.value_and_gradient() {
                adamw(value, moments, gradient, &options)?;
            }
            parameter.clear_gradient()
        })?;
        Ok(norm)
    }

    /// Writes the moments.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        weights::save(path, self.moments.clone().into_iter().collect())
    }

    /// Reads moments that `save` wrote; they must be those of `decoder`'s trainable parameters.
    pub(crate) fn load(path: &Path, decoder: &Decoder, device: &Device) -> Result<Self> {
        let fresh = Self::new(decoder)?;
        let moments = weights::read(path, device)?;
        let fits = fresh.moments.len() == moments.len()
            && fresh.moments.iter().all(|(name, zeros)| {
                moments
                    .get(name)
                    .is_some_and(|moments| moments.shape() == zeros.shape())
            });
        if fits {
            Ok(Self { moments })
        } else {
            let reason = "the optimiser's state belongs to other parameters".to_owned();
            Err(Error::CheckpointMismatch {
                folder: path.to_owned(),
                reason,
            })
        }
    }
}
