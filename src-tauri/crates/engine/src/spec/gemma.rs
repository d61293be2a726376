//! Gemma, Gemma 2, and Gemma 3's text models.

use super::config::{Config, layer_types, layers_with};
use super::rope::{Rope, RopeScaling};
use super::{Activation, Family, ModelSpec, NormKind, NormPlacement, QkNorm, llama};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// What all three share: norms by `1 + w`, the embedding scaled by the root of its width, a GELU
/// gate, a tied head.
pub(super) fn read(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let rope = |head_dim| Rope::read_whole(config, 10_000.0, head_dim);
    shared(config, family, &rope)
}

fn shared(
    config: &Config<'_>,
    family: Family,
    rope: &dyn Fn(usize) -> Result<Rope>,
) -> Result<ModelSpec> {
    let mut spec = llama::with(config, family, Some(256), rope)?;
    spec.norm = NormKind::RmsPlusOne;
    spec.embedding_scale = (spec.hidden_size as f64).sqrt();
    spec.tie_word_embeddings = config.flag("tie_word_embeddings", true);
    spec.activation = config.activation("hidden_act", Activation::GeluTanh)?;
    // The first release says `gelu` and means the approximation, as transformers knows.
    if spec.activation == Activation::Gelu {
        spec.activation = Activation::GeluTanh;
    }
    spec.mlp_bias = false;
    Ok(spec)
}

pub(super) fn write(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    llama::write(spec, fields);
    fields.remove("mlp_bias");
    fields.remove("use_sliding_window");
    fields.insert("hidden_activation".into(), json!(spec.activation));
}

/// Gemma 2: norms on both sides, soft-caps, a window in every other block, a score scale of its
/// own.
pub(super) fn read_gemma2(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let rope = |head_dim| Rope::read_whole(config, 10_000.0, head_dim);
    let mut spec = around(config, family, &rope)?;
    spec.attention_softcap = cap(config, "attn_logit_softcapping", 50.0)?;
    spec.logit_softcap = cap(config, "final_logit_softcapping", 30.0)?;
    let sliding = config.windows(spec.num_hidden_layers, |layer| layer % 2 == 0)?;
    let window = config.number_or("sliding_window", 4096.0)?;
    spec.layers = layers_with(window.map(|window| window as usize), &sliding);
    Ok(spec)
}

pub(super) fn write_gemma2(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    write(spec, fields);
    let scalar = spec.attention_scale.powi(-2);
    // transformers wants a whole number, which the root has cost.
    fields.insert(
        "query_pre_attn_scalar".into(),
        (scalar.round() as u64).into(),
    );
    fields.insert(
        "attn_logit_softcapping".into(),
        json!(spec.attention_softcap),
    );
    fields.insert("final_logit_softcapping".into(), json!(spec.logit_softcap));
    fields.insert("layer_types".into(), layer_types(spec));
    let window = spec.layers.iter().find_map(|layer| layer.window);
    fields.insert("sliding_window".into(), json!(window));
}

/// Gemma 3: norms on q and k; blocks with a window turn by a base of their own, which is never
/// stretched.
pub(super) fn read_gemma3(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let rope = |head_dim| rope_of(config, "full_attention", head_dim);
    let mut spec = around(config, family, &rope)?;
    if config.get("attn_logit_softcapping").is_some() {
        return Err(Error::Unsupported {
            what: "attn_logit_softcapping of Gemma 3 (of Gemma 2 it is)".into(),
        });
    }
    spec.qk_norm = Some(QkNorm::Head);
    spec.logit_softcap = cap(config, "final_logit_softcapping", 0.0)?;
    let pattern = config.optional_size("sliding_window_pattern")?.unwrap_or(6);
    let sliding = config.windows(spec.num_hidden_layers, |layer| {
        !(layer + 1).is_multiple_of(pattern)
    })?;
    let window = config.number_or("sliding_window", 4096.0)?;
    spec.layers = layers_with(window.map(|window| window as usize), &sliding);
    for (layer, sliding) in spec.layers.iter_mut().zip(sliding) {
        layer.rope = Some(usize::from(sliding));
    }
    spec.ropes
        .push(rope_of(config, "sliding_attention", spec.head_dim)?);
    Ok(spec)
}

/// The rotary embedding of the blocks of a kind: nested in `rope_parameters` as transformers 5
/// writes it, or `rope_theta`, `rope_scaling` and `rope_local_base_freq` as before.
fn rope_of(config: &Config<'_>, kind: &str, head_dim: usize) -> Result<Rope> {
    let nested = config.get("rope_parameters").and_then(|all| all.get(kind));
    let (field, usual, scaling) = match kind {
        "full_attention" => ("rope_theta", 1e6, config.get("rope_scaling")),
        _ => ("rope_local_base_freq", 1e4, None),
    };
    let inside = nested.and_then(|rope| rope.get("rope_theta"));
    let theta = match inside.and_then(Value::as_f64) {
        Some(theta) => theta,
        None => config.number(field)?.unwrap_or(usual),
    };
    Ok(Rope {
        theta,
        rotary_dim: head_dim,
        scaling: RopeScaling::read(config, scaling.or(nested), head_dim)?,
    })
}

pub(super) fn write_gemma3(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    write_gemma2(spec, fields);
    let local = spec.ropes.get(1).map_or(1e4, |rope| rope.theta);
    fields.insert("rope_local_base_freq".into(), local.into());
}

/// What Gemma 2 and 3 share.
fn around(
    config: &Config<'_>,
    family: Family,
    rope: &dyn Fn(usize) -> Result<Rope>,
) -> Result<ModelSpec> {
    let mut spec = shared(config, family, rope)?;
    spec.norm_placement = NormPlacement::Around;
    spec.activation = config.activation("hidden_activation", Activation::GeluTanh)?;
    let scalar = config.number("query_pre_attn_scalar")?.unwrap_or(256.0);
    spec.attention_scale = 1.0 / scalar.sqrt();
    Ok(spec)
}

/// A cap; null and 0 mean none.
fn cap(config: &Config<'_>, name: &str, usual: f64) -> Result<Option<f64>> {
    Ok(config.number_or(name, usual)?.filter(|cap| *cap > 0.0))
}
