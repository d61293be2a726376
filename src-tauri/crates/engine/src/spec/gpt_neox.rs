//! GPT-NeoX and Pythia: LayerNorm, parallel residual, query, key and value of each head side by
//! side in one matrix, a plain MLP, biases everywhere.

use super::config::Config;
use super::rope::Rope;
use super::{Activation, Family, MlpKind, ModelSpec, NormKind, QkvProjection, Residual, llama};
use crate::{Error, Result};
use serde_json::{Map, Value};

pub(super) fn read(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let activation = config.activation("hidden_act", Activation::Gelu)?;
    if activation == Activation::Silu {
        return Err(Error::Unsupported {
            what: "hidden_act silu without a gate (gelu is)".into(),
        });
    }
    let (theta, share) = (("rotary_emb_base", 10_000.0), ("rotary_pct", 0.25));
    let rope = |head_dim| Rope::read_partial(config, theta, share, head_dim);
    let mut spec = llama::with(config, family, None, &rope)?;
    spec.activation = activation;
    spec.norm = NormKind::Layer;
    spec.norm_eps = config.number("layer_norm_eps")?.unwrap_or(1e-5);
    spec.num_key_value_heads = spec.num_attention_heads;
    spec.qkv = QkvProjection::FusedByHead;
    spec.mlp = MlpKind::Plain;
    spec.attention_bias = config.flag("attention_bias", true);
    spec.output_bias = spec.attention_bias;
    spec.mlp_bias = true;
    if config.flag("use_parallel_residual", true) {
        spec.residual = Residual::Parallel;
    }
    Ok(spec)
}

pub(super) fn write(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    let rope = &spec.ropes[0];
    let share = rope.rotary_dim as f64 / spec.head_dim as f64;
    for name in ["rope_theta", "num_key_value_heads"] {
        fields.remove(name);
    }
    fields.insert("rotary_pct".into(), share.into());
    fields.insert("rotary_emb_base".into(), rope.theta.into());
    fields.insert("layer_norm_eps".into(), spec.norm_eps.into());
    fields.insert("attention_bias".into(), spec.attention_bias.into());
    let parallel = spec.residual != Residual::Sequential;
    fields.insert("use_parallel_residual".into(), parallel.into());
}
