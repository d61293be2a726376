//! A mixture of experts (Shazeer et al., 2017): a router chooses for each token a few of many MLPs
//! and weighs what they return.

mod routing;

use crate::Result;
use crate::block::wanted;
use crate::linear::{self, Linear, Products};
use crate::mlp::{self, Mlp};
use crate::parameter::Parameter;
use crate::spec::{self, ModelSpec};
use attune_kernels::add_rows;
use candle_core::{Device, Tensor};
use routing::{Choice, Routing};

/// `Σ w_e(x) · expert_e(x)` over the experts that the router chooses for `x`.
pub(crate) struct Experts {
    /// `(experts, H)`
    router: Linear,
    mlps: Vec<Mlp>,
    per_token: usize,
    /// Whether the weights of those chosen sum to one.
    normalised: bool,
}

/// What the backward wants.
pub(crate) struct Saved {
    routing: Routing,
    router: linear::Saved,
    /// Of each expert that any row passes.
    experts: Vec<Option<mlp::Saved>>,
}

impl Experts {
    pub(crate) fn build(
        spec: &ModelSpec,
        experts: &spec::Experts,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let mut linear = |name: &str| -> Result<Linear> {
            Ok(Linear::new(take(&format!("{name}.weight"))?, None))
        };
        let router = linear(spec.router())?;
        let expert = |expert| -> Result<Mlp> {
            let [gate, up, down] = spec.expert_linears(expert);
            let (gate, up, down) = (linear(&gate)?, linear(&up)?, linear(&down)?);
            Ok(Mlp::expert(gate, up, down, spec.activation))
        };
        Ok(Self {
            router,
            mlps: (0..experts.count).map(expert).collect::<Result<_>>()?,
            per_token: experts.per_token,
            normalised: experts.normalised,
        })
    }

    /// `x (N, H)` to `(N, H)`. An expert sees the rows that pass it together, in the order of the
    /// batch; a row's sum is taken in the order of the experts.
    pub(crate) fn forward(&self, x: &Tensor, products: Products) -> Result<(Tensor, Saved)> {
        let (scores, router) = self.router.forward(x, products)?;
        let scores = scores.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let routing = Routing::choose(&scores, self.per_token, self.normalised);
        let mut y = x.zeros_like()?;
        let mut kept = Vec::with_capacity(self.mlps.len());
        for (expert, choice) in self.mlps.iter().zip(&routing.choices) {
            if choice.rows.is_empty() {
                kept.push(None);
                continue;
            }
            let chosen = select(x, choice)?;
            let (part, saved) = expert.forward(&chosen, Some(&choice.weights), products)?;
            add_rows(&mut y, &choice.rows, &part)?;
            kept.push(Some(saved));
        }
        let saved = Saved {
            routing,
            router,
            experts: kept,
        };
        Ok((y, saved))
    }

    /// Adds this part's gradients. `input` computes `x` again. The gradient of `x`, through the
    /// experts and through what they are weighed by, is put into `dx`, or added to what is there.
    pub(crate) fn backward(
        &mut self,
        saved: Saved,
        dy: &Tensor,
        input: &dyn Fn() -> Result<Tensor>,
        dx: &mut Option<Tensor>,
    ) -> Result<()> {
        let Saved {
            routing,
            router,
            experts,
        } = saved;
        let x = input()?;
        let mut sum = match dx.take() {
            Some(sum) => sum,
            None => x.zeros_like()?,
        };
        let mut dweights = Vec::with_capacity(experts.len());
        let each = self.mlps.iter_mut().zip(experts);
        for ((expert, saved), choice) in each.zip(&routing.choices) {
            let Some(saved) = saved else {
                dweights.push(Vec::new());
                continue;
            };
            let mut dinput = None;
            dweights.push(expert.backward(
                saved,
                &select(dy, choice)?,
                Some(&choice.weights),
                &|| select(&x, choice),
                &mut dinput,
            )?);
            add_rows(&mut sum, &choice.rows, &wanted(dinput)?)?;
        }
        let dscores = routing.backward(&dweights, self.normalised);
        let dscores = Tensor::from_vec(dscores, (x.dim(0)?, self.mlps.len()), &Device::Cpu)?;
        let dscores = dscores.to_device(x.device())?;
        *dx = Some(sum);
        self.router.backward(&x, router, &dscores, Some(dx))
    }

    /// Router, then experts.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let experts = self.mlps.iter().flat_map(Mlp::linears);
        [&self.router].into_iter().chain(experts)
    }

    /// Router, then experts.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        let experts = self.mlps.iter_mut().flat_map(Mlp::linears_mut);
        [&mut self.router].into_iter().chain(experts)
    }
}

/// The rows that pass an expert.
fn select(x: &Tensor, choice: &Choice) -> Result<Tensor> {
    Ok(x.index_select(&Tensor::new(&choice.rows[..], x.device())?, 0)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use crate::{DType, Decoder, Device, Error, LoraConfig, ModelSpec, TargetModules, WeightType};
    use attune_data::{Batch, Sample};
    use attune_kernels::Operand;
    use serde_json::json;
    use std::path::Path;

    /// An MLP in the first of three blocks, experts in the others.
    fn spec() -> ModelSpec {
        let config = json!({
            "model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 16, "vocab_size": 100, "num_experts": 5, "num_experts_per_tok": 2,
            "moe_intermediate_size": 64, "mlp_only_layers": [0], "tie_word_embeddings": false,
        });
        ModelSpec::from_json(&config).unwrap()
    }

    /// Bytes of a model's weights, and how many of its matrices are quantised: never a router.
    fn held(decoder: &Decoder) -> (u64, usize) {
        let (mut bytes, mut quantised) = (0, 0);
        decoder.visit(&mut |parameter| {
            bytes += match parameter.operand() {
                Operand::Quantised(matrix) => {
                    assert!(!parameter.name.ends_with(".gate.weight"));
                    quantised += 1;
                    matrix.bytes()
                }
                Operand::Tensor(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            };
        });
        (bytes as u64, quantised)
    }

    #[test]
    fn experts_have_the_weights_they_are_said_to_have() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("model");
        let (spec, device) = (spec(), Device::Cpu);
        let mut decoder = Decoder::random(&spec, 1, &device).unwrap();
        assert_eq!(decoder.parameter_counts().total, spec.parameter_count());
        let expert = 3 * 64 * 64;
        assert_eq!(spec.idle_parameters(), 2 * 3 * expert);
        decoder.save_folder(&place, DType::F32, None).unwrap();
        let everywhere = LoraConfig::default();
        decoder.attach_lora(&everywhere, 1).unwrap();
        let trained = decoder.parameter_counts().trainable;
        assert_eq!(trained, spec.adapter_parameters(&everywhere).unwrap());
        let mut names = decoder.trainable().into_keys();
        assert!(names.all(|name| name.contains(".self_attn.")));
        for weights in [DType::F32.into(), WeightType::Int8, WeightType::Nf4] {
            let decoder = Decoder::load(&place, weights, &device, &mut |_| ()).unwrap();
            let (bytes, quantised) = held(&decoder);
            assert_eq!(bytes, spec.frozen_bytes(weights), "{weights:?}");
            let matrices = 3 * 4 + 3 + 2 * 5 * 3;
            let expected = usize::from(weights != DType::F32.into()) * matrices;
            assert_eq!(quantised, expected);
        }
    }

    /// Each expert of a GGUF file's stacks is held in the file's blocks and takes no byte more.
    #[test]
    fn stacked_experts_stay_in_their_blocks() {
        let folder = Path::new("../../../tests/parity/fixtures/gguf");
        for name in ["qwen3-moe-Q4_K", "mixtral-Q6_K", "mixtral-Q4_0-apart"] {
            let path = folder.join(format!("{name}.gguf"));
            let stored = WeightType::Stored;
            let decoder = Decoder::load(&path, stored, &Device::Cpu, &mut |_| ()).unwrap();
            let spec = decoder.spec();
            let (bytes, quantised) = held(&decoder);
            assert_eq!(bytes, spec.frozen_bytes(stored), "{name}");
            // Embedding, head, attention and three experts; the router is F32.
            assert_eq!(quantised, 2 + 4 + 3 * 3, "{name}");
            assert_eq!(spec.parameter_count(), decoder.parameter_counts().total);
        }
    }

    #[test]
    fn the_number_of_threads_does_not_show() {
        let samples: Vec<Sample> = (0..3_u32)
            .map(|sample| Sample {
                tokens: (0..20 + sample)
                    .map(|at| (sample * 31 + at * 17) % 100)
                    .collect(),
                loss_mask: vec![true; 20 + sample as usize],
            })
            .collect();
        let bits = |threads: usize| -> Vec<u32> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let mut decoder = Decoder::random(&spec(), 1, &Device::Cpu).unwrap();
                decoder.make_trainable().unwrap();
                let batch = Batch::from_samples(&samples);
                decoder.loss_and_backward(&batch, 1.0, false).unwrap();
                let gradients = decoder.gradients().into_values();
                let values = gradients.flat_map(|x| x.flatten_all().unwrap().to_vec1().unwrap());
                values.map(f32::to_bits).collect()
            })
        };
        assert!(bits(1) == bits(3));
    }

    #[test]
    fn adapters_beside_router_and_experts_are_refused_by_name() {
        let mut decoder = Decoder::random(&spec(), 1, &Device::Cpu).unwrap();
        for name in ["gate", "up_proj", "experts.0.down_proj"] {
            let config = LoraConfig {
                target_modules: TargetModules::Names(vec!["q_proj".into(), name.into()]),
                ..LoraConfig::default()
            };
            let error = decoder.attach_lora(&config, 1).unwrap_err();
            assert!(matches!(error, Error::BadAdapterSetting { .. }), "{error}");
            let text = error.to_string();
            assert!(
                text.contains(name) && text.contains("beside q_proj, k_proj"),
                "{text}"
            );
        }
        // An adapter of an older PEFT, which had the experts apart.
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("adapter");
        decoder.attach_lora(&LoraConfig::default(), 1).unwrap();
        decoder.save_adapter(&place).unwrap();
        let path = place.join("adapter_model.safetensors");
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let renamed: std::collections::HashMap<_, _> = tensors
            .into_iter()
            .map(|(name, tensor)| {
                (
                    name.replace("self_attn.q_proj", "mlp.experts.1.up_proj"),
                    tensor,
                )
            })
            .collect();
        candle_core::safetensors::save(&renamed, &path).unwrap();
        let refused = decoder.load_adapter(&place).unwrap_err();
        assert!(
            matches!(refused, Error::UnsupportedAdapter { .. }),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("experts.1.up_proj"),
            "{refused}"
        );
    }
}
