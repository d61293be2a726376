//! Phi-3, Phi-3.5 and Phi-4: fused matrices, LongRoPE, and in some a part of a head that turns.

use super::config::{Config, layers_with};
use super::rope::{Rope, RopeScaling};
use super::{Family, MlpKind, ModelSpec, QkvProjection, llama};
use crate::Result;
use serde_json::{Map, Value};

pub(super) fn read(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let (theta, share) = (("rope_theta", 10_000.0), ("partial_rotary_factor", 1.0));
    let rope = |head_dim| Rope::read_partial(config, theta, share, head_dim);
    let mut spec = llama::with(config, family, None, &rope)?;
    spec.norm_eps = config.number("rms_norm_eps")?.unwrap_or(1e-5);
    spec.qkv = QkvProjection::Fused;
    spec.mlp = MlpKind::GatedFused;
    (spec.attention_bias, spec.output_bias, spec.mlp_bias) = (false, false, false);
    let sliding = vec![true; spec.num_hidden_layers];
    spec.layers = layers_with(config.optional_size("sliding_window")?, &sliding);
    Ok(spec)
}

pub(super) fn write(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    llama::write(spec, fields);
    for name in [
        "attention_bias",
        "mlp_bias",
        "layer_types",
        "use_sliding_window",
    ] {
        fields.remove(name);
    }
    let rope = &spec.ropes[0];
    let share = rope.rotary_dim as f64 / spec.head_dim as f64;
    fields.insert("partial_rotary_factor".into(), share.into());
    if let Some(RopeScaling::LongRope {
        original_max_position_embeddings: original,
        ..
    }) = rope.scaling
    {
        fields.insert("original_max_position_embeddings".into(), original.into());
    }
}
