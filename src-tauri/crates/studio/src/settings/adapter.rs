//! The adapter that the settings describe.

use serde_json::Value;

use super::{BackboneDtype, ExperimentConfig};
use crate::error::{Error, Result};
use attune_engine::{
    DType, LoraConfig, LoraInit, ModelSpec, TargetModules, TrainedType, WeightType,
};

impl ExperimentConfig {
    /// How the weights of `model` that are not trained are held in memory. Those of a GGUF file
    /// stay as it has them.
    pub(crate) fn frozen_weights(&self, model: &ModelSpec) -> WeightType {
        if !self.lora {
            return WeightType::Float(DType::F32);
        }
        if model.stored_bytes.is_some() {
            return WeightType::Stored;
        }
        match self.backbone_dtype {
            BackboneDtype::Float32 => WeightType::Float(DType::F32),
            BackboneDtype::Bfloat16 => WeightType::Float(DType::BF16),
            BackboneDtype::Float16 => WeightType::Float(DType::F16),
            BackboneDtype::Int8 => WeightType::Int8,
            BackboneDtype::Nf4 => WeightType::Nf4,
        }
    }

    /// What every weight is computed with where all are trained.
    pub(crate) fn trained_weights(&self) -> Result<TrainedType> {
        match self.backbone_dtype {
            BackboneDtype::Float32 => Ok(TrainedType::F32),
            BackboneDtype::Bfloat16 => Ok(TrainedType::Bf16),
            BackboneDtype::Float16 | BackboneDtype::Int8 | BackboneDtype::Nf4 => Err(Error::new(
                "setting-conflict",
                "without an adapter every weight is trained, for which this precision is too coarse",
            )
            .with_remedy("Set backbone_dtype to float32 or bfloat16, or lora to true.")
            .with_place("backbone_dtype")),
        }
    }

    /// The adapter to train; none where every weight is trained.
    pub(crate) fn adapter(&self) -> Result<Option<LoraConfig>> {
        if !self.lora {
            self.trained_weights()?;
            return Ok(None);
        }
        let target_modules = match &self.lora_target_pattern {
            Some(_) if !self.lora_target_modules.is_empty() => {
                return Err(Error::new(
                    "setting-conflict",
                    "the adapter's layers are given by name and by pattern",
                )
                .with_remedy("Empty lora_target_modules or lora_target_pattern.")
                .with_place("lora_target_pattern"));
            }
            Some(pattern) => TargetModules::Pattern(pattern.clone()),
            None => TargetModules::names(self.lora_target_modules.clone()),
        };
        let adapter = LoraConfig {
            r: self.lora_r,
            lora_alpha: self.lora_alpha,
            target_modules,
            use_rslora: self.use_rslora,
            use_dora: self.use_dora,
            lora_dropout: self.lora_dropout,
            rank_pattern: patterns("lora_rank_pattern", &self.lora_rank_pattern, |text| {
                text.parse().ok().filter(|rank| (1..=4096).contains(rank))
            })?,
            alpha_pattern: patterns("lora_alpha_pattern", &self.lora_alpha_pattern, |text| {
                text.parse().ok().filter(|alpha| *alpha > 0.0)
            })?,
            modules_to_save: self.lora_modules_to_save.clone(),
            init_lora_weights: self.lora_init,
        };
        if self.lora_init == LoraInit::Pissa && self.backbone_dtype != BackboneDtype::Float32 {
            return Err(Error::new(
                "setting-conflict",
                "PiSSA changes the weights, for which fewer than 4 bytes are too coarse",
            )
            .with_remedy("Set backbone_dtype to float32, or lora_init to default.")
            .with_place("lora_init"));
        }
        adapter.check().map_err(|error| {
            Error::new("setting-invalid", error.to_string())
                .with_remedy("Correct the setting; patterns are Python's regular expressions.")
                .with_place(match &error {
                    attune_engine::Error::BadAdapterSetting { setting, .. } => setting.as_str(),
                    _ => "lora",
                })
        })?;
        Ok(Some(adapter))
    }

    /// Takes over what an adapter's configuration file says of its shape.
    pub(crate) fn adopt_adapter(&mut self, facts: &Value) {
        if let Some(r) = facts["r"].as_u64() {
            self.lora_r = r as usize;
        }
        if let Some(alpha) = facts["lora_alpha"].as_f64() {
            self.lora_alpha = alpha;
        }
        let texts = |value: &Value| {
            let items = value.as_array().into_iter().flatten();
            items
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let entries = |value: &Value| {
            let entries = value.as_object().into_iter().flatten();
            entries
                .map(|(pattern, value)| format!("{pattern}={value}"))
                .collect::<Vec<_>>()
        };
        self.lora_target_modules = texts(&facts["target_modules"]);
        self.lora_target_pattern = facts["target_modules"].as_str().map(str::to_owned);
        self.lora_rank_pattern = entries(&facts["rank_pattern"]);
        self.lora_alpha_pattern = entries(&facts["alpha_pattern"]);
        self.lora_modules_to_save = texts(&facts["modules_to_save"]);
        self.lora_init = LoraInit::Default;
        self.use_rslora = facts["use_rslora"].as_bool().unwrap_or(false);
        self.use_dora = facts["use_dora"].as_bool().unwrap_or(false);
    }
}

/// Reads `pattern=value` texts; a pattern may hold `=` itself.
fn patterns<T>(
    key: &str,
    texts: &[String],
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(String, T)>> {
    let one = |text: &String| {
        let (pattern, value) = text.rsplit_once('=')?;
        Some((pattern.trim().to_owned(), read(value.trim())?))
    };
    texts
        .iter()
        .map(|text| {
            one(text).ok_or_else(|| {
                Error::new("setting-invalid", format!("`{key}` cannot hold `{text}`"))
                    .with_remedy("Write a layer's name or a pattern, `=` and a positive number: `down_proj=16`.")
                    .with_place(key)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn settings_become_an_adapter() {
        let config = ExperimentConfig {
            lora_rank_pattern: vec![r"layers\.0\..*=2".into(), "down_proj = 16".into()],
            lora_alpha_pattern: vec!["q_proj=0.5".into()],
            lora_target_pattern: Some(".*_proj".into()),
            ..ExperimentConfig::default()
        };
        let adapter = config.adapter().unwrap().unwrap();
        assert_eq!(
            adapter.rank_pattern,
            [
                (r"layers\.0\..*".to_owned(), 2),
                ("down_proj".to_owned(), 16)
            ]
        );
        assert_eq!(adapter.alpha_pattern, [("q_proj".to_owned(), 0.5)]);
        assert_eq!(
            adapter.target_modules,
            TargetModules::Pattern(".*_proj".into())
        );
        let full = ExperimentConfig {
            lora: false,
            ..ExperimentConfig::default()
        };
        assert_eq!(full.adapter().unwrap(), None);
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_key() {
        let refused = |change: &dyn Fn(&mut ExperimentConfig)| {
            let mut config = ExperimentConfig::default();
            change(&mut config);
            config.adapter().unwrap_err().place.unwrap()
        };
        for text in ["down_proj", "down_proj=0", "down_proj=x"] {
            let place = refused(&|config| config.lora_rank_pattern = vec![text.into()]);
            assert_eq!(place, "lora_rank_pattern");
        }
        let place = refused(&|config| config.lora_target_pattern = Some("(".into()));
        assert!(place.contains("target_modules"), "{place}");
        let place = refused(&|config| {
            config.lora = false;
            config.backbone_dtype = BackboneDtype::Nf4;
        });
        assert_eq!(place, "backbone_dtype");
        let place = refused(&|config| {
            config.lora_init = LoraInit::Pissa;
            config.backbone_dtype = BackboneDtype::Bfloat16;
        });
        assert_eq!(place, "lora_init");
        let place = refused(&|config| {
            config.lora_target_pattern = Some(".*".into());
            config.lora_target_modules = vec!["q_proj".into()];
        });
        assert_eq!(place, "lora_target_pattern");
    }

    #[test]
    fn an_adapter_brings_its_shape() {
        let mut config = ExperimentConfig::default();
        config.adopt_adapter(&json!({
            "r": 8, "lora_alpha": 32, "target_modules": ".*q_proj", "use_dora": true,
            "rank_pattern": {"q_proj": 3}, "modules_to_save": ["lm_head"],
        }));
        let adapter = config.adapter().unwrap().unwrap();
        assert_eq!((adapter.r, adapter.lora_alpha), (8, 32.0));
        assert_eq!(adapter.rank_pattern, [("q_proj".to_owned(), 3)]);
        assert_eq!(adapter.modules_to_save, ["lm_head"]);
        assert!(adapter.use_dora && !adapter.use_rslora);
        assert_eq!(
            adapter.target_modules,
            TargetModules::Pattern(".*q_proj".into())
        );
    }
}
