//! Adapters in the files PEFT reads and writes: `adapter_config.json` and
//! `adapter_model.safetensors`.

use super::{LoraConfig, LoraInit, TargetModules, target};
use crate::files::at;
use crate::linear::Linear;
use crate::spec::SCORE;
use crate::{Error, Result, files, weights};
use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// PEFT saves every name below this prefix.
const PREFIX: &str = "base_model.model.";

/// Fields of PEFT's configuration that do not change what a saved adapter computes: where it came
/// from, how it started, and how its layers were chosen, which its tensors show.
const WITHOUT_EFFECT: [&str; 17] = [
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Fields that [`LoraConfig`] holds.
const COMPUTED: [&str; 9] = [
    "alpha_pattern",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
];

/// The two ends of a model that may share their weights.
const TIED: [&str; 2] = ["embed_tokens", "lm_head"];

/// An adapter as read from disk. A clone shares its tensors.
#[derive(Clone)]
pub(crate) struct AdapterFile {
    pub(crate) config: LoraConfig,
    /// The adapters by the name of their layer.
    pub(crate) layers: BTreeMap<String, AdapterTensors>,
    /// Weights trained whole, by their name in the model.
    pub(crate) whole: BTreeMap<String, Tensor>,
}

/// The adapter of one layer, in f32.
#[derive(Clone)]
pub(crate) struct AdapterTensors {
    /// `A (r, in)`
    pub(crate) a: Tensor,
    /// `B (out, r)`
    pub(crate) b: Tensor,
    /// `(out)`, of DoRA.
    pub(crate) magnitude: Option<Tensor>,
}

impl AdapterTensors {
    /// Whether the sizes are those of a layer.
    pub(crate) fn fits(&self, linear: &Linear) -> Result<bool> {
        let (out, input) = linear.weight.operand().dims2()?;
        let magnitude = self.magnitude.as_ref();
        Ok(self.a.dim(1)? == input
            && self.b.dim(0)? == out
            && magnitude.is_none_or(|magnitude| magnitude.elem_count() == out))
    }
}

/// Writes the adapters of `linears` into `folder` as PEFT does. `whole` are the weights trained
/// whole by their names in the model; with `tied`, PEFT is told that they are one.
pub(crate) fn save<'a>(
    folder: &Path,
    config: &LoraConfig,
    base_model: &str,
    linears: impl Iterator<Item = &'a Linear>,
    whole: Vec<(String, Tensor)>,
    tied: bool,
) -> Result<()> {
    let mut tensors = Vec::new();
    let mut modules: Vec<String> = Vec::new();
    for linear in linears {
        let Some(lora) = &linear.lora else { continue };
        let (a, b) = lora.saved_factors()?;
        let magnitude = lora.magnitude.as_ref();
        let values = [(&lora.a, a), (&lora.b, b)].into_iter();
        for (parameter, value) in values.chain(magnitude.map(|one| (one, one.value.clone()))) {
            tensors.push((format!("{PREFIX}{}", parameter.name), value));
        }
        let module = target::last_part(linear.name());
        if !modules.iter().any(|known| known == module) {
            modules.push(module.to_owned());
        }
    }
    let converted = match config.init_lora_weights {
        LoraInit::Pissa => config.converted(),
        LoraInit::Default => config.clone(),
    };
    let config = &converted;
    let saved: Vec<&str> = whole
        .iter()
        .map(|(name, _)| target::last_part(name.trim_end_matches(".weight")))
        .collect();
    let task_type = if saved.contains(&SCORE) {
        "SEQ_CLS"
    } else {
        "CAUSAL_LM"
    };
    let config = json!({
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": base_model,
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": if config.target_modules.is_all_linear() {
            json!(modules)
        } else {
            json!(config.target_modules)
        },
        "use_rslora": config.use_rslora,
        "use_dora": config.use_dora,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": if saved.is_empty() { Value::Null } else { json!(saved) },
        "ensure_weight_tying": tied,
        "rank_pattern": object(&config.rank_pattern),
        "alpha_pattern": object(&config.alpha_pattern),
    });
    tensors.extend(
        whole
            .into_iter()
            .map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor)),
    );
    weights::save(&folder.join("adapter_model.safetensors"), tensors)?;
    let text = format!("{config:#}\n");
    files::write(&folder.join("adapter_config.json"), text.as_bytes())
}

/// In the order given: the first pattern that matches counts.
fn object<T: Copy + Into<Value>>(patterns: &[(String, T)]) -> Value {
    let entries = patterns
        .iter()
        .map(|(pattern, value)| (pattern.clone(), (*value).into()));
    Value::Object(entries.collect())
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
    let fields = value
        .as_object()
        .ok_or_else(|| bad("it holds no JSON object".into()))?;
    if let Some(what) = not_computed(fields) {
        return Err(Error::UnsupportedAdapter {
            path: config_path,
            what,
        });
    }
    let mut config = read_config(fields).map_err(bad)?;
    config.check()?;
    if fields.get("task_type").and_then(Value::as_str) == Some("SEQ_CLS") {
        // PEFT names both heads that a model of transformers may have.
        let names = &mut config.modules_to_save;
        names.retain(|name| name != "classifier" && name != SCORE);
        names.push(SCORE.to_owned());
    }
    // With tied weights, PEFT names one of the two and saves both.
    let named = config.modules_to_save.clone();
    let tied = fields.get("ensure_weight_tying").is_some_and(is_set);
    if tied && !named.is_empty() {
        config.modules_to_save.extend(TIED.map(str::to_owned));
    }
    let mut file = sort(&tensors_path, &config, device)?;
    let missing = named.iter().find(|module| {
        let mut names = file
            .whole
            .keys()
            .map(|name| name.trim_end_matches(".weight"));
        !names.any(|name| target::ends_with(name, module))
    });
    if let Some(module) = missing {
        return Err(Error::BrokenWeights {
            path: tensors_path,
            reason: format!("it lacks the weights of `{module}`, which modules_to_save names"),
        });
    }
    config.modules_to_save = file
        .whole
        .keys()
        .map(|name| target::last_part(name.trim_end_matches(".weight")).to_owned())
        .collect();
    // A choice by index or exclusion is kept as what it chose.
    let chosen_otherwise = ["layers_to_transform", "layers_pattern", "exclude_modules"]
        .iter()
        .any(|name| fields.get(*name).is_some_and(is_set));
    if chosen_otherwise {
        config.target_modules = TargetModules::Names(file.layers.keys().cloned().collect());
    }
    file.config = config;
    Ok(file)
}

/// Sorts the tensors of the file by what they are.
fn sort(path: &Path, config: &LoraConfig, device: &Device) -> Result<AdapterFile> {
    let broken = |reason: String| Error::BrokenWeights {
        path: path.to_owned(),
        reason,
    };
    let mut parts: BTreeMap<String, [Option<Tensor>; 3]> = BTreeMap::new();
    let mut whole = BTreeMap::new();
    for (name, tensor) in weights::read(path, device)? {
        let plain = name.strip_prefix(PREFIX).unwrap_or(&name);
        let stem = plain.trim_end_matches(".weight");
        let ends = ["lora_A", "lora_B", "lora_magnitude_vector"];
        let part = ends.iter().enumerate().find_map(|(part, end)| {
            let layer = stem.strip_suffix(end)?.strip_suffix('.')?;
            Some((part, layer))
        });
        match part {
            Some((part, layer)) => {
                parts.entry(layer.to_owned()).or_default()[part] = Some(tensor);
            }
            None if config.saves(stem) => {
                whole.insert(plain.to_owned(), tensor);
            }
            None => {
                let reason = format!("the tensor `{name}` is no part of a LoRA adapter");
                return Err(broken(reason));
            }
        }
    }
    let mut layers = BTreeMap::new();
    for (layer, parts) in parts {
        let [Some(a), Some(b), magnitude] = parts else {
            return Err(broken(format!(
                "`{layer}` has only one of lora_A and lora_B"
            )));
        };
        let r = config.rank(&layer)?;
        if (a.rank(), b.rank()) != (2, 2) || (a.dim(0)?, b.dim(1)?) != (r, r) {
            return Err(broken(format!("the rank of `{layer}` is not r = {r}")));
        }
        if magnitude.is_some() != config.use_dora {
            return Err(broken(format!(
                "`use_dora` is {}, and `{layer}` has {} magnitude",
                config.use_dora,
                if config.use_dora { "no" } else { "a" }
            )));
        }
        let magnitude = magnitude.map(|value| value.flatten_all()).transpose()?;
        layers.insert(layer, AdapterTensors { a, b, magnitude });
    }
    Ok(AdapterFile {
        config: config.clone(),
        layers,
        whole,
    })
}

fn read_config(fields: &Map<String, Value>) -> std::result::Result<LoraConfig, String> {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let flag = |name: &str| field(name).and_then(Value::as_bool).unwrap_or(false);
    let rank = |value: &Value| value.as_u64().filter(|r| (1..=1 << 20).contains(r));
    let patterns = |name: &str| match field(name) {
        None => Ok(Vec::new()),
        Some(Value::Object(entries)) => Ok(entries.iter().collect::<Vec<_>>()),
        Some(_) => Err(format!("`{name}` is no object")),
    };
    Ok(LoraConfig {
        r: field("r")
            .and_then(rank)
            .ok_or("`r` is missing or not a rank")? as usize,
        lora_alpha: field("lora_alpha")
            .and_then(Value::as_f64)
            .ok_or("`lora_alpha` is missing")?,
        target_modules: match field("target_modules") {
            None => TargetModules::default(),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| "`target_modules` is neither a text nor a list of them")?,
        },
        use_rslora: flag("use_rslora"),
        use_dora: flag("use_dora"),
        lora_dropout: field("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0),
        rank_pattern: patterns("rank_pattern")?
            .into_iter()
            .map(|(pattern, value)| match rank(value) {
                Some(r) => Ok((pattern.clone(), r as usize)),
                None => Err(format!("`rank_pattern` gives {value} as a rank")),
            })
            .collect::<std::result::Result<_, _>>()?,
        alpha_pattern: patterns("alpha_pattern")?
            .into_iter()
            .map(|(pattern, value)| match value.as_f64() {
                Some(alpha) => Ok((pattern.clone(), alpha)),
                None => Err(format!("`alpha_pattern` gives {value} as an alpha")),
            })
            .collect::<std::result::Result<_, _>>()?,
        modules_to_save: match field("modules_to_save") {
            None => Vec::new(),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| "`modules_to_save` is no list of names")?,
        },
        init_lora_weights: LoraInit::Default,
    })
}

/// What the adapter asks for that is not computed here, by its name in the file. A field that is
/// not known is refused once it says anything: it may change the result.
fn not_computed(fields: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("peft_type") != "LORA" {
        return Some(format!("an adapter of type {}", text("peft_type")));
    }
    if !matches!(text("bias"), "" | "none") {
        return Some(format!("an adapter with bias = {}", text("bias")));
    }
    // These starts take something out of the base weights, which a loader would have to repeat.
    let start = text("init_lora_weights");
    let changes_base = ["pissa", "olora", "corda", "lora_ga", "loftq"];
    if changes_base.iter().any(|name| start.starts_with(name)) {
        return Some(format!(
            "an adapter on base weights that init_lora_weights = {start} changed (saved with PEFT's \
             path_initial_model_for_weight_conversion it would stand alone)"
        ));
    }
    let harmless =
        |name: &str| name == "bias" || WITHOUT_EFFECT.contains(&name) || COMPUTED.contains(&name);
    fields
        .iter()
        .find(|(name, value)| !harmless(name) && is_set(value))
        .map(|(name, _)| format!("an adapter with {name}"))
}

/// Whether a field says anything.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}
