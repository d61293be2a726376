//! Low-rank adapters: their settings, what they compute, and the files PEFT reads and writes.

mod layer;
mod peft;
mod pissa;
mod target;

pub(crate) use layer::{Lora, Saved};
pub(crate) use peft::{AdapterFile, AdapterTensors, load, save};
pub use target::TargetModules;
pub(crate) use target::ends_with;

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a fresh adapter starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoraInit {
    /// `A` random and `B` zero.
    #[default]
    Default,
    /// The principal singular vectors, which the frozen weights lose (PiSSA, Meng et al., 2024).
    /// Saved as the plain adapter of twice the rank that does the same beside the whole weights.
    Pissa,
}

/// What an adapter is. Names are those of PEFT's `LoraConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// α: the adapter is scaled by `α / r` (Hu et al., 2021).
    pub lora_alpha: f64,
    /// The linear layers that carry one.
    pub target_modules: TargetModules,
    /// Scale by `α / sqrt(r)` instead (Kalajdzievski, 2023).
    pub use_rslora: bool,
    /// Train the length of each row of the adapted matrix apart from its direction (Liu et al.,
    /// 2024).
    pub use_dora: bool,
    /// Share of the adapter's inputs set to zero while training.
    pub lora_dropout: f64,
    /// Ranks of layers whose name ends with a match of a pattern; the first that matches counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// The same for α.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Modules outside the blocks that are trained whole: `embed_tokens`, `lm_head`.
    pub modules_to_save: Vec<String>,
    /// How it starts.
    pub init_lora_weights: LoraInit,
}

impl Default for LoraConfig {
    /// PEFT's defaults, on every linear layer.
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            target_modules: TargetModules::default(),
            use_rslora: false,
            use_dora: false,
            lora_dropout: 0.0,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            modules_to_save: Vec::new(),
            init_lora_weights: LoraInit::Default,
        }
    }
}

impl LoraConfig {
    /// The rank of the adapter of the layer `name`.
    pub(crate) fn rank(&self, name: &str) -> Result<usize> {
        Ok(target::first_match(&self.rank_pattern, name)?.unwrap_or(self.r))
    }

    /// `s`, the factor on `B · A` of the layer `name`.
    pub(crate) fn scale(&self, name: &str) -> Result<f64> {
        let r = self.rank(name)? as f64;
        let alpha = target::first_match(&self.alpha_pattern, name)?.unwrap_or(self.lora_alpha);
        Ok(alpha / if self.use_rslora { r.sqrt() } else { r })
    }

    /// The plain adapter of twice the rank that one started by PiSSA is saved as: the same factors,
    /// as PEFT converts it.
    pub(crate) fn converted(&self) -> Self {
        let factor = if self.use_rslora { 2.0_f64.sqrt() } else { 2.0 };
        let mut converted = self.clone();
        converted.init_lora_weights = LoraInit::Default;
        converted.r *= 2;
        converted.lora_alpha *= factor;
        converted.rank_pattern.iter_mut().for_each(|(_, r)| *r *= 2);
        let alphas = &mut converted.alpha_pattern;
        alphas.iter_mut().for_each(|(_, alpha)| *alpha *= factor);
        converted
    }

    /// Whether the module `name`, such as `model.embed_tokens`, is trained whole.
    pub(crate) fn saves(&self, name: &str) -> bool {
        self.modules_to_save
            .iter()
            .any(|module| ends_with(name, module))
    }

    /// Refuses numbers and patterns that mean nothing, whatever the model.
    pub fn check(&self) -> Result<()> {
        let refuse = |setting: &str, reason: String| {
            let setting = setting.to_owned();
            Err(Error::BadAdapterSetting { setting, reason })
        };
        if self.r == 0 || self.rank_pattern.iter().any(|(_, r)| *r == 0) {
            return refuse("r", "a rank is at least 1".into());
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let reason = format!("{} is no share below 1", self.lora_dropout);
            return refuse("lora_dropout", reason);
        }
        if self.use_dora && self.init_lora_weights == LoraInit::Pissa {
            let reason = "PiSSA and DoRA do not go together; choose one".into();
            return refuse("init_lora_weights", reason);
        }
        if let TargetModules::Pattern(_) = &self.target_modules {
            self.target_modules.contains("")?;
        }
        let patterns = self.rank_pattern.iter().map(|(pattern, _)| pattern);
        for pattern in patterns.chain(self.alpha_pattern.iter().map(|(pattern, _)| pattern)) {
            target::suffix_pattern(pattern)?;
        }
        Ok(())
    }

    /// Refuses what does not fit a model with linear layers of these names.
    pub(crate) fn check_against(&self, linears: &[&str], outside: &[&str]) -> Result<()> {
        self.check()?;
        self.target_modules.check_against(linears)?;
        let unknown = self
            .modules_to_save
            .iter()
            .find(|module| !outside.iter().any(|name| ends_with(name, module)));
        match unknown {
            Some(module) => Err(Error::BadAdapterSetting {
                setting: "modules_to_save".into(),
                reason: format!(
                    "`{module}` cannot be trained whole; {} can",
                    outside
                        .iter()
                        .map(|name| target::last_part(name))
                        .collect::<Vec<_>>()
                        .join(" and ")
                ),
            }),
            None => Ok(()),
        }
    }
}
