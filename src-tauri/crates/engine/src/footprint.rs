//! The memory of a run, predicted from sizes alone.
//!
//! What lies in memory for the whole run (weights, adapter, gradients, the optimiser's states) is
//! counted to the byte. What comes and goes is counted at the moments when most of it is there:
//! the cross-entropy, the backward of the topmost block, the optimiser's step, an evaluation, an
//! answer, a checkpoint. The fullest of them is the peak. Every activation is f32.

mod block;
mod sizes;

use crate::spec::ModelSpec;
use crate::{LoraConfig, LoraInit, OptimizerKind, Result, WeightType};
use block::PerToken;

/// Bytes of an f32.
const F32: u64 = 4;
/// Numbers of logits that exist at once; their gradients take their place: see
/// `kernels::cross_entropy`.
const LOGIT_CHUNK: u64 = 12 * 1024 * 1024;
/// Rows of a chunk of logits, at least and at most.
const CHUNK_ROWS: (u64, u64) = (8, 1024);
/// Most numbers that stay packed of a product's left side, by all threads together: see
/// `kernels::gemm`.
const PACKED: u64 = 4 * 1024 * 1024;
/// What lies in small blocks and in the pages between them, and code that only a run touches.
/// Large blocks leave nothing unused: see `allocator`. Measured: 14 to 17 MB, whatever the run.
const SMALL: u64 = 15_000_000;
/// The program before it loads a model: code and tokenizer.
const PROGRAM: u64 = 45_000_000;

/// What decides the memory of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload<'a> {
    /// The adapter; absent where every weight is trained.
    pub lora: Option<&'a LoraConfig>,
    /// The rule of a step.
    pub optimizer: OptimizerKind,
    /// What frozen matrices are held as.
    pub weights: WeightType,
    /// Tokens of a micro-batch.
    pub tokens: u64,
    /// Whether blocks keep only their input.
    pub recompute: bool,
    /// Tokens of the largest batch of an evaluation; 0 without one.
    pub evaluation_tokens: u64,
    /// Answers generated at once while the run goes on; none without.
    pub answers: Option<Answers>,
}

/// Prompts that are answered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// How many.
    pub sequences: u64,
    /// Tokens of each prompt.
    pub prompt: u64,
    /// Tokens of prompt and answer together.
    pub length: u64,
}

/// Bytes by part, at the moment when their sum is the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The model.
    pub weights: u64,
    /// Trained weights beside it.
    pub adapter: u64,
    /// A gradient for each trained weight.
    pub gradients: u64,
    /// What the optimiser remembers.
    pub optimizer: u64,
    /// What the backward wants.
    pub activations: u64,
    /// Intermediate values of the block at work.
    pub block: u64,
    /// A chunk of logits, with the rows it is made from.
    pub logits: u64,
    /// Keys and values of answers.
    pub cache: u64,
    /// A copy that the optimiser or a checkpoint makes of one tensor.
    pub copy: u64,
    /// What matrix kernels keep packed.
    pub kernels: u64,
    /// Small blocks.
    pub small: u64,
    /// The program before it loads the model.
    pub program: u64,
}

/// What comes and goes, at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    activations: u64,
    block: u64,
    logits: u64,
    cache: u64,
    copy: u64,
}

impl Moment {
    fn total(&self) -> u64 {
        self.activations + self.block + self.logits + self.cache + self.copy
    }
}

impl Footprint {
    /// Predicts a run. Refuses an adapter whose patterns are none.
    pub fn of(spec: &ModelSpec, work: &Workload<'_>) -> Result<Self> {
        let shapes = spec.trained_shapes(work.lora)?;
        let trained = count(&shapes);
        let (weights, adapter) = match work.lora {
            // PiSSA keeps what it started from.
            Some(lora) if lora.init_lora_weights == LoraInit::Pissa => {
                (spec.frozen_bytes(work.weights), 2 * trained * F32)
            }
            Some(_) => (spec.frozen_bytes(work.weights), trained * F32),
            None => (trained * F32, 0),
        };
        let states = shapes.iter().map(|shape| work.optimizer.state_bytes(shape));
        let peak = moments(spec, work, &shapes)?
            .into_iter()
            .max_by_key(Moment::total)
            .unwrap_or_default();
        Ok(Self {
            weights,
            adapter,
            gradients: trained * F32,
            optimizer: states.sum(),
            activations: peak.activations,
            block: peak.block + widened(spec, work),
            logits: peak.logits,
            cache: peak.cache,
            copy: peak.copy,
            kernels: kernels(spec, work),
            small: SMALL,
            program: PROGRAM,
        })
    }

    /// The parts by the names that people read, in a fixed order.
    pub fn parts(&self) -> [(&'static str, u64); 12] {
        [
            ("Weights", self.weights),
            ("Adapter", self.adapter),
            ("Gradients", self.gradients),
            ("Optimiser", self.optimizer),
            ("Activations", self.activations),
            ("Block at work", self.block),
            ("Logits", self.logits),
            ("Cache", self.cache),
            ("Copies", self.copy),
            ("Kernels", self.kernels),
            ("Small blocks", self.small),
            ("Program", self.program),
        ]
    }

    /// The sum of all parts.
    pub fn total(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

/// The moments at which most is there.
fn moments(spec: &ModelSpec, work: &Workload<'_>, shapes: &[Vec<usize>]) -> Result<Vec<Moment>> {
    let token = PerToken::of(spec, work.lora)?;
    let layers = spec.num_hidden_layers as u64;
    let bytes = |tokens: u64, numbers: u64| tokens * numbers * F32;
    let of_a_block = token.kept + token.adapters.div_ceil(layers.max(1));
    let (kept, again) = if work.recompute {
        // The inputs of all blocks, and one block computed again beside its input.
        (layers * token.stream, of_a_block - token.stream)
    } else {
        (layers * token.kept + token.adapters, 0)
    };
    let n = work.tokens;
    let activations = bytes(n, kept);
    let mut moments = vec![
        // Cross-entropy: the stream above the blocks, its rows that count, their norm and its
        // gradient.
        Moment {
            activations,
            block: bytes(n, token.stream),
            logits: logits(spec, n) + bytes(n, 3 * token.stream),
            ..Moment::default()
        },
        Moment {
            activations,
            block: bytes(n, again + token.backward),
            ..Moment::default()
        },
        Moment {
            copy: largest_copy(work, shapes),
            ..Moment::default()
        },
    ];
    if work.recompute {
        moments.push(Moment {
            activations,
            block: bytes(n, token.stream + again + token.forward),
            ..Moment::default()
        });
    }
    // Without a backward a block's values go as soon as it is done.
    let forward = |tokens: u64, cache: u64| Moment {
        block: bytes(tokens, of_a_block + token.forward),
        cache,
        ..Moment::default()
    };
    let evaluated = work.evaluation_tokens;
    moments.push(forward(evaluated, 0));
    moments.push(Moment {
        block: bytes(evaluated, token.stream),
        logits: logits(spec, evaluated) + bytes(evaluated, 2 * token.stream),
        ..Moment::default()
    });
    if let Some(answers) = work.answers {
        // Buffers grow by doubling: see `cache`.
        let positions = answers.length.max(64).next_power_of_two();
        let rows = answers.sequences * positions * layers;
        let cache = bytes(rows, 2 * spec.key_width() as u64);
        moments.push(forward(answers.sequences * answers.prompt, cache));
        moments.push(Moment {
            cache,
            // The scores and the copy that the sampler takes.
            logits: 2 * bytes(answers.sequences, spec.vocab_size as u64),
            ..Moment::default()
        });
    }
    Ok(moments)
}

/// Bytes of the logits of so many rows that exist at once.
fn logits(spec: &ModelSpec, rows: u64) -> u64 {
    let vocabulary = spec.vocab_size as u64;
    let most = (LOGIT_CHUNK / vocabulary.max(1)).clamp(CHUNK_ROWS.0, CHUNK_ROWS.1);
    // Chunks are cut evenly.
    let rows = rows.max(1);
    rows.div_ceil(rows.div_ceil(most)) * vocabulary * F32
}

/// The largest copy that is made beside what a run holds: Adafactor's change of a matrix, or the
/// tensor that a checkpoint writes. States of 8 bits are all turned into tensors before that.
fn largest_copy(work: &Workload<'_>, shapes: &[Vec<usize>]) -> u64 {
    let states = |shape: &Vec<usize>| work.optimizer.state_bytes(shape);
    let weights = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64 * F32;
    let all_states = if work.optimizer == OptimizerKind::AdamW8bit {
        shapes.iter().map(states).sum()
    } else {
        0
    };
    let largest_weights = shapes.iter().map(weights).max().unwrap_or(0);
    let largest_states = shapes.iter().map(states).max().unwrap_or(0);
    largest_weights.max(all_states + largest_states)
}

/// Our matrix kernels widen smaller weights while they pack them; elsewhere it is done one matrix
/// at a time.
fn widened(spec: &ModelSpec, work: &Workload<'_>) -> u64 {
    let packs = cfg!(target_arch = "x86_64");
    if packs || work.lora.is_none() || work.weights.is_f32() {
        return 0;
    }
    let linears = spec.linears();
    let matrices = linears.iter().map(|linear| linear.out * linear.input);
    let largest = matrices.chain([spec.hidden_size * spec.vocab_size]).max();
    largest.unwrap_or(0) as u64 * F32
}

/// The left side of the widest product, or as much of it as is packed at once.
fn kernels(spec: &ModelSpec, work: &Workload<'_>) -> u64 {
    let sizes = [spec.vocab_size, spec.intermediate_size, spec.hidden_size];
    let widest = sizes.into_iter().max().unwrap_or(0) as u64;
    (work.tokens * widest).min(PACKED) * F32
}

/// Weights in tensors of these shapes.
fn count(shapes: &[Vec<usize>]) -> u64 {
    shapes
        .iter()
        .map(|shape| shape.iter().product::<usize>() as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{DType, Decoder, Device, TargetModules};
    use attune_kernels::Operand;
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
            let plain = LoraConfig {
                r: 8,
                ..LoraConfig::default()
            };
            let modules = spec.linear_modules();
            let (first, last) = (modules[0], modules[modules.len() - 1]);
            let embedding = spec.embedding_name();
            let embedding = embedding
                .trim_end_matches(".weight")
                .rsplit('.')
                .next()
                .unwrap();
            let whole = LoraConfig {
                use_dora: true,
                rank_pattern: vec![(last.into(), 3), (r"layers\.1\..*".into(), 5)],
                target_modules: TargetModules::Pattern(format!(".*({first}|{last})")),
                modules_to_save: vec![embedding.into(), "lm_head".into()],
                ..plain.clone()
            };
            for config in [plain, whole] {
                decoder.attach_lora(&config, 1).unwrap();
                assert_eq!(
                    decoder.parameter_counts().trainable,
                    spec.adapter_parameters(&config).unwrap(),
                    "{model_type}"
                );
            }
        }
    }

    /// What a loaded model takes is what was said, to the byte, whatever its weights are held as.
    #[test]
    fn frozen_weights_take_the_bytes_they_are_said_to_take() {
        let folder = tempfile::tempdir().unwrap();
        for model_type in ["llama", "gemma2", "phi3", "gpt_neox"] {
            let config = json!({
                "model_type": model_type, "hidden_size": 64, "intermediate_size": 150,
                "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
                "vocab_size": 301, "head_dim": 16, "tie_word_embeddings": false,
            });
            let spec = ModelSpec::from_json(&config).unwrap();
            let place = folder.path().join(model_type);
            let decoder = Decoder::random(&spec, 1, &Device::Cpu).unwrap();
            decoder.save_folder(&place, DType::F32, None).unwrap();
            let mut last = u64::MAX;
            for weights in [
                WeightType::Float(DType::F32),
                WeightType::Float(DType::BF16),
                WeightType::Int8,
                WeightType::Nf4,
            ] {
                let decoder = Decoder::load(&place, weights, &Device::Cpu, &mut |_| ()).unwrap();
                let mut bytes = 0;
                decoder.visit(&mut |parameter| {
                    bytes += match parameter.operand() {
                        Operand::Quantised(matrix) => matrix.bytes(),
                        Operand::Tensor(tensor) => {
                            tensor.elem_count() * tensor.dtype().size_in_bytes()
                        }
                    } as u64;
                });
                assert_eq!(
                    bytes,
                    spec.frozen_bytes(weights),
                    "{model_type} {weights:?}"
                );
                assert!(bytes < last, "{weights:?}");
                last = bytes;
            }
        }
    }

    #[test]
    fn every_lever_makes_it_smaller() {
        let (spec, lora) = (spec(), LoraConfig::default());
        let large = Workload {
            lora: Some(&lora),
            optimizer: OptimizerKind::AdamW,
            weights: WeightType::Float(DType::F32),
            tokens: 1024,
            recompute: false,
            evaluation_tokens: 0,
            answers: None,
        };
        let total = |work: &Workload<'_>| Footprint::of(&spec, work).unwrap().total();
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
        let full = Workload {
            lora: None,
            ..large.clone()
        };
        let parts = Footprint::of(&spec, &full).unwrap();
        assert_eq!(parts.optimizer, spec.parameter_count() * 8);
        assert!(parts.total() > parts.activations + parts.weights);
        let mut last = parts.optimizer;
        for optimizer in [
            OptimizerKind::Lion,
            OptimizerKind::AdamW8bit,
            OptimizerKind::Adafactor,
        ] {
            let work = Workload {
                optimizer,
                ..full.clone()
            };
            let bytes = Footprint::of(&spec, &work).unwrap().optimizer;
            assert!(bytes < last, "{optimizer:?}");
            last = bytes;
        }
        let dora = LoraConfig {
            use_dora: true,
            ..lora.clone()
        };
        let decomposed = Workload {
            lora: Some(&dora),
            ..large.clone()
        };
        assert!(total(&decomposed) > total(&large));
    }
}
