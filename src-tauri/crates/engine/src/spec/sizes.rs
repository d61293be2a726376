//! A model that does not exist yet, by its sizes.

use super::{Family, ModelSpec};
use crate::Result;
use serde_json::json;

/// Sizes of a model to train from random weights. What a family has besides is at its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelSizes {
    /// Tokens of its tokenizer.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads per block; together as wide as the residual stream.
    pub num_attention_heads: usize,
    /// Key and value heads per block. GPT-NeoX has as many as query heads.
    pub num_key_value_heads: usize,
    /// The longest text in tokens.
    pub max_position_embeddings: usize,
    /// Whether the embedding doubles as the output matrix.
    pub tie_word_embeddings: bool,
}

impl ModelSizes {
    /// The spec of a model of these sizes. Refuses sizes that do not fit together.
    pub fn spec(&self, family: Family) -> Result<ModelSpec> {
        let heads = self.num_attention_heads.max(1);
        ModelSpec::from_json(&json!({
            "architectures": [family.architecture()],
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.hidden_size / heads,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
        }))
    }
}
