//! LoRA's settings, and adapters in the files PEFT reads and writes.

use crate::files::at;
use crate::linear::Linear;
use crate::{Error, ModelSpec, Result, files, weights};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// PEFT saves every name below this prefix.
const PREFIX: &str = "base_model.model.";

/// Low-rank adaptation (Hu et al., 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// α: the adapter is scaled by `α / r`.
    pub lora_alpha: f64,
    /// Which of [`ModelSpec::linear_modules`]; empty for all.
    pub target_modules: Vec<String>,
    /// Scale by `α / sqrt(r)` instead (Kalajdzievski, 2023).
    pub use_rslora: bool,
}

impl LoraConfig {
    /// `s`, the factor on `B · A`.
    pub fn scale(&self) -> f64 {
        let r = self.r as f64;
        self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Whether a layer of this full name gets an adapter.
    pub(crate) fn targets(&self, name: &str) -> bool {
        let module = name.rsplit('.').next().unwrap_or(name);
        self.target_modules.is_empty() || self.target_modules.iter().any(|target| target == module)
    }

    /// Refuses targets that the model does not have.
    pub(crate) fn check(&self, spec: &ModelSpec) -> Result<()> {
        let modules = spec.linear_modules();
        match self
            .target_modules
            .iter()
            .find(|name| !modules.contains(&name.as_str()))
        {
            Some(name) => Err(Error::UnknownModule {
                name: name.clone(),
                modules: modules.join(", "),
            }),
            None => Ok(()),
        }
    }
}

/// An adapter as read from disk.
pub(crate) struct AdapterFile {
    pub(crate) config: LoraConfig,
    /// `A` and `B` by the name of their layer.
    pub(crate) matrices: BTreeMap<String, (Tensor, Tensor)>,
}

/// Writes the adapters of `linears` into `folder` as PEFT does.
pub(crate) fn save<'a>(
    folder: &Path,
    config: &LoraConfig,
    base_model: &str,
    linears: impl Iterator<Item = &'a Linear>,
) -> Result<()> {
    let mut tensors = Vec::new();
    let mut modules = Vec::new();
    for linear in linears {
        if let Some(lora) = &linear.lora {
            for parameter in [&lora.a, &lora.b] {
                tensors.push((
                    format!("{PREFIX}{}", parameter.name),
                    parameter.value.clone(),
                ));
            }
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
    weights::save(&folder.join("adapter_model.safetensors"), tensors)?;
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "use_rslora": config.use_rslora,
        "use_dora": false,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
        "rank_pattern": {},
        "alpha_pattern": {},
    });
    let text = format!("{config:#}\n");
    files::write(&folder.join("adapter_config.json"), text.as_bytes())
}

/// Reads an adapter that PEFT or Attune saved.
pub(crate) fn load(folder: &Path, device: &Device) -> Result<AdapterFile> {
    let (config_path, tensors_path) = (
        folder.join("adapter_config.json"),
        folder.join("adapter_model.safetensors"),
    );
    if !config_path.is_file() || !tensors_path.is_file() {
        return Err(Error::NoAdapter {
            folder: folder.to_owned(),
        });
    }
    let text = std::fs::read_to_string(&config_path).map_err(at(&config_path, "read"))?;
    let bad = |reason: String| Error::BadConfig {
        path: config_path.clone(),
        reason,
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    refuse_what_is_not_computed(&value)?;
    let r = value.get("r").and_then(Value::as_u64).filter(|r| *r > 0);
    let config = LoraConfig {
        r: r.ok_or_else(|| bad("`r` is missing or not a rank".into()))? as usize,
        lora_alpha: value
            .get("lora_alpha")
            .and_then(Value::as_f64)
            .ok_or_else(|| bad("`lora_alpha` is missing".into()))?,
        target_modules: Vec::new(),
        use_rslora: value
            .get("use_rslora")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    };
    let broken = |reason: String| Error::BrokenWeights {
        path: tensors_path.clone(),
        reason,
    };
    let mut halves: BTreeMap<String, (Option<Tensor>, Option<Tensor>)> = BTreeMap::new();
    for (name, tensor) in weights::read(&tensors_path, device)? {
        let plain = name.strip_prefix(PREFIX).unwrap_or(&name);
        if let Some(layer) = plain.strip_suffix(".lora_A.weight") {
            halves.entry(layer.to_owned()).or_default().0 = Some(tensor);
        } else if let Some(layer) = plain.strip_suffix(".lora_B.weight") {
            halves.entry(layer.to_owned()).or_default().1 = Some(tensor);
        } else {
            return Err(broken(format!(
                "the tensor `{name}` is no part of a LoRA adapter"
            )));
        }
    }
    let matrices = halves
        .into_iter()
        .map(|(layer, pair)| match pair {
            (Some(a), Some(b)) if a.dim(0)? == config.r && b.dim(1)? == config.r => {
                Ok((layer, (a, b)))
            }
            (Some(_), Some(_)) => Err(broken(format!(
                "the rank of `{layer}` is not r = {}",
                config.r
            ))),
            _ => Err(broken(format!(
                "`{layer}` has only one of lora_A and lora_B"
            ))),
        })
        .collect::<Result<_>>()?;
    Ok(AdapterFile { config, matrices })
}

fn refuse_what_is_not_computed(config: &Value) -> Result<()> {
    let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
    let filled = |name: &str| match config.get(name) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(items)) => !items.is_empty(),
        Some(Value::Bool(on)) => *on,
        _ => false,
    };
    let what = if text("peft_type") != "LORA" {
        Some(format!("an adapter of type {}", text("peft_type")))
    } else if !matches!(text("bias"), "" | "none") {
        Some(format!("an adapter with bias = {}", text("bias")))
    } else {
        [
            "use_dora",
            "modules_to_save",
            "rank_pattern",
            "alpha_pattern",
            "fan_in_fan_out",
        ]
        .into_iter()
        .find(|name| filled(name))
        .map(|name| format!("an adapter with {name}"))
    };
    what.map_or(Ok(()), |what| Err(Error::Unsupported { what }))
}

/// Checks that `A` and `B` fit a layer.
pub(crate) fn fits(linear: &Linear, a: &Tensor, b: &Tensor) -> Result<bool> {
    let (out, input) = linear.weight.value.dims2()?;
    Ok(a.dims2()?.1 == input && b.dims2()?.0 == out && a.dtype() == DType::F32)
}
