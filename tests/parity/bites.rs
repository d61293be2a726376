//! Every feature of the recorded checkpoints shows in what they compute: a recording that a reader
//! could match without the feature would prove nothing about it.

use attune_data::Batch;
use attune_engine::{DType, Decoder, Device};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::{TOLERANCE, difference};

/// Families, and changes to their `config.json` that leave the weights alone.
fn changes() -> Vec<(&'static str, &'static str, Value)> {
    let scaled = |family: &'static str, rope: Value| (family, "rope_parameters", rope);
    vec![
        ("llama3", "rope_scaling", Value::Null),
        ("mistral", "sliding_window", Value::Null),
        ("gemma", "hidden_act", json!("silu")),
        ("gemma2", "attn_logit_softcapping", Value::Null),
        ("gemma2", "final_logit_softcapping", Value::Null),
        ("gemma2", "query_pre_attn_scalar", json!(12)),
        ("gemma2", "sliding_window", json!(64)),
        (
            "gemma2",
            "layer_types",
            json!(["full_attention", "sliding_attention"]),
        ),
        ("gemma3", "final_logit_softcapping", Value::Null),
        ("gemma3", "sliding_window", json!(64)),
        scaled(
            "gemma3",
            json!({
                "full_attention": {"rope_type": "default", "rope_theta": 5000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}
            }),
        ),
        scaled(
            "gemma3",
            json!({
                "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0}
            }),
        ),
        ("phi3", "sliding_window", Value::Null),
        // The short divisors for all, and another attention factor.
        ("phi3", "original_max_position_embeddings", json!(64)),
        scaled(
            "phi3",
            json!({"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 1.0}),
        ),
        ("smollm3", "no_rope_layers", json!([1, 1])),
        ("smollm3", "use_sliding_window", json!(false)),
        scaled(
            "smollm3",
            json!({"rope_type": "default", "rope_theta": 1000.0}),
        ),
        scaled(
            "olmo2",
            json!({
                "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "beta_fast": 1.5,
                "beta_slow": 0.1, "original_max_position_embeddings": 16, "truncate": false
            }),
        ),
        scaled(
            "olmo2",
            json!({
                "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "beta_fast": 1.5,
                "beta_slow": 0.1, "original_max_position_embeddings": 16, "mscale": 1.0,
                "mscale_all_dim": 0.3
            }),
        ),
        ("granite", "embedding_multiplier", json!(1.0)),
        ("granite", "residual_multiplier", json!(1.0)),
        ("granite", "attention_multiplier", json!(1.0)),
        ("granite", "logits_scaling", json!(1.0)),
        scaled(
            "granite",
            json!({"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}),
        ),
        scaled(
            "stablelm",
            json!({"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}),
        ),
        scaled(
            "stablelm",
            json!({
                "rope_type": "linear", "factor": 2.0, "rope_theta": 100.0,
                "partial_rotary_factor": 1.0
            }),
        ),
        ("gpt-neox", "use_parallel_residual", json!(false)),
        ("gpt-neox", "hidden_act", json!("gelu_new")),
        scaled(
            "gpt-neox",
            json!({"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 1.0}),
        ),
        ("gpt-neox-sequential", "use_parallel_residual", json!(true)),
        ("qwen3-moe", "norm_topk_prob", json!(true)),
        ("qwen3-moe", "num_experts_per_tok", json!(2)),
        ("mixtral", "num_experts_per_tok", json!(1)),
        ("mixtral", "sliding_window", Value::Null),
    ]
}

#[test]
fn every_feature_shows_in_the_recorded_logits() {
    for (family, field, value) in changes() {
        let fixture = Fixture::load(family);
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixture.model()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let path = folder.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_ne!(config.get(field), None, "{family} has no {field}");
        config[field] = value.clone();
        std::fs::write(&path, config.to_string()).unwrap();
        let decoder = Decoder::load(folder.path(), DType::F32, &Device::Cpu, &mut |_| ()).unwrap();
        let found = decoder.logits(&Batch::from_samples(&fixture.samples()));
        let apart = difference::of_tensors(&found.unwrap(), &fixture.logits("logits"));
        // The exact GELU and its approximation lie closer together than anything else.
        let least = if field == "hidden_act" {
            TOLERANCE
        } else {
            1e-2
        };
        assert!(
            apart > least,
            "{family} with {field} = {value}: {apart:.1e}"
        );
    }
}
