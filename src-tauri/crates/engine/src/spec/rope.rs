//! The rotary embedding of a block: base, share of the head it turns, and how it is stretched.

use super::config::Config;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// Rotary position embedding (Su et al., 2021).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many elements of a head turn, from its first.
    pub rotary_dim: usize,
    /// How the frequencies are stretched.
    pub scaling: Option<RopeScaling>,
}

/// How rotary frequencies are stretched beyond the length a model was pretrained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Dynamic NTK: a sample longer than `original` turns by a base that grows with its length.
    Dynamic {
        /// How far beyond `original` the base is meant to reach.
        factor: f64,
        /// Samples of at most this length turn as without scaling. transformers has no field for
        /// it: it is `max_position_embeddings`.
        #[serde(skip_serializing)]
        original: usize,
    },
    /// `YaRN` (Peng et al., 2023): low frequencies divided, high ones kept, a ramp between, and a
    /// factor on cosines and sines.
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Length of the pretraining.
        original_max_position_embeddings: usize,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Turns in the pretraining's length above which a frequency is kept.
        beta_fast: f64,
        /// Turns below which it is divided.
        beta_slow: f64,
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
    },
    /// LongRoPE (Ding et al., 2024): a divisor for each pair, other ones for samples beyond
    /// `original`, and a factor on cosines and sines.
    LongRope {
        /// Divisors for samples of at most the pretraining's length.
        short_factor: Vec<f64>,
        /// Divisors for longer samples.
        long_factor: Vec<f64>,
        /// Length of the pretraining.
        original_max_position_embeddings: usize,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
}

impl Rope {
    /// Positions a sequence can have where `max_position_embeddings` may mean those before
    /// stretching.
    pub(super) fn reach(&self, maximum: usize) -> usize {
        let stretched = |original: usize, factor: f64| (original as f64 * factor) as usize;
        match &self.scaling {
            Some(RopeScaling::Dynamic { factor, original }) => {
                maximum.max(stretched(*original, *factor))
            }
            Some(RopeScaling::Yarn {
                factor,
                original_max_position_embeddings: original,
                ..
            }) => maximum.max(stretched(*original, *factor)),
            _ => maximum,
        }
    }

    /// Tells apart the lengths of a sequence for which a position turns by other angles; 0 where
    /// length does not matter.
    pub(crate) fn regime(&self, length: usize) -> usize {
        match &self.scaling {
            Some(RopeScaling::Dynamic { original, .. }) if length > *original => length,
            Some(RopeScaling::LongRope {
                original_max_position_embeddings: original,
                ..
            }) => usize::from(length > *original),
            _ => 0,
        }
    }

    /// The embedding that turns the share `field` of a head, GPT-NeoX's and its heirs'.
    pub(super) fn read_partial(
        config: &Config<'_>,
        (theta_field, theta): (&str, f64),
        (field, share): (&str, f64),
        head_dim: usize,
    ) -> Result<Self> {
        let theta = config.number(theta_field)?.unwrap_or(theta);
        let share = Self::share(config, field, share)?;
        Self::read(config, theta, (head_dim as f64 * share) as usize)
    }

    /// The embedding that turns whole heads, as most families have it. A share of a head would be
    /// another model than transformers' of the family.
    pub(super) fn read_whole(config: &Config<'_>, theta: f64, head_dim: usize) -> Result<Self> {
        let share = Self::share(config, "partial_rotary_factor", 1.0)?;
        if share < 1.0 {
            return Err(Error::Unsupported {
                what: format!("partial_rotary_factor {share} in this family"),
            });
        }
        Self::read(config, theta, head_dim)
    }

    /// An embedding: `rope_parameters` as transformers 5 writes it, or
    /// `rope_theta` and `rope_scaling` as before.
    fn read(config: &Config<'_>, theta: f64, rotary_dim: usize) -> Result<Self> {
        let parameters = config
            .get("rope_parameters")
            .or_else(|| config.get("rope_scaling"));
        let inside = parameters
            .and_then(|rope| rope.get("rope_theta"))
            .and_then(Value::as_f64);
        let outside = config.number("rope_theta")?;
        Ok(Self {
            theta: inside.or(outside).unwrap_or(theta),
            rotary_dim,
            scaling: RopeScaling::read(config, parameters, rotary_dim)?,
        })
    }

    /// The share of a head that turns: a field of its own, or inside `rope_parameters`.
    fn share(config: &Config<'_>, field: &str, default: f64) -> Result<f64> {
        let inside = config
            .get("rope_parameters")
            .and_then(|rope| rope.get("partial_rotary_factor"))
            .and_then(Value::as_f64);
        let share = match inside {
            Some(share) => share,
            None => config.number(field)?.unwrap_or(default),
        };
        if share > 0.0 && share <= 1.0 {
            Ok(share)
        } else {
            Err((config.bad)(format!(
                "`{field}` is {share}, not a share of a head"
            )))
        }
    }
}

impl RopeScaling {
    /// Reads `rope_parameters` or `rope_scaling`.
    pub(super) fn read(
        config: &Config<'_>,
        parameters: Option<&Value>,
        rotary_dim: usize,
    ) -> Result<Option<Self>> {
        let Some(rope) = parameters else {
            return Ok(None);
        };
        let named = rope.get("rope_type").or_else(|| rope.get("type"));
        let kind = named.and_then(Value::as_str).unwrap_or("default");
        if rope
            .get("mrope_section")
            .is_some_and(|section| !section.is_null())
        {
            return Err(Error::Unsupported {
                what: "a rotary embedding over several axes (mrope_section)".into(),
            });
        }
        let optional = |name: &str| rope.get(name).and_then(Value::as_f64);
        let number = |name: &str| {
            optional(name)
                .filter(|number| number.is_finite() && *number > 0.0)
                .ok_or_else(|| {
                    (config.bad)(format!(
                        "`{name}` of the rope scaling is missing or no number"
                    ))
                })
        };
        let maximum = config.optional_size("max_position_embeddings")?;
        // Beside `max_position_embeddings` where Phi-3 keeps it, else inside.
        let original = || {
            config
                .optional_size("original_max_position_embeddings")?
                .or(optional("original_max_position_embeddings").map(|original| original as usize))
                .or(maximum)
                .filter(|original| *original > 0)
                .ok_or_else(|| {
                    let name = "original_max_position_embeddings";
                    (config.bad)(format!("`{name}` of the rope scaling is missing"))
                })
        };
        let factor_or_ratio = |original: usize| match optional("factor") {
            Some(factor) => factor,
            None => maximum.unwrap_or(original) as f64 / original as f64,
        };
        let divisors = |name: &str| {
            let list = rope.get(name).and_then(Value::as_array);
            let list: Vec<f64> = list
                .into_iter()
                .flatten()
                .filter_map(Value::as_f64)
                .collect();
            if list.len() == rotary_dim / 2 && list.iter().all(|divisor| *divisor > 0.0) {
                Ok(list)
            } else {
                Err((config.bad)(format!(
                    "`{name}` of the rope scaling is no list of {} numbers",
                    rotary_dim / 2
                )))
            }
        };
        // Phi-3's earlier names for LongRoPE.
        let kind = match kind {
            "su" => "longrope",
            "yarn" if rope.get("short_factor").is_some() => "longrope",
            kind => kind,
        };
        Ok(Some(match kind {
            "default" => return Ok(None),
            "linear" => Self::Linear {
                factor: number("factor")?,
            },
            "llama3" => Self::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_max_position_embeddings: number("original_max_position_embeddings")?,
            },
            "dynamic" => Self::Dynamic {
                factor: number("factor")?,
                original: config.size("max_position_embeddings")?,
            },
            "yarn" => {
                let original = original()?;
                let factor = factor_or_ratio(original);
                Self::Yarn {
                    factor,
                    original_max_position_embeddings: original,
                    attention_factor: optional("attention_factor").unwrap_or_else(|| {
                        yarn_attention_factor(
                            factor,
                            optional("mscale"),
                            optional("mscale_all_dim"),
                        )
                    }),
                    beta_fast: optional("beta_fast").filter(|b| *b != 0.0).unwrap_or(32.0),
                    beta_slow: optional("beta_slow").filter(|b| *b != 0.0).unwrap_or(1.0),
                    truncate: rope
                        .get("truncate")
                        .and_then(Value::as_bool)
                        .unwrap_or(true),
                }
            }
            "longrope" => {
                let original = original()?;
                let factor = factor_or_ratio(original);
                Self::LongRope {
                    short_factor: divisors("short_factor")?,
                    long_factor: divisors("long_factor")?,
                    original_max_position_embeddings: original,
                    attention_factor: optional("attention_factor").unwrap_or_else(|| {
                        if factor <= 1.0 {
                            1.0
                        } else {
                            (1.0 + factor.ln() / (original as f64).ln()).sqrt()
                        }
                    }),
                }
            }
            other => {
                return Err(Error::Unsupported {
                    what: format!(
                        "rope scaling of type {other} (linear, dynamic, yarn, llama3 and longrope are)"
                    ),
                });
            }
        }))
    }

    /// `rope_scaling` as transformers reads it.
    pub(super) fn write(scaling: Option<&Self>) -> Value {
        json!(scaling)
    }
}

/// The factor `YaRN` puts on cosines and sines where the configuration names none.
fn yarn_attention_factor(factor: f64, mscale: Option<f64>, all_dim: Option<f64>) -> f64 {
    let scale = |mscale: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * mscale * factor.ln() + 1.0
        }
    };
    match (mscale, all_dim) {
        (Some(mscale), Some(all_dim)) if mscale != 0.0 && all_dim != 0.0 => {
            scale(mscale) / scale(all_dim)
        }
        _ => scale(1.0),
    }
}
