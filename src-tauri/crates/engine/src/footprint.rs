//! The memory of a training step, predicted from sizes alone.
//!
//! The parts follow what `block`, `linear`, `optimizer` and the chunked cross-entropy keep; every
//! activation is f32.

use crate::{LINEAR_MODULES, ModelSpec};

/// Bytes of an f32.
const F32: u64 = 4;
/// Numbers of logits that exist at once; their gradients take their place: see
/// `kernels::cross_entropy`.
const LOGIT_CHUNK: u64 = 12 * 1024 * 1024;
/// The program itself: code, tokenizer, allocator.
const PROGRAM: u64 = 60_000_000;

/// What decides the memory of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload<'a> {
    /// Rank and layers of the adapter (none named: all); absent where every weight is trained.
    pub lora: Option<(usize, &'a [String])>,
    /// Bytes of a frozen weight.
    pub weight_bytes: u64,
    /// Tokens of a micro-batch.
    pub tokens: u64,
    /// Whether blocks keep only their input.
    pub recompute: bool,
}

/// Bytes by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The model.
    pub weights: u64,
    /// Trained weights beside it.
    pub adapter: u64,
    /// A gradient for each trained weight.
    pub gradients: u64,
    /// AdamW's two moments.
    pub optimizer: u64,
    /// What the backward wants, and the intermediate values of the block at work.
    pub activations: u64,
    /// A chunk of logits.
    pub logits: u64,
    /// The program.
    pub program: u64,
}

impl Footprint {
    /// Predicts a step.
    pub fn of(spec: &ModelSpec, work: &Workload<'_>) -> Self {
        let parameters = spec.parameter_count();
        let (weights, adapter, trained) = match work.lora {
            Some((rank, modules)) => {
                let adapter = spec.adapter_parameters(rank, modules);
                (parameters * work.weight_bytes, adapter * F32, adapter)
            }
            None => (parameters * F32, 0, parameters),
        };
        // Our matrix kernels widen 2-byte weights while they pack them; elsewhere it is done one
        // matrix at a time.
        let packs = cfg!(target_arch = "x86_64");
        let widened = if work.lora.is_some() && work.weight_bytes < F32 && !packs {
            (spec.hidden_size * spec.intermediate_size.max(spec.vocab_size)) as u64 * F32
        } else {
            0
        };
        Self {
            weights,
            adapter,
            gradients: trained * F32,
            optimizer: trained * 2 * F32,
            activations: work.tokens * activations_per_token(spec, work) * F32 + widened,
            logits: (work.tokens * spec.vocab_size as u64).min(LOGIT_CHUNK) * F32,
            program: PROGRAM,
        }
    }

    /// The sum of all parts.
    pub fn total(&self) -> u64 {
        self.weights
            + self.adapter
            + self.gradients
            + self.optimizer
            + self.activations
            + self.logits
            + self.program
    }
}

/// Numbers kept for a token over all blocks, with those in flight in one.
fn activations_per_token(spec: &ModelSpec, work: &Workload<'_>) -> u64 {
    let hidden = spec.hidden_size as u64;
    let middle = spec.intermediate_size as u64;
    let queries = (spec.num_attention_heads * spec.head_dim) as u64;
    let keys = (spec.num_key_value_heads * spec.head_dim) as u64;
    let rank = work
        .lora
        .map_or(0, |(rank, _)| (rank * LINEAR_MODULES.len()) as u64);
    // The block's input and its middle, q, k, v, the mixed values, gate and up.
    let block = 2 * hidden + 2 * queries + 2 * keys + 2 * middle + rank;
    // In flight in a backward: gradients of the same, the activated product and its gradient.
    let flight = 4 * hidden + 2 * queries + 2 * keys + 4 * middle;
    let layers = spec.num_hidden_layers as u64;
    if work.recompute {
        layers * hidden + block + flight
    } else {
        layers * block + flight
    }
}

impl ModelSpec {
    /// Weights of an adapter of `rank` on `modules`, or on every linear layer but the head where
    /// none is named: rank × (inputs + outputs) of each layer.
    pub fn adapter_parameters(&self, rank: usize, modules: &[String]) -> u64 {
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let sides = |module: &str| match module {
            "q_proj" | "o_proj" => self.hidden_size + queries,
            "k_proj" | "v_proj" => self.hidden_size + keys,
            _ => self.hidden_size + self.intermediate_size,
        };
        let sides: usize = LINEAR_MODULES
            .iter()
            .copied()
            .filter(|module| modules.is_empty() || modules.iter().any(|name| name == module))
            .map(sides)
            .sum();
        (sides * rank * self.num_hidden_layers) as u64
    }

    /// Weights of the matrices that every token passes: all but the embedding, the head once.
    pub fn matrix_parameters(&self) -> u64 {
        let embedding = (self.vocab_size * self.hidden_size) as u64;
        self.parameter_count()
            - if self.tie_word_embeddings {
                0
            } else {
                embedding
            }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{Decoder, Device, LoraConfig};
    use serde_json::json;

    fn spec() -> ModelSpec {
        let config = json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 160,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "vocab_size": 300, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": false, "hidden_act": "silu"
        });
        ModelSpec::from_json(&config).unwrap()
    }

    /// The count must be that of the adapter the decoder really makes.
    #[test]
    fn an_adapter_has_the_parameters_it_is_said_to_have() {
        let mut decoder = Decoder::random(&spec(), 1, &Device::Cpu).unwrap();
        let config = LoraConfig {
            r: 8,
            lora_alpha: 16.0,
            target_modules: Vec::new(),
            use_rslora: false,
        };
        decoder.attach_lora(&config, 1).unwrap();
        assert_eq!(
            decoder.parameter_counts().trainable,
            spec().adapter_parameters(8, &[])
        );
    }

    #[test]
    fn every_lever_makes_it_smaller() {
        let spec = spec();
        let large = Workload {
            lora: Some((16, &[])),
            weight_bytes: 4,
            tokens: 1024,
            recompute: false,
        };
        let total = |work: &Workload<'_>| Footprint::of(&spec, work).total();
        let recomputed = Workload {
            recompute: true,
            ..large.clone()
        };
        let shorter = Workload {
            tokens: 512,
            ..large.clone()
        };
        assert!(total(&recomputed) < total(&large));
        assert!(total(&shorter) < total(&large));
        let full = Footprint::of(
            &spec,
            &Workload {
                lora: None,
                ..large.clone()
            },
        );
        assert_eq!(full.optimizer, spec.parameter_count() * 8);
        assert!(full.total() > full.activations + full.weights);
    }
}
