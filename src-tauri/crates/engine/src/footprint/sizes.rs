//! Bytes and weights that follow from a spec alone.

use super::{F32, count};
use crate::spec::{LinearShape, ModelSpec};
use crate::{LoraConfig, LoraInit, OptimizerKind, Result, WeightType};

impl ModelSpec {
    /// Name, outputs and inputs of each linear layer of the blocks.
    pub(super) fn adapted_linears(&self) -> impl Iterator<Item = (String, usize, usize)> {
        let linears = self.linears();
        (0..self.num_hidden_layers).flat_map(move |layer| {
            let named = |linear: &LinearShape| {
                let name = self.in_layer(layer, linear.name);
                (name, linear.out, linear.input)
            };
            linears.iter().map(named).collect::<Vec<_>>()
        })
    }

    /// The shapes of what is trained: the adapter's matrices and what it trains whole, or every
    /// weight.
    pub(super) fn trained_shapes(&self, lora: Option<&LoraConfig>) -> Result<Vec<Vec<usize>>> {
        let Some(lora) = lora else {
            return Ok(self.tensors().into_iter().map(|(_, shape)| shape).collect());
        };
        let mut shapes = Vec::new();
        for (name, out, input) in self.adapted_linears() {
            if lora.target_modules.contains(&name)? {
                let r = lora.rank(&name)?;
                shapes.extend([vec![r, input], vec![out, r]]);
                if lora.use_dora {
                    shapes.push(vec![out]);
                }
            }
        }
        let (embedding, head) = (
            lora.saves(self.embedding_name().trim_end_matches(".weight")),
            lora.saves(self.head_name().trim_end_matches(".weight")),
        );
        let matrices = if self.tie_word_embeddings {
            usize::from(embedding || head)
        } else {
            usize::from(embedding) + usize::from(head)
        };
        shapes.extend(vec![vec![self.vocab_size, self.hidden_size]; matrices]);
        Ok(shapes)
    }

    /// Bytes of a frozen model, exactly.
    pub fn frozen_bytes(&self, weights: WeightType) -> u64 {
        if let (WeightType::Stored, Some(bytes)) = (weights, self.stored_bytes) {
            return bytes;
        }
        let tensors = self.tensors().into_iter();
        tensors
            .map(|(name, shape)| match shape[..] {
                [rows, columns] if self.is_quantised(&name, &shape) => {
                    weights.linear_bytes(rows, columns)
                }
                [rows, columns] => (rows * columns * weights.float().size_in_bytes()) as u64,
                _ => shape.iter().product::<usize>() as u64 * F32,
            })
            .sum()
    }

    /// Weights of an adapter, with what it trains whole.
    pub fn adapter_parameters(&self, lora: &LoraConfig) -> Result<u64> {
        Ok(count(&self.trained_shapes(Some(lora))?))
    }

    /// Bytes of a checkpoint: what is trained, in f32, and what the optimiser remembers of it.
    pub fn checkpoint_bytes(
        &self,
        lora: Option<&LoraConfig>,
        optimizer: OptimizerKind,
    ) -> Result<u64> {
        let shapes = self.trained_shapes(lora)?;
        let states = shapes.iter().map(|shape| optimizer.state_bytes(shape));
        // PiSSA's adapter is saved with twice its rank.
        let doubled = lora.is_some_and(|lora| lora.init_lora_weights == LoraInit::Pissa);
        let copies = if doubled { 2 } else { 1 };
        Ok(copies * count(&shapes) * F32 + states.sum::<u64>())
    }

    /// What a paged optimiser has in memory at once: the state of the largest parameter, and its
    /// bytes on their way from or to the file.
    pub fn paged_bytes(&self, lora: Option<&LoraConfig>, optimizer: OptimizerKind) -> Result<u64> {
        let shapes = self.trained_shapes(lora)?;
        let states = shapes.iter().map(|shape| optimizer.state_bytes(shape));
        Ok(2 * states.max().unwrap_or(0))
    }

    /// Weights of the matrices that every token passes: all but the embedding and the
    /// experts that it does not pass, the head once.
    pub fn matrix_parameters(&self) -> u64 {
        let embedding = (self.vocab_size * self.hidden_size) as u64;
        self.parameter_count()
            - self.idle_parameters()
            - if self.tie_word_embeddings {
                0
            } else {
                embedding
            }
    }
}
