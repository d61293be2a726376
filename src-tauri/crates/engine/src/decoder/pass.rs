//! Forward and backward of one batch, and the loss between them: what each token's prediction
//! costs, weighed as an objective wants it.

use super::{Decoder, Noise, Rows, counted};
use crate::Result;
use crate::block::{self, Context};
use crate::linear::Products;
use crate::rotary::Angles;
use attune_data::Batch;
use attune_kernels::{embedding_backward, linear_cross_entropy_rows, linear_token_losses, scaled};
use candle_core::Tensor;

/// How much the loss of each counted row weighs in what is minimised.
pub(crate) enum Weighing<'a> {
    /// All the same.
    Uniform(f32),
    /// As this says once it has seen the losses (nats, in the order of the rows): `∂L/∂loss` of
    /// any function `L` of them, such as one of the log-probabilities of whole samples.
    ByLosses(&'a mut (dyn FnMut(&[f64]) -> Vec<f32> + Send)),
}

/// A block's input alone, or all that its backward wants.
enum Kept {
    Input(Tensor),
    Saved(block::Saved),
}

/// A forward whose backward is still to come.
pub(super) struct Pass {
    /// The residual stream after the last block, `(N, H)`.
    pub(super) x: Tensor,
    /// One for each block.
    kept: Vec<Kept>,
    rows: Rows,
    angles: Vec<Angles>,
}

impl Pass {
    fn context(&self) -> Context<'_> {
        Context {
            spans: &self.rows.spans,
            positions: &self.rows.positions,
            angles: &self.angles,
            products: Products::Exact,
        }
    }
}

impl Decoder {
    /// Forward and backward of one batch. Adds the gradient of `scale · Σ loss` to every trainable
    /// parameter and returns `Σ loss` in nats. With `recompute`, a block keeps only its input and
    /// runs forward again when its turn in the backward comes.
    pub fn loss_and_backward(&mut self, batch: &Batch, scale: f32, recompute: bool) -> Result<f64> {
        self.weighted_loss_and_backward(batch, Weighing::Uniform(scale), recompute, None)
    }

    /// [`Decoder::loss_and_backward`] with a weight for each row, and with the random parts of a
    /// step of training.
    pub(crate) fn weighted_loss_and_backward(
        &mut self,
        batch: &Batch,
        weighing: Weighing<'_>,
        recompute: bool,
        noise: Option<&Noise>,
    ) -> Result<f64> {
        self.check_writes()?;
        self.with_noise(noise, |decoder| {
            let pass = decoder.forward_kept(batch, recompute, noise)?;
            // Only rows that count go through the final norm and the output matrix.
            let (rows, targets) = counted(batch);
            if rows.is_empty() {
                return Ok(0.0);
            }
            let last = decoder.select(&pass.x, &rows)?;
            let hidden = decoder.norm.forward(&last)?;
            let (losses, dhidden) = decoder.row_losses(&hidden, &targets, weighing)?;
            let dlast = decoder.norm.backward(&last, &dhidden)?;
            drop((last, hidden, dhidden));
            decoder.backward(batch, pass, &rows, dlast)?;
            Ok(losses.iter().sum())
        })
    }

    /// `-ln p(target)` of each counted row as a step of training meets it, with its random parts.
    pub(crate) fn noisy_token_losses(&mut self, batch: &Batch, noise: &Noise) -> Result<Vec<f32>> {
        self.check_writes()?;
        self.with_noise(Some(noise), |decoder| {
            let (rows, targets) = counted(batch);
            let x = decoder.forward_kept(batch, true, Some(noise))?.x;
            let hidden = decoder.norm.forward(&decoder.select(&x, &rows)?)?;
            let weight = decoder.output().operand();
            Ok(linear_token_losses(
                &hidden,
                weight,
                &targets,
                decoder.head(),
            )?)
        })
    }

    /// The loss of each row of `hidden (M, H)` and the gradient of `hidden`; adds that of the
    /// output matrix.
    fn row_losses(
        &mut self,
        hidden: &Tensor,
        targets: &[u32],
        weighing: Weighing<'_>,
    ) -> Result<(Vec<f64>, Tensor)> {
        let head = self.head();
        let output = self.head.as_mut().unwrap_or(&mut self.embed);
        let (weight, gradient) = output.operand_and_gradient();
        let weigh = match weighing {
            Weighing::Uniform(scale) => {
                let scales = vec![scale; targets.len()];
                return Ok(linear_cross_entropy_rows(
                    hidden, weight, targets, head, &scales, gradient,
                )?);
            }
            Weighing::ByLosses(weigh) => weigh,
        };
        if let Some(gradient) = gradient {
            // The gradient of the matrix mixes the rows, so their weights come first.
            let losses = linear_token_losses(hidden, weight, targets, head)?;
            let losses: Vec<f64> = losses.into_iter().map(f64::from).collect();
            let scales = weigh(&losses);
            return Ok(linear_cross_entropy_rows(
                hidden,
                weight,
                targets,
                head,
                &scales,
                Some(gradient),
            )?);
        }
        // That of a row of `hidden` is linear in its weight: one pass over the vocabulary is enough.
        let ones = vec![1.0; targets.len()];
        let (losses, dhidden) =
            linear_cross_entropy_rows(hidden, weight, targets, head, &ones, None)?;
        let scales = Tensor::new(weigh(&losses), hidden.device())?.unsqueeze(1)?;
        Ok((losses, dhidden.broadcast_mul(&scales)?))
    }

    /// The blocks' forward, keeping what their backward wants.
    pub(super) fn forward_kept(
        &self,
        batch: &Batch,
        recompute: bool,
        noise: Option<&Noise>,
    ) -> Result<Pass> {
        let rows = self.rows(batch)?;
        let angles = self.angles(&rows)?;
        let mut x = self.embed(&batch.tokens)?;
        if let Some(noise) = noise {
            noise.add_to_embeddings(&mut x, &rows.spans)?;
        }
        let mut pass = Pass {
            x,
            kept: Vec::with_capacity(self.layers.len()),
            rows,
            angles,
        };
        for layer in &self.layers {
            let (y, saved) = layer.forward(&pass.x, &pass.context(), None)?;
            let x = std::mem::replace(&mut pass.x, y);
            pass.kept.push(if recompute {
                Kept::Input(x)
            } else {
                Kept::Saved(saved)
            });
        }
        Ok(pass)
    }

    /// The blocks' backward and the embedding's, from the gradient `dlast` of some `rows` of their
    /// result; that of the others is zero.
    pub(super) fn backward(
        &mut self,
        batch: &Batch,
        pass: Pass,
        rows: &[u32],
        dlast: Tensor,
    ) -> Result<()> {
        let mut dx = pass.x.zeros_like()?;
        embedding_backward(&mut dx, rows, &dlast)?;
        let Pass {
            x,
            mut kept,
            rows,
            angles,
        } = pass;
        drop((x, dlast));
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            angles: &angles,
            products: Products::Exact,
        };
        let wants_embedding = self.embed.is_trainable();
        for (index, layer) in self.layers.iter_mut().enumerate().rev() {
            let saved = match kept.pop() {
                Some(Kept::Saved(saved)) => saved,
                Some(Kept::Input(x)) => layer.forward(&x, &context, None)?.1,
                None => unreachable!("one is kept per layer"),
            };
            match layer.backward(saved, &dx, &context, index > 0 || wants_embedding)? {
                Some(next) => dx = next,
                None => return Ok(()),
            }
        }
        if let Some(gradient) = self.embed.gradient_mut() {
            if self.spec.embedding_scale != 1.0 {
                dx = scaled(&dx, self.spec.embedding_scale as f32)?;
            }
            embedding_backward(gradient, &batch.tokens, &dx)?;
        }
        Ok(())
    }
}
