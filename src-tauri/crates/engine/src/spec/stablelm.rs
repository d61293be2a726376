//! `StableLM`: LayerNorm, a quarter of each head turns; its second generation has norms on q and k
//! and a parallel residual.

use super::config::Config;
use super::rope::Rope;
use super::{Family, ModelSpec, NormKind, QkNorm, Residual, llama};
use crate::Result;
use serde_json::{Map, Value};

pub(super) fn read(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let (theta, share) = (("rope_theta", 10_000.0), ("partial_rotary_factor", 0.25));
    let rope = |head_dim| Rope::read_partial(config, theta, share, head_dim);
    let mut spec = llama::with(config, family, None, &rope)?;
    spec.norm = NormKind::Layer;
    spec.norm_eps = config.number("layer_norm_eps")?.unwrap_or(1e-5);
    spec.attention_bias = config.flag("use_qkv_bias", false);
    (spec.output_bias, spec.mlp_bias) = (false, false);
    spec.qk_norm = config
        .flag("qk_layernorm", false)
        .then_some(QkNorm::OwnPerHead);
    if config.flag("use_parallel_residual", false) {
        spec.residual = Residual::ParallelOneNorm;
    }
    Ok(spec)
}

pub(super) fn write(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    let share = spec.ropes[0].rotary_dim as f64 / spec.head_dim as f64;
    fields.insert("partial_rotary_factor".into(), share.into());
    fields.insert("layer_norm_eps".into(), spec.norm_eps.into());
    fields.insert("use_qkv_bias".into(), spec.attention_bias.into());
    fields.insert("qk_layernorm".into(), spec.qk_norm.is_some().into());
    let parallel = spec.residual != Residual::Sequential;
    fields.insert("use_parallel_residual".into(), parallel.into());
}
