//! The random parts of a training step: dropout before the adapters, and NEFTune's noise on the
//! embeddings. Both are pure functions of where a run stands, so that a recomputed block meets the
//! same numbers and a resumed run goes on with the same bits.

use super::{Decoder, Weighing};
use crate::Result;
use crate::block::Block;
use attune_data::Batch;
use attune_kernels::{NoiseKey, Span, add_uniform_noise, in_pool};
use candle_core::Tensor;

/// Where a run stands, and how strong its noise is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Of the run.
    pub seed: u64,
    /// The optimiser step, counted from 1.
    pub step: u64,
    /// The micro-batch within the step.
    pub micro_batch: u64,
    /// α of NEFTune (Jain et al., 2024); 0 for none.
    pub neftune_noise_alpha: f64,
}

/// Stands in a key where a linear layer has its number.
const EMBEDDINGS: u64 = u64::MAX;

impl Noise {
    fn key(&self, part: u64) -> NoiseKey {
        NoiseKey::new(&[self.seed, self.step, self.micro_batch, part])
    }

    /// Adds uniform noise up to `α / sqrt(L · H)` to the embeddings `x (N, H)` of samples of `L`
    /// tokens, as TRL does. The gradient is not touched by it.
    pub(super) fn add_to_embeddings(&self, x: &mut Tensor, spans: &[Span]) -> Result<()> {
        if self.neftune_noise_alpha == 0.0 {
            return Ok(());
        }
        let (rows, width) = x.dims2()?;
        let mut magnitudes = vec![0.0; rows];
        for span in spans {
            let elements = (span.len * width) as f64;
            let magnitude = self.neftune_noise_alpha / elements.sqrt();
            magnitudes[span.start..][..span.len].fill(magnitude as f32);
        }
        Ok(add_uniform_noise(x, &magnitudes, self.key(EMBEDDINGS))?)
    }
}

impl Decoder {
    /// [`Decoder::loss_and_backward`] as a step of training has it, with its random parts.
    pub fn noisy_loss_and_backward(
        &mut self,
        batch: &Batch,
        scale: f32,
        recompute: bool,
        noise: &Noise,
    ) -> Result<f64> {
        self.weighted_loss_and_backward(batch, Weighing::Uniform(scale), recompute, Some(noise))
    }

    /// Runs `work` with dropout as `noise` has it, and with none afterwards.
    pub(super) fn with_noise<T: Send>(
        &mut self,
        noise: Option<&Noise>,
        work: impl FnOnce(&mut Self) -> Result<T> + Send,
    ) -> Result<T> {
        self.set_noise(noise);
        let result = in_pool(|| work(self));
        // Whether or not it failed: what is asked of the model next must not meet it.
        self.set_noise(None);
        result
    }

    fn set_noise(&mut self, noise: Option<&Noise>) {
        let linears = self.layers.iter_mut().flat_map(Block::linears_mut);
        for (layer, linear) in (0..).zip(linears) {
            if let Some(lora) = &mut linear.lora {
                lora.noise = noise.map(|noise| noise.key(layer));
            }
        }
    }
}
