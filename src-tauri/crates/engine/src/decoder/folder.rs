//! A decoder from a model folder or from random weights, and back into folders.

use super::Decoder;
use crate::block::Block;
use crate::linear::Linear;
use crate::parameter::Parameter;
use crate::rotary::Rotary;
use crate::weights::{self, Weights, expected_tensors};
use crate::{Error, ModelSpec, Result, files};
use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::RwLock;

impl Decoder {
    /// Reads a Hugging Face folder. `dtype` is how frozen matrices are stored; they are widened to
    /// f32 where they are used. `progress` is told the fraction read.
    pub fn load(
        folder: &Path,
        dtype: DType,
        device: &Device,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Self> {
        let spec = ModelSpec::from_folder(folder)?;
        let weights = Weights::open(folder, &spec)?;
        let total = expected_tensors(&spec).len();
        let mut done = 0;
        let origin = folder.display().to_string();
        Self::build(spec, device, origin, &mut |name, shape| {
            let dtype = if shape.len() == 2 { dtype } else { DType::F32 };
            let tensor = weights.load(name, dtype, device)?;
            done += 1;
            progress(done as f32 / total as f32);
            Ok(tensor)
        })
    }

    /// Random weights as transformers starts them: normal with deviation 0.02, norms at one,
    /// biases at zero.
    pub fn random(spec: &ModelSpec, seed: u64, device: &Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let normal = Normal::new(0.0_f32, 0.02).map_err(candle_core::Error::wrap)?;
        Self::build(spec.clone(), device, String::new(), &mut |name, shape| {
            let count = shape.iter().product();
            let values: Vec<f32> = match (shape.len(), name.ends_with(".bias")) {
                (2, _) => normal.sample_iter(&mut rng).take(count).collect(),
                (_, true) => vec![0.0; count],
                (_, false) => vec![1.0; count],
            };
            Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?)
        })
    }

    fn build(
        spec: ModelSpec,
        device: &Device,
        origin: String,
        tensor: &mut dyn FnMut(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for (name, shape) in expected_tensors(&spec) {
            let value = tensor(&name, &shape)?;
            parameters.insert(name.clone(), Parameter::frozen(name, value));
        }
        let mut take = |name: &str| {
            parameters
                .remove(name)
                .ok_or_else(|| candle_core::Error::Msg(format!("{name} was not built")))
        };
        let mut layers = Vec::new();
        for layer in 0..spec.num_hidden_layers {
            let mut take = |name: &str| take(&format!("model.layers.{layer}.{name}"));
            let mut linear = |name: &str, bias: bool| -> Result<Linear> {
                let bias = if bias {
                    Some(take(&format!("{name}.bias"))?)
                } else {
                    None
                };
                Ok(Linear::new(take(&format!("{name}.weight"))?, bias))
            };
            let (q, k, v) = (
                linear("self_attn.q_proj", spec.attention_bias)?,
                linear("self_attn.k_proj", spec.attention_bias)?,
                linear("self_attn.v_proj", spec.attention_bias)?,
            );
            let o = linear("self_attn.o_proj", spec.output_bias)?;
            let (gate, up, down) = (
                linear("mlp.gate_proj", spec.mlp_bias)?,
                linear("mlp.up_proj", spec.mlp_bias)?,
                linear("mlp.down_proj", spec.mlp_bias)?,
            );
            let qk_norm = if spec.qk_norm {
                Some((
                    take("self_attn.q_norm.weight")?,
                    take("self_attn.k_norm.weight")?,
                ))
            } else {
                None
            };
            layers.push(Block {
                input_norm: take("input_layernorm.weight")?,
                q,
                k,
                v,
                o,
                qk_norm,
                post_norm: take("post_attention_layernorm.weight")?,
                gate,
                up,
                down,
                attention: Block::attention_of(&spec, layer),
                epsilon: spec.rms_norm_eps,
            });
        }
        Ok(Self {
            embed: take("model.embed_tokens.weight")?,
            layers,
            norm: take("model.norm.weight")?,
            head: if spec.tie_word_embeddings {
                None
            } else {
                Some(take("lm_head.weight")?)
            },
            lora: None,
            rotary: RwLock::new(Rotary::new(&spec, 256, device)?.into()),
            device: device.clone(),
            origin,
            spec,
        })
    }

    /// Writes a model folder, an attached adapter merged into it. With a `base` folder, its
    /// configuration and tokenizer come along; without one, `config.json` is written from the spec.
    pub fn save_folder(&self, folder: &Path, dtype: DType, base: Option<&Path>) -> Result<()> {
        files::write_folder(folder, |folder| {
            let mut tensors = Vec::new();
            let linears: BTreeMap<&str, &Linear> = self
                .layers
                .iter()
                .flat_map(Block::linears)
                .map(|linear| (linear.weight.name.as_str(), linear))
                .collect();
            for (name, value) in self.base_tensors() {
                let value = match linears.get(name.as_str()) {
                    Some(linear) if linear.lora.is_some() => linear.merged()?,
                    _ => value,
                };
                tensors.push((name, value.to_dtype(dtype)?));
            }
            weights::save(&folder.join("model.safetensors"), tensors)?;
            let name = match dtype {
                DType::BF16 => "bfloat16",
                DType::F16 => "float16",
                _ => "float32",
            };
            let config = match base {
                Some(base) => {
                    copy_companions(base, folder)?;
                    let path = base.join("config.json");
                    let text = std::fs::read_to_string(&path).map_err(files::at(&path, "read"))?;
                    let mut config: serde_json::Value =
                        serde_json::from_str(&text).map_err(|error| Error::BadConfig {
                            path,
                            reason: error.to_string(),
                        })?;
                    for key in ["torch_dtype", "dtype"] {
                        if config.get(key).is_some() {
                            config[key] = name.into();
                        }
                    }
                    config
                }
                None => self.spec.to_config(name),
            };
            files::write(
                &folder.join("config.json"),
                format!("{config:#}\n").as_bytes(),
            )
        })
    }

    /// Names and values of the weights that are not adapters.
    pub(crate) fn base_tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        self.visit(&mut |parameter| {
            if !parameter.name.contains(".lora_") {
                tensors.push((parameter.name.clone(), parameter.value.clone()));
            }
        });
        tensors
    }

    /// Replaces the weights that are not adapters by those of a checkpoint.
    pub(crate) fn set_base_tensors(
        &mut self,
        tensors: &BTreeMap<String, Tensor>,
        folder: &Path,
    ) -> Result<()> {
        self.visit_mut(&mut |parameter| {
            let name = &parameter.name;
            let mismatch = |reason: String| Error::CheckpointMismatch {
                folder: folder.to_owned(),
                reason,
            };
            let value = tensors
                .get(name)
                .ok_or_else(|| mismatch(format!("it lacks `{name}`")))?;
            if value.shape() != parameter.value.shape() {
                return Err(mismatch(format!("`{name}` has another size")));
            }
            parameter.value = value.copy()?;
            Ok(())
        })
    }
}

/// Copies what belongs to a model besides weights and configuration.
fn copy_companions(base: &Path, folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(base).map_err(files::at(base, "read"))? {
        let path = entry.map_err(files::at(base, "read"))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let companion = name.starts_with("tokenizer")
            || [
                "generation_config.json",
                "special_tokens_map.json",
                "added_tokens.json",
                "vocab.json",
                "merges.txt",
                "chat_template.jinja",
            ]
            .contains(&name.as_str());
        if companion && path.is_file() {
            std::fs::copy(&path, folder.join(&name)).map_err(files::at(&path, "copied"))?;
        }
    }
    Ok(())
}
