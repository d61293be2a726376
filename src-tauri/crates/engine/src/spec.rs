//! What a decoder is made of, read from `config.json`.

use crate::files::at;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Families that the one decoder covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 2, Llama 3, SmolLM2 and whatever else uses the architecture.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Qwen3: RMSNorm on each head of q and k.
    Qwen3,
}

impl Family {
    const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// The class transformers names in `architectures`.
    fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// `model_type` in `config.json`.
    fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// How rotary frequencies are stretched beyond the length a model was pretrained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All frequencies divided by `factor`.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Length of the pretraining.
        original_max_position_embeddings: f64,
    },
}

/// Sizes and features of a decoder. Names are those of transformers' `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Family.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads per block.
    pub num_attention_heads: usize,
    /// Key and value heads per block.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Positions the model was made for.
    pub max_position_embeddings: usize,
    /// ε of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the frequencies are stretched.
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the embedding doubles as the output matrix.
    pub tie_word_embeddings: bool,
    /// Bias on q, k and v.
    pub attention_bias: bool,
    /// Bias on o.
    pub output_bias: bool,
    /// Bias on the three matrices of the MLP.
    pub mlp_bias: bool,
    /// RMSNorm on each head of q and k.
    pub qk_norm: bool,
    /// Per block: how many positions back a query sees, itself included.
    pub windows: Vec<Option<usize>>,
}

impl ModelSpec {
    /// Reads `config.json` of a model folder.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        if !path.is_file() {
            return Err(Error::NoConfig {
                folder: folder.to_owned(),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(at(&path, "read"))?;
        let bad = |reason: String| Error::BadConfig {
            path: path.clone(),
            reason,
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        Self::from_value(&value, &bad)
    }

    /// Reads the content of a `config.json` that lies in no folder.
    pub fn from_json(value: &Value) -> Result<Self> {
        Self::from_value(value, &|reason| Error::BadConfig {
            path: "config.json".into(),
            reason,
        })
    }

    fn from_value(value: &Value, bad: &dyn Fn(String) -> Error) -> Result<Self> {
        let fields = value
            .as_object()
            .ok_or_else(|| bad("it holds no JSON object".into()))?;
        Self::from_config(&Config { fields, bad })
    }

    fn from_config(config: &Config<'_>) -> Result<Self> {
        let architecture = config
            .get("architectures")
            .and_then(|names| names.get(0))
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| {
                let model_type = config.get("model_type")?.as_str()?;
                let family = Family::ALL
                    .into_iter()
                    .find(|family| family.model_type() == model_type)?;
                Some(family.architecture().to_owned())
            })
            .ok_or_else(|| (config.bad)("it names no architecture".into()))?;
        let family = Family::ALL
            .into_iter()
            .find(|family| family.architecture() == architecture)
            .ok_or_else(|| Error::Unsupported {
                what: format!("the architecture {architecture}"),
            })?;
        if let Some(act) = config.get("hidden_act").and_then(Value::as_str)
            && act != "silu"
        {
            return Err(Error::Unsupported {
                what: format!("hidden_act {act}"),
            });
        }
        let hidden_size = config.size("hidden_size")?;
        let num_attention_heads = config.size("num_attention_heads")?;
        let num_hidden_layers = config.size("num_hidden_layers")?;
        let num_key_value_heads = config
            .optional_size("num_key_value_heads")?
            .unwrap_or(num_attention_heads);
        let head_dim = config
            .optional_size("head_dim")?
            .unwrap_or(hidden_size / num_attention_heads.max(1));
        if num_key_value_heads == 0
            || !num_attention_heads.is_multiple_of(num_key_value_heads)
            || !head_dim.is_multiple_of(2)
        {
            return Err((config.bad)(format!(
                "{num_attention_heads} query heads, {num_key_value_heads} key heads and head_dim {head_dim} do not fit together"
            )));
        }
        let bias = |name: &str| config.flag(name, false);
        Ok(Self {
            family,
            hidden_size,
            intermediate_size: config.size("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            vocab_size: config.size("vocab_size")?,
            max_position_embeddings: config
                .optional_size("max_position_embeddings")?
                .unwrap_or(2048),
            rms_norm_eps: config.number("rms_norm_eps").unwrap_or(1e-6),
            rope_theta: config.rope_theta(),
            rope_scaling: config.rope_scaling()?,
            tie_word_embeddings: config.flag("tie_word_embeddings", false),
            attention_bias: family == Family::Qwen2 || bias("attention_bias"),
            output_bias: family != Family::Qwen2 && bias("attention_bias"),
            mlp_bias: bias("mlp_bias"),
            qk_norm: family == Family::Qwen3,
            windows: config.windows(family, num_hidden_layers)?,
        })
    }

    /// `config.json` of this model, as transformers reads it.
    pub fn to_config(&self, dtype: &str) -> Value {
        let mut config = json!({
            "architectures": [self.family.architecture()],
            "model_type": self.family.model_type(),
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": self.attention_bias && self.family != Family::Qwen2,
            "mlp_bias": self.mlp_bias,
            "torch_dtype": dtype,
        });
        if let Some(window) = self.windows.iter().copied().flatten().next() {
            config["sliding_window"] = json!(window);
            config["use_sliding_window"] = json!(true);
            let kind = |window: &Option<usize>| match window {
                Some(_) => "sliding_attention",
                None => "full_attention",
            };
            config["layer_types"] = self.windows.iter().map(kind).collect();
        }
        config
    }

    /// Number of weights, the tied output matrix counted once.
    pub fn parameter_count(&self) -> u64 {
        crate::weights::expected_tensors(self)
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum()
    }
}

struct Config<'a> {
    fields: &'a Map<String, Value>,
    bad: &'a dyn Fn(String) -> Error,
}

impl Config<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_f64()
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(size) if (1..=1 << 32).contains(&size) => Ok(Some(size as usize)),
            _ => Err((self.bad)(format!("`{name}` is {value}, not a size"))),
        }
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?
            .ok_or_else(|| (self.bad)(format!("`{name}` is missing")))
    }

    /// transformers 5 writes `rope_parameters`; before it there were `rope_theta` and `rope_scaling`.
    fn rope(&self) -> Option<&Value> {
        self.get("rope_parameters")
            .or_else(|| self.get("rope_scaling"))
    }

    fn rope_theta(&self) -> f64 {
        let inside = self
            .rope()
            .and_then(|rope| rope.get("rope_theta"))
            .and_then(Value::as_f64);
        inside
            .or_else(|| self.number("rope_theta"))
            .unwrap_or(10_000.0)
    }

    fn rope_scaling(&self) -> Result<Option<RopeScaling>> {
        let Some(rope) = self.rope() else {
            return Ok(None);
        };
        let kind = rope
            .get("rope_type")
            .or_else(|| rope.get("type"))
            .and_then(Value::as_str)
            .unwrap_or("default");
        let number = |name: &str| {
            rope.get(name)
                .and_then(Value::as_f64)
                .ok_or_else(|| (self.bad)(format!("`{name}` of the rope scaling is missing")))
        };
        match kind {
            "default" => Ok(None),
            "linear" => Ok(Some(RopeScaling::Linear {
                factor: number("factor")?,
            })),
            "llama3" => Ok(Some(RopeScaling::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_max_position_embeddings: number("original_max_position_embeddings")?,
            })),
            other => Err(Error::Unsupported {
                what: format!("rope scaling of type {other}"),
            }),
        }
    }

    fn windows(&self, family: Family, layers: usize) -> Result<Vec<Option<usize>>> {
        let used = match family {
            Family::Llama => false,
            Family::Mistral => true,
            Family::Qwen2 | Family::Qwen3 => self.flag("use_sliding_window", false),
        };
        let window = if used {
            self.optional_size("sliding_window")?
        } else {
            None
        };
        let Some(window) = window else {
            return Ok(vec![None; layers]);
        };
        match self.get("layer_types").and_then(Value::as_array) {
            Some(types) if types.len() == layers => Ok(types
                .iter()
                .map(|kind| (kind == "sliding_attention").then_some(window))
                .collect()),
            Some(types) => Err((self.bad)(format!(
                "`layer_types` names {} layers of {layers}",
                types.len()
            ))),
            None => {
                let first = if family == Family::Mistral {
                    0
                } else {
                    self.optional_size("max_window_layers")?.unwrap_or(layers)
                };
                Ok((0..layers)
                    .map(|layer| (layer >= first).then_some(window))
                    .collect())
            }
        }
    }
}
