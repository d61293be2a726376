//! The memory of a training step, predicted from sizes alone.
//!
//! The parts follow what `block`, `linear`, `optimizer` and the chunked cross-entropy keep; every
//! activation is f32.

use crate::spec::{LinearShape, MlpKind, ModelSpec, NormPlacement, QkvProjection, Residual};
use crate::{LoraConfig, LoraInit, OptimizerKind, Result, WeightType};

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
    /// What the optimiser remembers.
    pub optimizer: u64,
    /// What the backward wants, and the intermediate values of the block at work.
    pub activations: u64,
    /// A chunk of logits.
    pub logits: u64,
    /// The program.
    pub program: u64,
}

impl Footprint {
    /// Predicts a step. Refuses an adapter whose patterns are none.
    pub fn of(spec: &ModelSpec, work: &Workload<'_>) -> Result<Self> {
        let parameters = spec.parameter_count();
        let shapes = spec.trained_shapes(work.lora)?;
        let trained = count(&shapes);
        let (weights, adapter) = match work.lora {
            // PiSSA keeps what it started from.
            Some(lora) if lora.init_lora_weights == LoraInit::Pissa => {
                (spec.frozen_bytes(work.weights), 2 * trained * F32)
            }
            Some(_) => (spec.frozen_bytes(work.weights), trained * F32),
            None => (parameters * F32, 0),
        };
        // Our matrix kernels widen smaller weights while they pack them; elsewhere it is done one
        // matrix at a time.
        let packs = cfg!(target_arch = "x86_64");
        let widened = if work.lora.is_some() && !work.weights.is_f32() && !packs {
            let linears = spec.linears();
            let matrices = linears.iter().map(|linear| linear.out * linear.input);
            let largest = matrices.chain([spec.hidden_size * spec.vocab_size]).max();
            largest.unwrap_or(0) as u64 * F32
        } else {
            0
        };
        let states = shapes.iter().map(|shape| work.optimizer.state_bytes(shape));
        Ok(Self {
            weights,
            adapter,
            gradients: trained * F32,
            optimizer: states.sum(),
            activations: work.tokens * activations_per_token(spec, work)? * F32 + widened,
            logits: (work.tokens * spec.vocab_size as u64).min(LOGIT_CHUNK) * F32,
            program: PROGRAM,
        })
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

/// Weights in tensors of these shapes.
fn count(shapes: &[Vec<usize>]) -> u64 {
    shapes
        .iter()
        .map(|shape| shape.iter().product::<usize>() as u64)
        .sum()
}

/// Numbers kept for a token over all blocks, with those in flight in one.
fn activations_per_token(spec: &ModelSpec, work: &Workload<'_>) -> Result<u64> {
    let hidden = spec.hidden_size as u64;
    let middle = spec.intermediate_size as u64;
    let queries = (spec.num_attention_heads * spec.head_dim) as u64;
    let keys = (spec.num_key_value_heads * spec.head_dim) as u64;
    // What enters the activation, and what its gradient and product take besides.
    let (entering, leaving) = match spec.mlp {
        MlpKind::Gated | MlpKind::GatedFused => (2 * middle, 4 * middle),
        MlpKind::Plain => (middle, 3 * middle),
    };
    // The block's input and its middle, q, k, v, the mixed values, what enters the activation.
    let mut block = 2 * hidden + 2 * queries + 2 * keys + entering;
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
    // What the adapters of all blocks keep: u, and with a magnitude the sum it is set on.
    let mut adapters = 0;
    if let Some(lora) = work.lora {
        for (name, out, _) in spec.adapted_linears() {
            if lora.target_modules.contains(&name)? {
                let sum = if lora.use_dora { out } else { 0 };
                adapters += (lora.rank(&name)? + sum) as u64;
            }
        }
        // Of an input: its dropped copy, what goes back to it before and after the dropout, and
        // the sum with the base's; of an output, a gradient on the sum.
        flight += if lora.lora_dropout > 0.0 {
            4 * middle
        } else {
            0
        };
        flight += if lora.use_dora { middle } else { 0 };
    }
    Ok(if work.recompute {
        layers * hidden + block + adapters.div_ceil(layers.max(1)) + flight
    } else {
        layers * block + adapters + flight
    })
}

impl ModelSpec {
    /// Name, outputs and inputs of each linear layer of the blocks.
    fn adapted_linears(&self) -> impl Iterator<Item = (String, usize, usize)> {
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
    fn trained_shapes(&self, lora: Option<&LoraConfig>) -> Result<Vec<Vec<usize>>> {
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
        let outside = [self.embedding_name(), self.head_name()];
        let tensors = self.tensors().into_iter();
        tensors
            .map(|(name, shape)| match shape[..] {
                [rows, columns] if outside.contains(&name) => {
                    (rows * columns * weights.float().size_in_bytes()) as u64
                }
                [rows, columns] => weights.linear_bytes(rows, columns),
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
