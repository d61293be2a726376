//! The memory of a training step, predicted from sizes alone.
//!
//! The parts follow what `block`, `linear`, `optimizer` and the chunked cross-entropy keep; every
//! activation is f32.

use crate::spec::{LinearShape, MlpKind, ModelSpec, NormPlacement, QkvProjection, Residual};

/// Bytes of an f32.
const F32: u64 = 4;
/// Numbers of logits that exist at once, and their gradients: see `kernels::cross_entropy`.
const LOGIT_CHUNK: u64 = 4 * 1024 * 1024;
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
    /// A chunk of logits with its gradient.
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
        // 2-byte weights are widened where they are used, one matrix at a time.
        let widened = if work.lora.is_some() && work.weight_bytes < F32 {
            let linears = spec.linears();
            let matrices = linears.iter().map(|linear| linear.out * linear.input);
            let largest = matrices.chain([spec.hidden_size * spec.vocab_size]).max();
            largest.unwrap_or(0) as u64 * F32
        } else {
            0
        };
        Self {
            weights,
            adapter,
            gradients: trained * F32,
            optimizer: trained * 2 * F32,
            activations: work.tokens * activations_per_token(spec, work) * F32 + widened,
            logits: (work.tokens * spec.vocab_size as u64).min(LOGIT_CHUNK) * 2 * F32,
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
    let rank = work.lora.map_or(0, |(rank, modules)| {
        rank * targeted(&spec.linears(), modules).count()
    }) as u64;
    // What enters the activation, and what its gradient and product take besides.
    let (entering, leaving) = match spec.mlp {
        MlpKind::Gated | MlpKind::GatedFused => (2 * middle, 4 * middle),
        MlpKind::Plain => (middle, 3 * middle),
    };
    // The block's input and its middle, q, k, v, the mixed values, what enters the activation.
    let mut block = 2 * hidden + 2 * queries + 2 * keys + entering + rank;
    if spec.residual != Residual::Sequential {
        block -= hidden;
    }
    // What norms after a part, and those of q and k, read.
    if spec.norm_placement != NormPlacement::Before {
        block += 2 * hidden;
    }
    if spec.qk_norm.is_some() {
        block += queries + keys;
    }
    // In flight in a backward: gradients of the same, the activated product and its gradient.
    let mut flight = 4 * hidden + 2 * queries + 2 * keys + leaving;
    // Gradients of parts beside that of the fused matrix's result.
    if spec.qkv != QkvProjection::Separate || spec.mlp == MlpKind::GatedFused {
        flight += (queries + 2 * keys).max(2 * middle);
    }
    let layers = spec.num_hidden_layers as u64;
    if work.recompute {
        layers * hidden + block + flight
    } else {
        layers * block + flight
    }
}

/// Those of `linears` that `modules` names; all where it names none.
fn targeted<'a>(
    linears: &'a [LinearShape],
    modules: &'a [String],
) -> impl Iterator<Item = &'a LinearShape> {
    let named = |linear: &&LinearShape| modules.iter().any(|name| name == linear.module());
    linears
        .iter()
        .filter(move |linear| modules.is_empty() || named(linear))
}

impl ModelSpec {
    /// Weights of an adapter of `rank` on `modules`, or on every linear layer but the head where
    /// none is named: rank × (inputs + outputs) of each layer.
    pub fn adapter_parameters(&self, rank: usize, modules: &[String]) -> u64 {
        let sides: usize = targeted(&self.linears(), modules)
            .map(|linear| linear.out + linear.input)
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

    /// The counts must be those of the model and the adapter the decoder really makes.
    #[test]
    fn a_model_and_its_adapter_have_the_parameters_they_are_said_to_have() {
        for model_type in ["llama", "gemma2", "phi3", "olmo2", "stablelm", "gpt_neox"] {
            let config = json!({
                "model_type": model_type, "hidden_size": 64, "intermediate_size": 160,
                "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
                "vocab_size": 300, "qk_layernorm": true, "head_dim": 16,
            });
            let spec = ModelSpec::from_json(&config).unwrap();
            let mut decoder = Decoder::random(&spec, 1, &Device::Cpu).unwrap();
            assert_eq!(decoder.parameter_counts().total, spec.parameter_count());
            let mut config = LoraConfig {
                r: 8,
                lora_alpha: 16.0,
                target_modules: Vec::new(),
                use_rslora: false,
            };
            for modules in [vec![], vec![spec.linear_modules()[0].to_owned()]] {
                config.target_modules.clone_from(&modules);
                decoder.attach_lora(&config, 1).unwrap();
                assert_eq!(
                    decoder.parameter_counts().trainable,
                    spec.adapter_parameters(8, &modules),
                    "{model_type}"
                );
            }
        }
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
