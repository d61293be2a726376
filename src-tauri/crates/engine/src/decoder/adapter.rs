//! What of a decoder is trained: an adapter beside it, or all of it.

use super::Decoder;
use crate::block::Block;
use crate::linear::Linear;
use crate::lora::{self, LoraConfig, LoraInit, TargetModules};
use crate::parameter::{Parameter, TrainedType};
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
        self.check_beside_held(config)?;
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

    /// Puts an adapter in PEFT's layout beside the layers it names, trainable, and freezes all
    /// else.
    pub fn load_adapter(&mut self, folder: &Path) -> Result<LoraConfig> {
        let adapter = lora::load(folder, &self.device)?;
        // Everything is checked before anything changes.
        self.check_fit(&adapter, folder)?;
        let config = adapter.config.clone();
        self.put(adapter)?;
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            linear.train_lora()?;
        }
        self.outside_mut()
            .filter(|parameter| parameter.is_replaced())
            .try_for_each(Parameter::make_trainable)?;
        Ok(config)
    }

    /// Puts an adapter that fits beside the base, in place of any other, everything frozen.
    pub(super) fn put(&mut self, mut adapter: lora::AdapterFile) -> Result<()> {
        self.freeze()?;
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            if let Some(tensors) = adapter.layers.remove(linear.name()) {
                linear.set_lora(tensors, &adapter.config)?;
            }
        }
        for parameter in self.outside_mut() {
            if let Some(value) = adapter.whole.remove(&parameter.name) {
                parameter.replace(value);
            }
        }
        self.lora = Some(adapter.config);
        Ok(())
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

    /// Makes every weight trainable, for full fine-tuning. An attached adapter is merged first, and
    /// those held beside the base are dropped.
    pub fn make_trainable(&mut self) -> Result<()> {
        self.make_trainable_in(TrainedType::F32)
    }

    /// The same, matrices computed with in another type. Bf16 with f32 masters takes the memory of
    /// f32: the bits that the rounded weights lack lie beside them.
    pub fn make_trainable_in(&mut self, trained: TrainedType) -> Result<()> {
        self.held.clear();
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            let merged = linear.merged()?;
            linear.weight.set_value(merged);
            linear.lora = None;
        }
        self.lora = None;
        self.active = None;
        self.visit_mut(&mut |parameter| {
            parameter.keep();
            parameter.make_trainable_in(trained)
        })
    }

    /// What trained weights are computed with.
    pub fn trained_type(&self) -> TrainedType {
        if self.embed.is_rounded() {
            TrainedType::Bf16
        } else {
            TrainedType::F32
        }
    }

    /// Freezes every weight and takes the adapter off.
    pub(super) fn freeze(&mut self) -> Result<()> {
        for linear in self.layers.iter_mut().flat_map(Block::linears_mut) {
            linear.detach_lora()?;
        }
        self.lora = None;
        self.active = None;
        self.visit_mut(&mut Parameter::freeze)
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
        self.check_experts(config, &linears)?;
        config.check_against(&linears, &[module(&self.embed.name), head])
    }

    /// Refuses an adapter beside router or experts, by the name that asks for it.
    fn check_experts(&self, config: &LoraConfig, linears: &[&str]) -> Result<()> {
        let (TargetModules::Names(names), Some(_)) = (&config.target_modules, &self.spec.experts)
        else {
            return Ok(());
        };
        let modules = self.spec.expert_modules();
        let of_experts = names.iter().find(|name| {
            modules.iter().any(|module| lora::ends_with(name, module))
                && !linears.iter().any(|linear| lora::ends_with(linear, name))
        });
        match of_experts {
            None => Ok(()),
            Some(name) => Err(Error::BadAdapterSetting {
                setting: "target_modules".into(),
                reason: format!(
                    "`{name}` belongs to router or experts, which stay frozen beside an adapter; \
                     it can stand beside {}",
                    self.spec.linear_modules().join(", ")
                ),
            }),
        }
    }

    /// Refuses an adapter that is not for a model like this one.
    pub(super) fn check_fit(&self, adapter: &lora::AdapterFile, folder: &Path) -> Result<()> {
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
            let modules = self.spec.expert_modules();
            let of_expert = |module: &String| lora::ends_with(name, module);
            if self.spec.experts.is_some() && modules.iter().any(of_expert) {
                return Err(Error::UnsupportedAdapter {
                    path: folder.join("adapter_config.json"),
                    what: format!("an adapter beside router or experts (`{name}`)"),
                });
            }
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
            if parameter.is_replaced() {
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
