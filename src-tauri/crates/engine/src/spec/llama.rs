//! Llama, and the families that differ from it by a feature or two: Mistral, Qwen2, Qwen3, SmolLM3,
//! Granite, OLMo2.

use super::config::{Config, layer_types, layers_with};
use super::rope::{Rope, RopeScaling};
use super::{
    Activation, Family, MlpKind, ModelSpec, NormKind, NormPlacement, QkNorm, QkvProjection,
    Residual,
};
use crate::Result;
use serde_json::{Map, Value, json};

/// Llama, where every other family begins.
pub(super) fn read(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    with(config, family, None, &|head_dim| {
        Rope::read_whole(config, 10_000.0, head_dim)
    })
}

/// Llama with another width of a head where the configuration names none, and the rotary embedding
/// that `rope` makes for heads of a width.
pub(super) fn with(
    config: &Config<'_>,
    family: Family,
    head_dim: Option<usize>,
    rope: &dyn Fn(usize) -> Result<Rope>,
) -> Result<ModelSpec> {
    let hidden_size = config.size("hidden_size")?;
    let num_hidden_layers = config.size("num_hidden_layers")?;
    let num_attention_heads = config.size("num_attention_heads")?;
    let head_dim = config
        .optional_size("head_dim")?
        .or(head_dim)
        .unwrap_or(hidden_size / num_attention_heads);
    let attention_bias = config.flag("attention_bias", false);
    Ok(ModelSpec {
        family,
        hidden_size,
        intermediate_size: config.size("intermediate_size")?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: config
            .optional_size("num_key_value_heads")?
            .unwrap_or(num_attention_heads),
        head_dim,
        vocab_size: config.size("vocab_size")?,
        max_position_embeddings: config
            .optional_size("max_position_embeddings")?
            .unwrap_or(2048),
        tie_word_embeddings: config.flag("tie_word_embeddings", false),
        norm: NormKind::Rms,
        norm_eps: config.number("rms_norm_eps")?.unwrap_or(1e-6),
        norm_placement: NormPlacement::Before,
        qk_norm: None,
        residual: Residual::Sequential,
        qkv: QkvProjection::Separate,
        attention_bias,
        output_bias: attention_bias,
        attention_scale: 1.0 / (head_dim as f64).sqrt(),
        attention_softcap: None,
        mlp: MlpKind::Gated,
        mlp_bias: config.flag("mlp_bias", false),
        activation: config.activation("hidden_act", Activation::Silu)?,
        experts: None,
        embedding_scale: 1.0,
        residual_scale: 1.0,
        logit_scale: 1.0,
        logit_softcap: None,
        ropes: vec![rope(head_dim)?],
        layers: layers_with(None, &vec![false; num_hidden_layers]),
        sequence_head: None,
        stored_bytes: None,
    })
}

/// Mistral: `sliding_window` in every block.
pub(super) fn read_mistral(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let mut spec = read(config, family)?;
    let sliding = config.windows(spec.num_hidden_layers, |_| true)?;
    spec.layers = layers_with(config.optional_size("sliding_window")?, &sliding);
    Ok(spec)
}

/// Qwen2: biases on q, k and v alone, and a window in the upper blocks.
pub(super) fn read_qwen2(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let mut spec = upper_windows(config, read(config, family)?)?;
    spec.attention_bias = true;
    spec.output_bias = false;
    Ok(spec)
}

/// Qwen3: a norm on each head of q and k, and a window in the upper blocks.
pub(super) fn read_qwen3(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let rope = |head_dim| Rope::read_whole(config, 10_000.0, head_dim);
    let mut spec = upper_windows(config, with(config, family, Some(128), &rope)?)?;
    spec.qk_norm = Some(QkNorm::Head);
    Ok(spec)
}

fn upper_windows(config: &Config<'_>, mut spec: ModelSpec) -> Result<ModelSpec> {
    if config.flag("use_sliding_window", false) {
        let first = config.optional_size("max_window_layers")?.unwrap_or(28);
        let sliding = config.windows(spec.num_hidden_layers, |layer| layer >= first)?;
        spec.layers = layers_with(config.optional_size("sliding_window")?, &sliding);
    }
    Ok(spec)
}

/// `SmolLM3`: `no_rope_layers` marks the blocks that do turn queries and keys by 1. Where windows
/// are used, the others have them.
pub(super) fn read_smollm3(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let rope = |head_dim| Rope::read_whole(config, 2_000_000.0, head_dim);
    let mut spec = with(config, family, None, &rope)?;
    let layers = spec.num_hidden_layers;
    let interval = config.optional_size("no_rope_layer_interval")?.unwrap_or(4);
    let turns: Vec<bool> = match config.per_layer("no_rope_layers", layers)? {
        Some(marks) => marks.iter().map(|mark| mark.as_u64() != Some(0)).collect(),
        None => (1..=layers).map(|layer| layer % interval != 0).collect(),
    };
    let window = if config.flag("use_sliding_window", false) {
        config.optional_size("sliding_window")?
    } else {
        None
    };
    spec.layers = layers_with(window, &config.windows(layers, |layer| !turns[layer])?);
    for (layer, turns) in spec.layers.iter_mut().zip(turns) {
        layer.rope = turns.then_some(0);
    }
    spec.tie_word_embeddings = config.flag("tie_word_embeddings", true);
    Ok(spec)
}

/// Granite: four multipliers.
pub(super) fn read_granite(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let mut spec = read(config, family)?;
    let factor = |name: &str| match config.number(name)? {
        Some(0.0) => Err((config.bad)(format!("`{name}` is 0"))),
        factor => Ok(factor.unwrap_or(1.0)),
    };
    spec.embedding_scale = factor("embedding_multiplier")?;
    spec.residual_scale = factor("residual_multiplier")?;
    spec.attention_scale = factor("attention_multiplier")?;
    spec.logit_scale = 1.0 / factor("logits_scaling")?;
    Ok(spec)
}

/// OLMo2: norms after attention and MLP, and over all heads of q and k together.
pub(super) fn read_olmo2(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let mut spec = read(config, family)?;
    spec.norm_eps = config.number("rms_norm_eps")?.unwrap_or(1e-5);
    spec.norm_placement = NormPlacement::After;
    spec.qk_norm = Some(QkNorm::Whole);
    Ok(spec)
}

/// The fields that every family writes.
pub(super) fn shared_fields(spec: &ModelSpec) -> Map<String, Value> {
    let rope = &spec.ropes[0];
    let fields = json!({
        "hidden_act": spec.activation,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_hidden_layers,
        "num_attention_heads": spec.num_attention_heads,
        "num_key_value_heads": spec.num_key_value_heads,
        "vocab_size": spec.vocab_size,
        "max_position_embeddings": spec.max_position_embeddings,
        "rope_theta": rope.theta,
        "rope_scaling": RopeScaling::write(rope.scaling.as_ref()),
        "tie_word_embeddings": spec.tie_word_embeddings,
        // A family's usual number may lie outside a small vocabulary.
        "pad_token_id": null,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Fields of Llama and of the families that add none.
pub(super) fn write(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| {
        fields.insert(name.into(), value);
    };
    put("head_dim", spec.head_dim.into());
    put("rms_norm_eps", spec.norm_eps.into());
    put("attention_bias", spec.output_bias.into());
    put("mlp_bias", spec.mlp_bias.into());
    if let Some(window) = spec.layers.iter().find_map(|layer| layer.window) {
        put("sliding_window", window.into());
        put("use_sliding_window", true.into());
        put("layer_types", layer_types(spec));
    }
}

pub(super) fn write_smollm3(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    write(spec, fields);
    let marks = spec
        .layers
        .iter()
        .map(|layer| u64::from(layer.rope.is_some()));
    fields.insert("no_rope_layers".into(), marks.collect());
}

pub(super) fn write_granite(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    write(spec, fields);
    for (name, factor) in [
        ("embedding_multiplier", spec.embedding_scale),
        ("residual_multiplier", spec.residual_scale),
        ("attention_multiplier", spec.attention_scale),
        ("logits_scaling", 1.0 / spec.logit_scale),
    ] {
        fields.insert(name.into(), factor.into());
    }
}
