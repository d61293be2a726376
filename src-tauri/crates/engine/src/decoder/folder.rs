//! A decoder from a model folder or from random weights, and back into folders.

use super::Decoder;
use crate::block::Block;
use crate::linear::Linear;
use crate::norm::Norm;
use crate::parameter::{Parameter, Stored};
use crate::rotary::Rotary;
use crate::spec::NormKind;
use crate::weights::{self, ModelFiles};
use crate::{Error, ModelSpec, Result, WeightType, files};
use attune_data::{Gguf, Tokenizer};
use attune_kernels::ComputeType;
use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::collections::BTreeMap;
use std::path::Path;

impl Decoder {
    /// Reads a Hugging Face folder or a GGUF file. `stored` is how frozen matrices are held; they
    /// are widened to f32 where they are used. Quantised ones are made from the numbers in the
    /// files, one matrix at a time on every thread. `progress` is told the fraction read.
    pub fn load(
        folder: &Path,
        stored: impl Into<WeightType>,
        device: &Device,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Self> {
        let spec = ModelSpec::from_folder(folder)?;
        let weights = ModelFiles::open(folder, &spec)?;
        let stored = stored.into();
        let total = spec.tensors().len();
        let mut done = 0;
        let origin = folder.display().to_string();
        let asked = spec.clone();
        Self::build(spec, device, origin, &mut |name, shape| {
            let parameter = weights.parameter(&asked, name, shape, stored, device)?;
            done += 1;
            progress(done as f32 / total as f32);
            Ok(parameter)
        })
    }

    /// Random weights as transformers starts them: normal with deviation 0.02, norms at one (stored
    /// as 0 where a family stores what they differ from one by), biases at zero.
    pub fn random(spec: &ModelSpec, seed: u64, device: &Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let normal = Normal::new(0.0_f32, 0.02).map_err(candle_core::Error::wrap)?;
        Self::build(spec.clone(), device, String::new(), &mut |name, shape| {
            let count = shape.iter().product();
            let values: Vec<f32> = match (shape.len(), name.ends_with(".bias")) {
                (2, _) => normal.sample_iter(&mut rng).take(count).collect(),
                (_, true) => vec![0.0; count],
                (_, false) if spec.norm == NormKind::RmsPlusOne => vec![0.0; count],
                (_, false) => vec![1.0; count],
            };
            let value = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?;
            Ok(Parameter::frozen(name, value))
        })
    }

    fn build(
        spec: ModelSpec,
        device: &Device,
        origin: String,
        parameter: &mut dyn FnMut(String, &[usize]) -> Result<Parameter>,
    ) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for (name, shape) in spec.tensors() {
            parameters.insert(name.clone(), parameter(name, &shape)?);
        }
        let mut take = |name: &str| -> Result<Parameter> {
            let missing = || candle_core::Error::Msg(format!("{name} was not built"));
            Ok(parameters.remove(name).ok_or_else(missing)?)
        };
        let layers = (0..spec.num_hidden_layers)
            .map(|layer| Block::build(&spec, layer, &mut |name| take(&spec.in_layer(layer, name))))
            .collect::<Result<_>>()?;
        let rotary = spec.ropes.iter().map(|rope| Rotary::new(rope, device));
        Ok(Self {
            embed: take(&spec.embedding_name())?,
            layers,
            norm: Norm::build(&spec, spec.final_norm_name(), &mut take)?,
            head: if spec.has_output_matrix() {
                Some(take(&spec.head_name())?)
            } else {
                None
            },
            score: match spec.score() {
                Some((name, _)) => Some(take(&name)?),
                None => None,
            },
            lora: None,
            held: BTreeMap::new(),
            active: None,
            rotary: rotary.collect::<Result<_>>()?,
            compute: ComputeType::F32,
            device: device.clone(),
            origin,
            spec,
        })
    }

    /// Writes a model folder, an attached adapter merged into it. With a `base`, its configuration
    /// and tokenizer come along: the files of a folder, or what the metadata of a GGUF file mean.
    /// Without one, `config.json` is written from the spec.
    pub fn save_folder(&self, folder: &Path, dtype: DType, base: Option<&Path>) -> Result<()> {
        files::write_folder(folder, |folder| {
            let mut tensors = Vec::new();
            let linears: BTreeMap<&str, &Linear> = self
                .layers
                .iter()
                .flat_map(Block::linears)
                .map(|linear| (linear.weight.name.as_str(), linear))
                .collect();
            for (name, value) in self.base_tensors()? {
                let value = match linears.get(name.as_str()) {
                    Some(linear) if linear.lora.is_some() => linear.merged()?,
                    _ => value,
                };
                let name = if name == self.spec.head_name() {
                    self.spec.stored_head_name()
                } else {
                    name
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
                Some(base) if Gguf::is_one(base) => {
                    for (name, text) in Tokenizer::files_of_gguf(&Gguf::open(base)?)? {
                        files::write(&folder.join(name), text.as_bytes())?;
                    }
                    self.spec.to_config(name)
                }
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
                    if let (Some(head), Some(fields)) =
                        (&self.spec.sequence_head, config.as_object_mut())
                    {
                        head.write(self.spec.family, fields);
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
    pub(crate) fn base_tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        self.visit(&mut |parameter| {
            if !parameter.name.contains(".lora_") {
                tensors.push(parameter);
            }
        });
        tensors
            .into_iter()
            .map(|parameter| Ok((parameter.name.clone(), parameter.dense()?)))
            .collect()
    }

    /// The weights that are not adapters, for a file.
    pub(crate) fn stored_base(&self) -> Vec<(String, Stored<'_>)> {
        let mut stored = Vec::new();
        self.visit(&mut |parameter| {
            if !parameter.name.contains(".lora_") {
                stored.push((parameter.name.clone(), Stored(parameter)));
            }
        });
        stored
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
            parameter.set_trained(value)
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
