//! What sets a model apart from Llama, in words.

use attune_engine::{LayerSpec, ModelSpec, NormKind, NormPlacement, Residual, Rope, RopeScaling};
use serde::Serialize;

/// The word a value has in files.
pub(super) fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The features of a model, each in a few words.
pub(super) fn of(spec: &ModelSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |applies: bool, text: String| {
        if applies {
            found.push(text);
        }
    };
    say(spec.norm == NormKind::Layer, "LayerNorm".to_owned());
    match spec.norm_placement {
        NormPlacement::Before => {}
        NormPlacement::After => say(true, "norms after each part".to_owned()),
        NormPlacement::Around => say(true, "norms before and after each part".to_owned()),
    }
    say(
        spec.qk_norm.is_some(),
        "norms on queries and keys".to_owned(),
    );
    say(
        spec.residual != Residual::Sequential,
        "attention and feed-forward side by side".to_owned(),
    );
    if let Some(experts) = &spec.experts {
        let (chosen, all) = (experts.per_token, experts.count);
        say(true, format!("{chosen} of {all} experts for each token"));
    }
    if let Some(window) = spec.layers.iter().find_map(|layer| layer.window) {
        let share = share(spec, |layer| layer.window.is_some());
        say(true, format!("window of {window} tokens in {share}"));
    }
    say(
        spec.layers.iter().any(|layer| layer.rope.is_none()),
        format!(
            "no position embedding in {}",
            share(spec, |layer| layer.rope.is_none())
        ),
    );
    if let Some(rope) = spec.ropes.first() {
        let turning = rope.rotary_dim * 100 / spec.head_dim.max(1);
        say(turning < 100, format!("{turning} % of each head rotates"));
        if let Some(scaling) = scaling(rope) {
            say(true, format!("positions stretched ({scaling})"));
        }
    }
    say(
        spec.attention_softcap.is_some() || spec.logit_softcap.is_some(),
        "soft-capped scores".to_owned(),
    );
    found
}

fn scaling(rope: &Rope) -> Option<&'static str> {
    Some(match rope.scaling.as_ref()? {
        RopeScaling::Linear { .. } => "linear",
        RopeScaling::Llama3 { .. } => "llama3",
        RopeScaling::Dynamic { .. } => "dynamic NTK",
        RopeScaling::Yarn { .. } => "YaRN",
        RopeScaling::LongRope { .. } => "LongRoPE",
    })
}

fn share(spec: &ModelSpec, applies: impl Fn(&LayerSpec) -> bool) -> String {
    let count = spec.layers.iter().filter(|layer| applies(layer)).count();
    match (count, spec.layers.len()) {
        (count, all) if count == all => "every layer".to_owned(),
        (count, all) => format!("{count} of {all} layers"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::of;
    use attune_engine::ModelSpec;
    use serde_json::json;

    #[test]
    fn features_are_told_in_words() {
        let features = |extra: serde_json::Value| {
            let mut config = json!({
                "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
                "num_attention_heads": 4, "vocab_size": 100,
            });
            for (name, value) in extra.as_object().unwrap() {
                config[name] = value.clone();
            }
            of(&ModelSpec::from_json(&config).unwrap())
        };
        assert!(features(json!({"model_type": "llama"})).is_empty());
        assert_eq!(
            features(json!({"model_type": "gemma2", "sliding_window": 32})),
            [
                "norms before and after each part",
                "window of 32 tokens in 2 of 4 layers",
                "soft-capped scores"
            ]
        );
        assert_eq!(
            features(json!({"model_type": "gpt_neox"})),
            [
                "LayerNorm",
                "attention and feed-forward side by side",
                "25 % of each head rotates"
            ]
        );
        assert_eq!(
            features(json!({"model_type": "mixtral"})),
            ["2 of 8 experts for each token"]
        );
        assert_eq!(
            features(json!({
                "model_type": "smollm3", "max_position_embeddings": 64,
                "rope_scaling": {"rope_type": "yarn", "factor": 2.0}
            })),
            [
                "no position embedding in 1 of 4 layers",
                "positions stretched (YaRN)"
            ]
        );
    }
}
