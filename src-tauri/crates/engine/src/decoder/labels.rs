//! The head that scores labels of a whole text from the hidden state of its last token.

use super::{Decoder, Noise};
use crate::parameter::Parameter;
use crate::{Error, Result, SequenceHead};
use attune_data::Batch;
use attune_kernels::{Transpose, in_pool, matmul, matmul_add};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

/// From the scores `(texts, labels)` of a batch to their gradient.
pub(crate) type ScoreGradient<'a> = &'a mut (dyn FnMut(&Tensor) -> Result<Tensor> + Send);

impl Decoder {
    /// Turns a language model into one that scores labels: the output matrix goes, a fresh one for
    /// `head` comes, normal with deviation 0.02 as in transformers. Drops an adapter and freezes
    /// all; attach one, or make all trainable, afterwards. The new matrix is trained either way.
    pub fn attach_sequence_head(&mut self, head: SequenceHead, seed: u64) -> Result<()> {
        head.check(self.spec.family)?;
        self.freeze()?;
        let mut spec = self.spec.clone();
        spec.sequence_head = Some(head);
        let Some((name, shape)) = spec.score() else {
            unreachable!("the head was put there");
        };
        let normal = Normal::new(0.0_f32, 0.02).map_err(candle_core::Error::wrap)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = shape.iter().product();
        let values: Vec<f32> = normal.sample_iter(&mut rng).take(count).collect();
        let value = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(&self.device)?;
        self.score = Some(Parameter::frozen(name, value));
        self.head = None;
        self.spec = spec;
        Ok(())
    }

    /// Scores `(texts, labels)` of the texts of a batch.
    pub fn label_scores(&self, batch: &Batch) -> Result<Tensor> {
        let score = self.score()?;
        in_pool(|| {
            let last = self.select(&self.forward(batch)?, &last_rows(batch))?;
            let hidden = self.norm.forward(&last)?;
            Ok(matmul(&hidden, &score.value, Transpose::Right)?)
        })
    }

    /// Forward and backward of the texts of a batch: adds the gradients that follow from the one
    /// `gradient` gives for their scores.
    pub(crate) fn labels_and_backward(
        &mut self,
        batch: &Batch,
        gradient: ScoreGradient<'_>,
        recompute: bool,
        noise: Option<&Noise>,
    ) -> Result<()> {
        self.score()?;
        self.with_noise(noise, |decoder| {
            let pass = decoder.forward_kept(batch, recompute, noise)?;
            let rows = last_rows(batch);
            let last = decoder.select(&pass.x, &rows)?;
            let hidden = decoder.norm.forward(&last)?;
            let score = decoder.score.as_mut().ok_or_else(no_labels)?;
            let dscores = gradient(&matmul(&hidden, &score.value, Transpose::Right)?)?;
            let dhidden = matmul(&dscores, &score.value, Transpose::Neither)?;
            if let Some(gradient) = score.gradient_mut() {
                matmul_add(gradient, 1.0, &dscores, &hidden, Transpose::Left)?;
            }
            let dlast = decoder.norm.backward(&last, &dhidden)?;
            decoder.backward(batch, pass, &rows, dlast)
        })
    }

    fn score(&self) -> Result<&Parameter> {
        self.score.as_ref().ok_or_else(no_labels)
    }
}

fn no_labels() -> Error {
    Error::OtherHead {
        has: "predicts tokens",
        lacks: "does not score labels",
    }
}

/// The row of each text's last token.
fn last_rows(batch: &Batch) -> Vec<u32> {
    let last = batch.segments.iter();
    last.map(|segment| (segment.start + segment.len - 1) as u32)
        .collect()
}
