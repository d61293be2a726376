//! What of a decoder is trained: an adapter beside it, or all of it.

use super::Decoder;
use crate::block::Block;
use crate::linear::Linear;
use crate::lora::{self, LoraConfig, LoraInit};
use crate::parameter::Parameter;
use crate::spec::SCORE;
use crate::{Error, Result, files};
use candle_core::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// The output matrix's name; it has no parameter of its own where the embedding doubles as it.
const HEAD: &str = "lm_head";

impl Decoder {
    /// The attached adapter's settings.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// Puts a fresh adapter beside the targeted linear layers and freezes all else.
    pub fn attach_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        self.check_adapter(config)?;
        self.freeze()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            if config.target_modules.contains(linear.name())? {
                linear.attach_lora(config, &mut rng)?;
            }
        }
        self.train_whole(config)?;
        let mut config = config.clone();
        if self.score.is_some() && !config.saves(SCORE) {
            config.modules_to_save.push(SCORE.to_owned());
        }
        self.lora = Some(config);
        Ok(())
    }

    /// Puts an adapter in PEFT's layout beside the layers it names and freezes all else.
    pub fn load_adapter(&mut self, folder: &Path) -> Result<LoraConfig> {
        let mut adapter = lora::load(folder, &self.device)?;
        // Everything is checked before anything changes.
        self.check_fit(&adapter, folder)?;
        self.freeze()?;
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            if let Some(tensors) = adapter.layers.remove(linear.name()) {
                linear.set_lora(tensors, &adapter.config)?;
            }
        }
        self.train_whole(&adapter.config)?;
        self.set_whole(&adapter)?;
        self.lora = Some(adapter.config.clone());
        Ok(adapter.config)
    }

    /// Brings the attached adapter to a checkpoint of its own run. One started by PiSSA goes on
    /// beside the weights that lack its start.
    pub(crate) fn resume_adapter(&mut self, folder: &Path) -> Result<()> {
        let pissa = |config: &LoraConfig| config.init_lora_weights == LoraInit::Pissa;
        if !self.lora.as_ref().is_some_and(pissa) {
            self.load_adapter(folder)?;
            return Ok(());
        }
        let adapter = lora::load(folder, &self.device)?;
        self.check_fit(&adapter, folder)?;
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            let Linear { weight, lora, .. } = linear;
            let name = weight.name.trim_end_matches(".weight");
            match (lora, adapter.layers.get(name)) {
                (Some(lora), Some(tensors)) => {
                    lora.resume_principal(weight, &tensors.a, &tensors.b)?;
                }
                (None, None) => {}
                _ => {
                    return Err(Error::CheckpointMismatch {
                        folder: folder.to_owned(),
                        reason: format!("`{name}` has an adapter on one side only"),
                    });
                }
            }
        }
        self.set_whole(&adapter)
    }

    fn set_whole(&mut self, adapter: &lora::AdapterFile) -> Result<()> {
        for parameter in self.outside_mut() {
            if let Some(value) = adapter.whole.get(&parameter.name) {
                parameter.value = value.copy()?;
            }
        }
        Ok(())
    }

    /// Sets the share of the adapter's inputs that training sets to zero.
    pub fn set_lora_dropout(&mut self, dropout: f64) {
        if let Some(config) = &mut self.lora {
            config.lora_dropout = dropout;
        }
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            if let Some(lora) = &mut linear.lora {
                lora.dropout = dropout as f32;
            }
        }
    }

    /// Makes every weight trainable, for full fine-tuning. An attached adapter is merged first.
    pub fn make_trainable(&mut self) -> Result<()> {
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            let merged = linear.merged()?;
            linear.weight.set_value(merged);
            linear.lora = None;
        }
        self.lora = None;
        self.visit_mut(&mut |parameter| {
            parameter.keep();
            parameter.make_trainable()
        })
    }

    /// Freezes every weight and drops the adapter.
    pub(super) fn freeze(&mut self) -> Result<()> {
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            linear.detach_lora()?;
        }
        self.lora = None;
        self.visit_mut(&mut |parameter| {
            parameter.freeze();
            Ok(())
        })
    }

    /// Makes trainable what the adapter trains whole: what its settings name, and the matrix that
    /// scores labels.
    fn train_whole(&mut self, config: &LoraConfig) -> Result<()> {
        let tied = self.doubles() && config.saves(HEAD);
        for parameter in self.outside_mut() {
            let module = module(&parameter.name);
            if tied || module == SCORE || config.saves(module) {
                parameter.train_whole()?;
            }
        }
        Ok(())
    }

    /// The matrices outside the blocks: the embedding and the output matrix, or what scores labels.
    fn outside(&self) -> impl Iterator<Item = &Parameter> {
        let heads = self.head.iter().chain(&self.score);
        [&self.embed].into_iter().chain(heads)
    }

    fn outside_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        let heads = self.head.iter_mut().chain(&mut self.score);
        [&mut self.embed].into_iter().chain(heads)
    }

    /// Whether the embedding is the output matrix too.
    fn doubles(&self) -> bool {
        self.head.is_none() && self.score.is_none()
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(Block::linears)
    }

    fn check_adapter(&self, config: &LoraConfig) -> Result<()> {
        let linears: Vec<&str> = self.linears().map(Linear::name).collect();
        let head = if self.score.is_some() { SCORE } else { HEAD };
        config.check_against(&linears, &[module(&self.embed.name), head])
    }

    /// Refuses an adapter that is not for a model like this one.
    fn check_fit(&self, adapter: &lora::AdapterFile, folder: &Path) -> Result<()> {
        let broken = |reason: String| Error::BrokenWeights {
            path: folder.join("adapter_model.safetensors"),
            reason,
        };
        for linear in self.linears() {
            if let Some(tensors) = adapter.layers.get(linear.name())
                && !tensors.fits(linear)?
            {
                return Err(broken(format!(
                    "the adapter of `{}` has another size than the model's layer",
                    linear.name()
                )));
            }
        }
        let known: Vec<&str> = self.linears().map(Linear::name).collect();
        if let Some(name) = adapter
            .layers
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(broken(format!("the model has no layer `{name}`")));
        }
        for (name, tensor) in &adapter.whole {
            let parameter = if module(name) == HEAD && self.doubles() {
                Some(&self.embed)
            } else {
                self.outside().find(|parameter| parameter.name == *name)
            };
            match parameter {
                None if module(name) == SCORE => {
                    return Err(Error::OtherHead {
                        has: "predicts tokens",
                        lacks: "does not score labels, as this adapter does",
                    });
                }
                None => return Err(broken(format!("the model has no embedding `{name}`"))),
                Some(parameter) if parameter.value.shape() != tensor.shape() => {
                    return Err(broken(format!(
                        "`{name}` is {:?}, the model's is {:?}",
                        tensor.dims(),
                        parameter.value.dims()
                    )));
                }
                Some(_) => {}
            }
        }
        self.check_tied(adapter, folder)
    }

    /// Refuses embedding and output matrix that differ where the model has one for both.
    fn check_tied(&self, adapter: &lora::AdapterFile, folder: &Path) -> Result<()> {
        if !self.doubles() || adapter.whole.is_empty() {
            return Ok(());
        }
        let values = adapter
            .whole
            .values()
            .map(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
        let values = values.collect::<candle_core::Result<Vec<_>>>()?;
        if values.len() == 2 && values[0] == values[1] {
            return Ok(());
        }
        Err(Error::UnsupportedAdapter {
            path: folder.join("adapter_config.json"),
            what: "an adapter whose modules_to_save part embedding and output matrix, which are \
                   one in this model (PEFT's ensure_weight_tying keeps them so)"
                .into(),
        })
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
        let mut whole: Vec<(String, Tensor)> = Vec::new();
        for parameter in self.outside() {
            if parameter.is_trainable() {
                whole.push((parameter.name.clone(), parameter.value.clone()));
            }
        }
        // PEFT gives each of the two a copy of its own.
        let tied = self.doubles() && !whole.is_empty();
        if tied {
            whole.push((format!("{HEAD}.weight"), self.embed.value.copy()?));
        }
        lora::save(folder, config, &self.origin, self.linears(), whole, tied)
    }
}

/// A parameter's module.
fn module(name: &str) -> &str {
    name.trim_end_matches(".weight")
}
