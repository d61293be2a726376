//! The decoder: embedding, blocks, final norm, output matrix. One for training and inference.

use crate::block::{self, Block, Context, norm_backward};
use crate::cache::{Cache, LayerCache};
use crate::linear::Linear;
use crate::lora::{self, LoraConfig};
use crate::parameter::Parameter;
use crate::rotary::Rotary;
use crate::weights::{self, Weights, expected_tensors};
use crate::{Error, ModelSpec, Result, files};
use attune_data::{Batch, IGNORED};
use attune_kernels::{
    Span, Transpose, embedding, embedding_backward, in_pool, linear_cross_entropy,
    linear_token_losses, matmul, rms_norm,
};
use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// How many weights a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParameterCounts {
    /// All, adapters included.
    pub total: u64,
    /// Those that training changes.
    pub trainable: u64,
}

/// A causal language model.
pub struct Decoder {
    spec: ModelSpec,
    device: Device,
    /// Where the base weights came from, as PEFT records it.
    origin: String,
    embed: Parameter,
    layers: Vec<Block>,
    norm: Parameter,
    /// The output matrix, unless the embedding doubles as it.
    head: Option<Parameter>,
    lora: Option<LoraConfig>,
    rotary: RwLock<Arc<Rotary>>,
}

/// A block's input alone, or all that its backward wants.
enum Kept {
    Input(Tensor),
    Saved(block::Saved),
}

/// Where the rows of a batch stand.
struct Rows {
    spans: Vec<Span>,
    positions: Vec<u32>,
}

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

    /// Sizes and features.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Where the weights lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The attached adapter's settings.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// Puts a fresh adapter beside the targeted linear layers and freezes all else.
    pub fn attach_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        config.check()?;
        self.freeze()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            if config.targets(linear.name()) {
                linear.attach_lora(config, &mut rng)?;
            }
        }
        self.lora = Some(config.clone());
        Ok(())
    }

    /// Puts an adapter in PEFT's layout beside the layers it names and freezes all else.
    pub fn load_adapter(&mut self, folder: &Path) -> Result<LoraConfig> {
        let mut adapter = lora::load(folder, &self.device)?;
        let broken = |reason: String| Error::BrokenWeights {
            path: folder.join("adapter_model.safetensors"),
            reason,
        };
        // Everything is checked before anything changes.
        for linear in self.layers.iter().flat_map(Block::linears) {
            if let Some((a, b)) = adapter.matrices.get(linear.name())
                && !lora::fits(linear, a, b)?
            {
                return Err(broken(format!(
                    "the adapter of `{}` has another size than the model's layer",
                    linear.name()
                )));
            }
        }
        let names: Vec<&str> = self
            .layers
            .iter()
            .flat_map(Block::linears)
            .map(Linear::name)
            .collect();
        if let Some(name) = adapter
            .matrices
            .keys()
            .find(|name| !names.contains(&name.as_str()))
        {
            return Err(broken(format!("the model has no layer `{name}`")));
        }
        self.freeze()?;
        let scale = adapter.config.scale();
        let mut modules: Vec<String> = Vec::new();
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            if let Some((a, b)) = adapter.matrices.remove(linear.name()) {
                linear.set_lora(a, b, scale)?;
                let module = linear
                    .name()
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                if !modules.contains(&module) {
                    modules.push(module);
                }
            }
        }
        adapter.config.target_modules = modules;
        self.lora = Some(adapter.config.clone());
        Ok(adapter.config)
    }

    /// Makes every weight trainable, for full fine-tuning. An attached adapter is merged first.
    pub fn make_trainable(&mut self) -> Result<()> {
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            linear.weight.value = linear.merged()?;
            linear.lora = None;
        }
        self.lora = None;
        self.visit_mut(&mut Parameter::make_trainable)
    }

    /// Freezes every weight and drops adapters.
    fn freeze(&mut self) -> Result<()> {
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            linear.lora = None;
        }
        self.visit_mut(&mut |parameter| {
            parameter.freeze();
            Ok(())
        })
    }

    /// Weights in all and weights that training changes.
    pub fn parameter_counts(&self) -> ParameterCounts {
        let mut counts = ParameterCounts {
            total: 0,
            trainable: 0,
        };
        self.visit(&mut |parameter| {
            counts.total += parameter.count();
            counts.trainable += if parameter.is_trainable() {
                parameter.count()
            } else {
                0
            };
        });
        counts
    }

    /// Writes the adapter as PEFT does; the folder is new or replaced as a whole.
    pub fn save_adapter(&self, folder: &Path) -> Result<()> {
        files::write_folder(folder, |folder| self.write_adapter(folder))
    }

    /// Writes the adapter's two files into an existing folder.
    pub(crate) fn write_adapter(&self, folder: &Path) -> Result<()> {
        let config = self
            .lora
            .as_ref()
            .ok_or_else(|| Error::NothingToTrain("the model has no adapter to save".into()))?;
        lora::save(
            folder,
            config,
            &self.origin,
            self.layers.iter().flat_map(Block::linears),
        )
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

    /// Gradients gathered so far, by parameter.
    pub fn gradients(&self) -> BTreeMap<String, Tensor> {
        let mut gradients = BTreeMap::new();
        self.visit(&mut |parameter| {
            if let Some(gradient) = parameter.gradient() {
                gradients.insert(parameter.name.clone(), gradient.clone());
            }
        });
        gradients
    }

    /// Values of the trainable parameters.
    pub fn trainable(&self) -> BTreeMap<String, Tensor> {
        let mut values = BTreeMap::new();
        self.visit(&mut |parameter| {
            if parameter.is_trainable() {
                values.insert(parameter.name.clone(), parameter.value.clone());
            }
        });
        values
    }

    /// Sets all gradients to zero.
    pub fn clear_gradients(&mut self) -> Result<()> {
        self.visit_mut(&mut Parameter::clear_gradient)
    }

    /// Scores `(N, vocabulary)` of every position of a batch.
    pub fn logits(&self, batch: &Batch) -> Result<Tensor> {
        let hidden = self.hidden(batch)?;
        let hidden = rms_norm(&hidden, &self.norm.value, self.spec.rms_norm_eps)?;
        Ok(matmul(&hidden, &self.output().value, Transpose::Right)?)
    }

    /// `-ln p(target)` of each position whose prediction counts, in order.
    pub fn token_losses(&self, batch: &Batch) -> Result<Vec<f32>> {
        let (rows, targets) = counted(batch);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = self.select(&self.hidden(batch)?, &rows)?;
        let hidden = rms_norm(&hidden, &self.norm.value, self.spec.rms_norm_eps)?;
        Ok(linear_token_losses(
            &hidden,
            &self.output().value,
            &targets,
        )?)
    }

    /// Forward and backward of one batch. Adds the gradient of `scale · Σ loss` to every trainable
    /// parameter and returns `Σ loss` in nats. With `recompute`, a block keeps only its input and
    /// runs forward again when its turn in the backward comes.
    pub fn loss_and_backward(&mut self, batch: &Batch, scale: f32, recompute: bool) -> Result<f64> {
        in_pool(|| self.forward_and_backward(batch, scale, recompute))
    }

    fn forward_and_backward(&mut self, batch: &Batch, scale: f32, recompute: bool) -> Result<f64> {
        let rows = self.rows(batch)?;
        let rotary = self.rotary(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            rotary: &rotary,
        };
        let mut x = embedding(&self.embed.value, &batch.tokens)?;
        let mut kept = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (y, saved) = layer.forward(&x, &context, None)?;
            kept.push(if recompute {
                Kept::Input(x)
            } else {
                Kept::Saved(saved)
            });
            x = y;
        }
        // Only rows that count go through the final norm and the output matrix.
        let (counted_rows, targets) = counted(batch);
        if counted_rows.is_empty() {
            return Ok(0.0);
        }
        let last = self.select(&x, &counted_rows)?;
        let hidden = rms_norm(&last, &self.norm.value, self.spec.rms_norm_eps)?;
        let output = self.head.as_mut().unwrap_or(&mut self.embed);
        let weight = output.value.clone();
        let (loss, dhidden) =
            linear_cross_entropy(&hidden, &weight, &targets, scale, output.gradient_mut())?;
        let dlast = norm_backward(&last, &mut self.norm, self.spec.rms_norm_eps, &dhidden)?;
        let mut dx = x.zeros_like()?;
        embedding_backward(&mut dx, &counted_rows, &dlast)?;
        drop(x);

        let wants_embedding = self.embed.is_trainable();
        for (index, layer) in self.layers.iter_mut().enumerate().rev() {
            let saved = match kept.pop() {
                Some(Kept::Saved(saved)) => saved,
                Some(Kept::Input(x)) => layer.forward(&x, &context, None)?.1,
                None => unreachable!("one is kept per layer"),
            };
            match layer.backward(saved, &dx, &context, index > 0 || wants_embedding)? {
                Some(next) => dx = next,
                None => return Ok(loss),
            }
        }
        if let Some(gradient) = self.embed.gradient_mut() {
            embedding_backward(gradient, &batch.tokens, &dx)?;
        }
        Ok(loss)
    }

    /// An empty cache for one sequence.
    pub(crate) fn cache(&self) -> Result<Cache> {
        let width = self.spec.num_key_value_heads * self.spec.head_dim;
        let layers = (0..self.layers.len())
            .map(|_| LayerCache::new(width, &self.device))
            .collect::<Result<_>>()?;
        Ok(Cache { layers, len: 0 })
    }

    /// Feeds each sequence's new tokens, one or more, and returns the scores `(sequences,
    /// vocabulary)` of what follows each.
    pub(crate) fn advance(&self, tokens: &[&[u32]], caches: &mut [&mut Cache]) -> Result<Tensor> {
        in_pool(|| self.forward_cached(tokens, caches))
    }

    fn forward_cached(&self, tokens: &[&[u32]], caches: &mut [&mut Cache]) -> Result<Tensor> {
        let mut rows = Rows {
            spans: Vec::new(),
            positions: Vec::new(),
        };
        for (tokens, cache) in tokens.iter().zip(caches.iter_mut()) {
            rows.spans.push(Span {
                start: rows.positions.len(),
                len: tokens.len(),
            });
            rows.positions
                .extend((cache.len..cache.len + tokens.len()).map(|position| position as u32));
            cache.len += tokens.len();
        }
        self.check_tokens(tokens.iter().copied().flatten())?;
        let rotary = self.rotary(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            rotary: &rotary,
        };
        let mut x = embedding(&self.embed.value, &tokens.concat())?;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut caches: Vec<&mut LayerCache> = caches
                .iter_mut()
                .map(|cache| &mut cache.layers[index])
                .collect();
            x = layer.forward(&x, &context, Some(&mut caches))?.0;
        }
        let last: Vec<u32> = rows
            .spans
            .iter()
            .map(|span| (span.start + span.len - 1) as u32)
            .collect();
        let hidden = rms_norm(
            &self.select(&x, &last)?,
            &self.norm.value,
            self.spec.rms_norm_eps,
        )?;
        Ok(matmul(&hidden, &self.output().value, Transpose::Right)?)
    }

    /// The residual stream after the last block, `(N, H)`.
    fn hidden(&self, batch: &Batch) -> Result<Tensor> {
        in_pool(|| self.forward(batch))
    }

    fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let rows = self.rows(batch)?;
        let rotary = self.rotary(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            rotary: &rotary,
        };
        let mut x = embedding(&self.embed.value, &batch.tokens)?;
        for layer in &self.layers {
            x = layer.forward(&x, &context, None)?.0;
        }
        Ok(x)
    }

    fn output(&self) -> &Parameter {
        self.head.as_ref().unwrap_or(&self.embed)
    }

    fn select(&self, x: &Tensor, rows: &[u32]) -> Result<Tensor> {
        Ok(x.index_select(&Tensor::new(rows, &self.device)?, 0)?)
    }

    fn rows(&self, batch: &Batch) -> Result<Rows> {
        self.check_tokens(&batch.tokens)?;
        let spans = batch
            .segments
            .iter()
            .map(|segment| Span {
                start: segment.start,
                len: segment.len,
            })
            .collect();
        let positions = batch
            .segments
            .iter()
            .flat_map(|segment| 0..segment.len as u32)
            .collect();
        Ok(Rows { spans, positions })
    }

    fn check_tokens<'a>(&self, tokens: impl IntoIterator<Item = &'a u32>) -> Result<()> {
        let vocabulary = self.spec.vocab_size;
        match tokens
            .into_iter()
            .find(|token| **token as usize >= vocabulary)
        {
            Some(token) => Err(Error::TokenOutsideVocabulary {
                token: *token,
                vocabulary,
            }),
            None => Ok(()),
        }
    }

    /// Rotary tables that reach the rows' highest position; grown when they do not.
    fn rotary(&self, rows: &Rows) -> Result<Arc<Rotary>> {
        let needed = rows
            .positions
            .iter()
            .max()
            .map_or(0, |position| *position as usize + 1);
        if needed > self.spec.max_position_embeddings {
            return Err(Error::TooLong {
                length: needed,
                maximum: self.spec.max_position_embeddings,
            });
        }
        // Tables are replaced whole, so a thread that panicked left them sound.
        let tables = self
            .rotary
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if needed <= tables.positions()? {
            return Ok(tables);
        }
        let grown = Arc::new(Rotary::new(
            &self.spec,
            needed.next_power_of_two(),
            &self.device,
        )?);
        *self.rotary.write().unwrap_or_else(PoisonError::into_inner) = grown.clone();
        Ok(grown)
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        visit(&self.embed);
        for layer in &self.layers {
            layer.visit(visit);
        }
        visit(&self.norm);
        self.head.iter().for_each(visit);
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        visit(&mut self.embed)?;
        for layer in &mut self.layers {
            layer.visit_mut(visit)?;
        }
        visit(&mut self.norm)?;
        self.head.iter_mut().try_for_each(visit)
    }
}

/// Rows whose prediction counts, and their targets.
fn counted(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let rows = batch
        .targets
        .iter()
        .enumerate()
        .filter(|(_, target)| **target != IGNORED);
    rows.map(|(row, target)| (row as u32, *target)).unzip()
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
