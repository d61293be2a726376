#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Activation, Family, LayerSpec, ModelSpec, QkNorm, RopeScaling};
use crate::Error;
use serde_json::{Value, json};

/// A small configuration of a family, with more fields.
fn config(model_type: &str, more: Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 100, "max_position_embeddings": 32,
    });
    let Value::Object(more) = more else {
        panic!("an object")
    };
    config.as_object_mut().unwrap().extend(more);
    config
}

fn read(model_type: &str, more: Value) -> ModelSpec {
    ModelSpec::from_json(&config(model_type, more)).unwrap()
}

fn windows(spec: &ModelSpec) -> Vec<Option<usize>> {
    spec.layers.iter().map(|layer| layer.window).collect()
}

/// What changes the computation and is not computed is named, never passed over.
#[test]
fn what_is_not_computed_is_refused_by_name() {
    let rope = |kind: Value| json!({ "rope_scaling": kind });
    for (model_type, more, named) in [
        (
            "qwen2_moe",
            json!({}),
            "qwen2_moe (the nearest that is: Qwen2",
        ),
        (
            "gemma3",
            json!({"architectures": ["Gemma3ForConditionalGeneration"]}),
            "nearest that is: Gemma3ForCausalLM",
        ),
        ("llama", json!({"hidden_act": "relu2"}), "hidden_act relu2"),
        (
            "gemma2",
            json!({"hidden_activation": "quick_gelu"}),
            "hidden_activation quick_gelu",
        ),
        (
            "gpt_neox",
            json!({"hidden_act": "silu"}),
            "hidden_act silu without a gate",
        ),
        (
            "gemma",
            json!({"use_bidirectional_attention": true}),
            "use_bidirectional_attention",
        ),
        (
            "gemma3_text",
            json!({"attn_logit_softcapping": 50.0}),
            "attn_logit_softcapping",
        ),
        (
            "llama",
            json!({"quantization_config": {"quant_method": "gptq"}}),
            "quantised weights (gptq",
        ),
        (
            "llama",
            rope(json!({"rope_type": "proportional"})),
            "type proportional",
        ),
        (
            "qwen2",
            rope(json!({"type": "default", "mrope_section": [1, 1]})),
            "mrope_section",
        ),
        (
            "llama",
            json!({"partial_rotary_factor": 0.5}),
            "partial_rotary_factor",
        ),
        (
            "mistral",
            json!({"sliding_window": 8, "layer_types": vec!["chunked_attention"; 4]}),
            "chunked_attention",
        ),
    ] {
        let error = ModelSpec::from_json(&config(model_type, more.clone())).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }),
            "{more}: {error}"
        );
        assert!(error.to_string().contains(named), "{error}");
    }
    for (model_type, more, named) in [
        (
            "llama",
            json!({"layer_types": 3, "use_sliding_window": true}),
            "",
        ),
        (
            "phi3",
            rope(json!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]})),
            "short_factor",
        ),
        (
            "stablelm",
            json!({"partial_rotary_factor": 1.5}),
            "partial_rotary_factor",
        ),
        ("granite", json!({"logits_scaling": 0}), "logits_scaling"),
        (
            "smollm3",
            json!({"no_rope_layers": [1, 0]}),
            "no_rope_layers",
        ),
        ("llama", json!({"rms_norm_eps": "small"}), "rms_norm_eps"),
        ("llama", json!({"head_dim": 15}), "head_dim 15"),
    ] {
        if named.is_empty() {
            // Llama has no windows, whatever else its configuration names.
            assert_eq!(windows(&read(model_type, more)), [None; 4]);
            continue;
        }
        let error = ModelSpec::from_json(&config(model_type, more)).unwrap_err();
        assert!(matches!(error, Error::BadConfig { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

/// As the hub has them, from before transformers 5.
#[test]
fn older_configurations_mean_what_they_meant() {
    // The first Gemma says gelu, means the approximation, and leaves out that its head is tied.
    let gemma = read("gemma", json!({"hidden_act": "gelu", "head_dim": 32}));
    assert_eq!(gemma.activation, Activation::GeluTanh);
    assert!(gemma.tie_word_embeddings);
    assert_eq!(gemma.head_dim, 32);

    let gemma2 = read("gemma2", json!({}));
    assert_eq!(
        (gemma2.attention_softcap, gemma2.logit_softcap),
        (Some(50.0), Some(30.0))
    );
    assert_eq!(windows(&gemma2), [Some(4096), None, Some(4096), None]);
    let bare = json!({"attn_logit_softcapping": null, "sliding_window": null});
    let bare = read("gemma2", bare);
    assert_eq!(
        (bare.attention_softcap, bare.logit_softcap),
        (None, Some(30.0))
    );
    assert_eq!(windows(&bare), [None; 4]);

    let gemma3 = read(
        "gemma3_text",
        json!({
            "sliding_window": 8, "sliding_window_pattern": 3, "rope_theta": 1e6,
            "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        }),
    );
    assert_eq!(windows(&gemma3), [Some(8), Some(8), None, Some(8)]);
    assert_eq!(gemma3.layers[2].rope, Some(0));
    assert_eq!(gemma3.layers[3].rope, Some(1));
    assert_eq!((gemma3.ropes[0].theta, gemma3.ropes[1].theta), (1e6, 1e4));
    assert_eq!(
        gemma3.ropes[0].scaling,
        Some(RopeScaling::Linear { factor: 8.0 })
    );
    assert_eq!(gemma3.ropes[1].scaling, None);

    // Both earlier names of LongRoPE.
    for name in ["su", "yarn"] {
        let phi3 = read(
            "phi3",
            json!({
                "original_max_position_embeddings": 16,
                "rope_scaling": {"type": name, "short_factor": vec![1.0; 8], "long_factor": vec![2.0; 8]},
            }),
        );
        let Some(RopeScaling::LongRope {
            attention_factor, ..
        }) = &phi3.ropes[0].scaling
        else {
            panic!("{name}: {:?}", phi3.ropes)
        };
        let expected = (1.0 + 2_f64.ln() / 16_f64.ln()).sqrt();
        assert!((attention_factor - expected).abs() < 1e-12);
    }

    let smollm3 = read("smollm3", json!({"no_rope_layer_interval": 2}));
    let turning = LayerSpec {
        window: None,
        rope: Some(0),
    };
    let still = LayerSpec {
        window: None,
        rope: None,
    };
    assert_eq!(smollm3.layers, [turning, still, turning, still]);
    assert_eq!(smollm3.ropes[0].theta, 2e6);

    let pythia = read(
        "gpt_neox",
        json!({"rotary_pct": 0.5, "rotary_emb_base": 500}),
    );
    assert_eq!(
        (pythia.ropes[0].rotary_dim, pythia.ropes[0].theta),
        (8, 500.0)
    );
    assert_eq!(pythia.num_key_value_heads, 4);

    let qwen2 = json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3});
    assert_eq!(windows(&read("qwen2", qwen2)), [None, None, None, Some(8)]);
    assert_eq!(read("qwen3", json!({})).head_dim, 128);
}

/// `max_position_embeddings` names the length before stretching for some kinds, after for others.
#[test]
fn a_context_reaches_as_far_as_its_scaling() {
    let context = |kind: Value| read("llama", json!({ "rope_scaling": kind })).context();
    assert_eq!(context(Value::Null), 32);
    assert_eq!(context(json!({"rope_type": "dynamic", "factor": 4.0})), 128);
    assert_eq!(context(json!({"rope_type": "yarn", "factor": 4.0})), 128);
    let stretched = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8
    });
    assert_eq!(context(stretched), 32);
    assert_eq!(context(json!({"rope_type": "linear", "factor": 4.0})), 32);
}

/// What is written from a spec is read as the same spec.
#[test]
fn a_written_configuration_means_the_same() {
    let long = json!({
        "type": "longrope", "short_factor": vec![1.0; 6], "long_factor": vec![2.0; 6],
    });
    for (model_type, more) in [
        (
            "llama",
            json!({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
        ),
        ("mistral", json!({"sliding_window": 8})),
        (
            "qwen2",
            json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 1}),
        ),
        ("qwen3", json!({"attention_bias": true})),
        (
            "smollm3",
            json!({"use_sliding_window": true, "sliding_window": 8}),
        ),
        (
            "granite",
            json!({"residual_multiplier": 0.25, "attention_multiplier": 0.5, "logits_scaling": 8.0}),
        ),
        (
            "olmo2",
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "mscale": 0.7, "mscale_all_dim": 0.3}}),
        ),
        ("gemma", json!({})),
        (
            "gemma2",
            json!({"sliding_window": 8, "query_pre_attn_scalar": 144}),
        ),
        (
            "gemma3_text",
            json!({"sliding_window": 8, "query_pre_attn_scalar": 168}),
        ),
        (
            "phi3",
            json!({"partial_rotary_factor": 0.75, "original_max_position_embeddings": 16, "rope_scaling": long}),
        ),
        (
            "stablelm",
            json!({"use_qkv_bias": true, "qk_layernorm": true, "use_parallel_residual": true}),
        ),
        (
            "gpt_neox",
            json!({"rotary_pct": 0.5, "use_parallel_residual": false}),
        ),
        (
            "qwen3_moe",
            json!({
                "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 24,
                "norm_topk_prob": true, "decoder_sparse_step": 2, "mlp_only_layers": [1]
            }),
        ),
        (
            "mixtral",
            json!({"num_local_experts": 4, "num_experts_per_tok": 1, "sliding_window": 8}),
        ),
    ] {
        let spec = read(model_type, more);
        let again = ModelSpec::from_json(&spec.to_config("float32")).unwrap();
        assert_eq!(again, spec, "{model_type}");
    }
}

#[test]
fn experts_stand_where_the_configuration_puts_them() {
    let layers = |more: Value| read("qwen3_moe", more).experts.unwrap().layers;
    assert_eq!(layers(json!({})), [true; 4]);
    let every_other = json!({"decoder_sparse_step": 2});
    assert_eq!(layers(every_other), [false, true, false, true]);
    let but_one = json!({"decoder_sparse_step": 2, "mlp_only_layers": [1]});
    assert_eq!(layers(but_one.clone()), [false, false, false, true]);
    // Adapters stand beside attention, whether or not some block has an MLP.
    let attention = ["q_proj", "k_proj", "v_proj", "o_proj"];
    assert_eq!(read("qwen3_moe", but_one).linear_modules(), attention);
    let mixtral = read("mixtral", json!({}));
    assert_eq!(mixtral.linear_modules(), attention);
    assert_eq!(
        mixtral.expert_modules(),
        ["gate", "w1", "w3", "w2"].map(str::to_owned)
    );
    let names: Vec<String> = mixtral
        .tensors()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for name in ["gate", "experts.0.w1", "experts.7.w2"] {
        let name = format!("model.layers.3.block_sparse_moe.{name}.weight");
        assert!(names.contains(&name), "{name}");
    }
    for (more, named) in [
        (json!({"num_experts_per_tok": 200}), "num_experts_per_tok"),
        (json!({"mlp_only_layers": "none"}), "mlp_only_layers"),
    ] {
        let error = ModelSpec::from_json(&config("qwen3_moe", more)).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn layers_are_called_as_transformers_calls_them() {
    let phi3 = read("phi3", json!({}));
    assert_eq!(
        phi3.linear_modules(),
        ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    );
    let pythia = read("gpt_neox", json!({}));
    let expected = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"];
    assert_eq!(pythia.linear_modules(), expected);
    assert_eq!(pythia.family, Family::GptNeox);
    assert!(pythia.ignores("gpt_neox.layers.0.attention.masked_bias"));
    assert!(!pythia.ignores("gpt_neox.layers.0.attention.dense.bias"));
    let stablelm = read("stablelm", json!({"qk_layernorm": true}));
    assert_eq!(stablelm.qk_norm, Some(QkNorm::OwnPerHead));
    let tensors = stablelm.tensors();
    let norm = "model.layers.3.self_attn.k_layernorm.norms.1.weight";
    assert!(
        tensors
            .iter()
            .any(|(name, shape)| name == norm && *shape == [16])
    );
    for name in phi3.linear_modules().iter().chain(&expected) {
        assert!(super::LINEAR_MODULES.contains(name));
    }
}
