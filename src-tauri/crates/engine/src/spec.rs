//! What a decoder is made of: sizes and features, whatever file they were read from.
//!
//! A family is an entry of [`family::ENTRIES`]: how its `config.json` becomes features and back, and
//! what its tensors are called. Nothing else in the engine knows families.

mod config;
mod experts;
mod family;
mod gemma;
mod gguf;
mod gpt_neox;
mod layout;
mod llama;
mod names;
mod phi3;
mod rope;
mod sequence_head;
mod sizes;
mod stablelm;
#[cfg(test)]
mod tests;

use crate::files::at;
use crate::{Error, Result};
use attune_data::Gguf;
use config::Config;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

pub use experts::Experts;
pub use family::Family;
pub(crate) use gguf::{READ_HERE, RowOrder, row_order};
pub use layout::LINEAR_MODULES;
pub(crate) use layout::LinearShape;
pub use rope::{Rope, RopeScaling};
pub(crate) use sequence_head::SCORE;
pub use sequence_head::{ProblemType, SequenceHead};
pub use sizes::ModelSizes;

/// How rows are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// RMSNorm.
    Rms,
    /// RMSNorm by `1 + w`: the files hold what the weight differs from one by.
    RmsPlusOne,
    /// LayerNorm with weight and bias.
    Layer,
}

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlacement {
    /// What enters attention and MLP.
    Before,
    /// What they add to the residual stream.
    After,
    /// Both.
    Around,
}

/// How queries and keys are normalised before they are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// Each head, all by one weight `(head_dim)`.
    Head,
    /// All heads together, by a weight as wide as they are.
    Whole,
    /// Each head by a LayerNorm of its own, without bias.
    OwnPerHead,
}

/// What attention and MLP read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// The MLP reads the residual stream after attention was added to it.
    Sequential,
    /// Both read the block's input, each through its own norm.
    Parallel,
    /// Both read the block's input through one norm.
    ParallelOneNorm,
}

/// How queries, keys and values are projected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QkvProjection {
    /// By three matrices.
    Separate,
    /// By one: all queries, all keys, all values.
    Fused,
    /// By one: query, key and value of the first head, then of the second, and so on.
    FusedByHead,
}

/// The matrices of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MlpKind {
    /// `down(act(gate(x)) · up(x))`
    Gated,
    /// The same, gate and up in one matrix.
    GatedFused,
    /// `down(act(up(x)))`
    Plain,
}

/// The MLP's non-linearity, by its name in `hidden_act`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Activation {
    /// `x · sigmoid(x)`
    #[serde(rename = "silu")]
    Silu,
    /// `x · Φ(x)`
    #[serde(rename = "gelu")]
    Gelu,
    /// Its approximation by tanh.
    #[serde(rename = "gelu_pytorch_tanh")]
    GeluTanh,
}

/// What differs between blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LayerSpec {
    /// How many positions back a query sees, itself included; all without one.
    pub window: Option<usize>,
    /// Which of [`ModelSpec::ropes`] turns queries and keys; none leaves them.
    pub rope: Option<usize>,
}

/// Sizes and features of a decoder. Names are those of transformers' `config.json` where it has
/// one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSpec {
    /// Family: what its files call things. Features are the fields below.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
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
    /// Whether the embedding doubles as the output matrix.
    pub tie_word_embeddings: bool,
    /// How rows are normalised.
    pub norm: NormKind,
    /// ε of every norm.
    pub norm_eps: f64,
    /// Where a block normalises.
    pub norm_placement: NormPlacement,
    /// How queries and keys are normalised.
    pub qk_norm: Option<QkNorm>,
    /// What attention and MLP read.
    pub residual: Residual,
    /// How queries, keys and values are projected.
    pub qkv: QkvProjection,
    /// Bias on q, k and v.
    pub attention_bias: bool,
    /// Bias on o.
    pub output_bias: bool,
    /// Factor on the attention scores.
    pub attention_scale: f64,
    /// `c`: attention scores become `c · tanh(score / c)`.
    pub attention_softcap: Option<f64>,
    /// The matrices of the MLP.
    pub mlp: MlpKind,
    /// Bias on the matrices of the MLP.
    pub mlp_bias: bool,
    /// The MLP's non-linearity.
    pub activation: Activation,
    /// The mixture that takes the MLP's place in some blocks.
    pub experts: Option<Experts>,
    /// Factor on the embedded tokens.
    pub embedding_scale: f64,
    /// Factor on what attention and MLP add to the residual stream.
    pub residual_scale: f64,
    /// Factor on the scores of the next token.
    pub logit_scale: f64,
    /// `c`: the scores of the next token become `c · tanh(score / c)`.
    pub logit_softcap: Option<f64>,
    /// The rotary embeddings that blocks choose from.
    pub ropes: Vec<Rope>,
    /// What differs between blocks, one entry for each.
    pub layers: Vec<LayerSpec>,
    /// What scores the labels of a whole text, in a model that does that instead of predicting
    /// tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_head: Option<SequenceHead>,
    /// Bytes of the weights as a GGUF file holds them, in types that the sizes do not tell.
    #[serde(skip)]
    pub stored_bytes: Option<u64>,
}

impl ModelSpec {
    /// Reads `config.json` of a model folder, or the metadata of a GGUF file.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        if Gguf::is_one(folder) {
            return Self::from_gguf(&Gguf::open(folder)?);
        }
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
        let config = Config { fields, bad };
        let spec = family::read(&config)?;
        config.refuse_what_is_not_computed()?;
        let (queries, keys, width) = (
            spec.num_attention_heads,
            spec.num_key_value_heads,
            spec.head_dim,
        );
        let rotary = spec.ropes.iter().map(|rope| rope.rotary_dim);
        if keys == 0
            || !queries.is_multiple_of(keys)
            || rotary
                .chain([2])
                .any(|dim| dim == 0 || dim > width || !dim.is_multiple_of(2))
        {
            return Err(bad(format!(
                "{queries} query heads, {keys} key heads and head_dim {width} do not fit together"
            )));
        }
        Ok(spec)
    }

    /// `config.json` of this model, as transformers reads it.
    pub fn to_config(&self, dtype: &str) -> Value {
        family::write(self, dtype)
    }

    /// Number of weights, the tied output matrix counted once.
    pub fn parameter_count(&self) -> u64 {
        self.tensors()
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum()
    }

    /// Positions a sequence can have: more than [`Self::max_position_embeddings`] where that names
    /// the length before the rotary embedding is stretched.
    pub fn context(&self) -> usize {
        let stretched = |rope: &Rope| rope.reach(self.max_position_embeddings);
        self.ropes
            .iter()
            .map(stretched)
            .min()
            .unwrap_or(self.max_position_embeddings)
    }

    /// Tells apart the lengths for which the same positions turn by other angles. A cache made at
    /// one length cannot serve another of a different value.
    pub(crate) fn rope_regime(&self, length: usize) -> usize {
        let regimes = self.ropes.iter().map(|rope| rope.regime(length));
        regimes.max().unwrap_or(0)
    }
}
