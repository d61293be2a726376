//! Weights in ggml's block types: training is exact, answers are not but do not depend on how they
//! came about.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use attune_data::{Batch, Tokenizer};
use attune_engine::{
    DType, Decoder, Device, GgmlType, LoraConfig, ModelSpec, PromptCache, SamplingOptions,
    WeightType, generate, generate_on,
};
use serde_json::{Map, Value, json};

use crate::common;

/// A model whose every matrix fills whole blocks.
fn write_model(folder: &Path) {
    let config = json!({
        "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
    });
    let spec = ModelSpec::from_json(&config).unwrap();
    let decoder = Decoder::random(&spec, 7, &Device::Cpu).unwrap();
    decoder.save_folder(folder, DType::F32, None).unwrap();
}

fn load(folder: &Path, stored: WeightType) -> Decoder {
    Decoder::load(folder, stored, &Device::Cpu, &mut |_| ()).unwrap()
}

/// QLoRA's loss and gradients are LoRA's over the matrices that the blocks stand for.
#[test]
fn an_adapter_beside_ggml_blocks_is_one_beside_what_they_stand_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_model(&model);
    let batch = Batch::from_samples(&common::samples(4, 1));
    for ty in GgmlType::ALL {
        let mut small = load(&model, WeightType::Ggml(ty));
        let place = folder.path().join(ty.name());
        small.save_folder(&place, DType::F32, None).unwrap();
        let mut wide = load(&place, WeightType::Float(DType::F32));
        let [found, expected] = [&mut small, &mut wide].map(|decoder| {
            decoder.attach_lora(&LoraConfig::default(), 1).unwrap();
            let loss = decoder.loss_and_backward(&batch, 1.0, false).unwrap();
            (loss, decoder.gradients())
        });
        assert!((found.0 - expected.0).abs() < 1e-6 * expected.0, "{ty:?}");
        for (name, expected) in &expected.1 {
            let apart = (&found.1[name] - expected).unwrap().abs().unwrap();
            let size = expected.abs().unwrap().max_all().unwrap();
            let [apart, size] =
                [apart.max_all().unwrap(), size].map(|tensor| tensor.to_scalar::<f32>().unwrap());
            assert!(apart <= 1e-5 * size, "{ty:?} {name}: {apart} of {size}");
        }
    }
}

/// An answer is the same alone, beside others, and with what is known of its prompt.
#[test]
fn an_answer_depends_on_its_prompt_alone() {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"));
    let tokenizer = tokenizer(folder.path());
    let never = AtomicBool::new(false);
    let options = SamplingOptions {
        max_new_tokens: 6,
        ..SamplingOptions::default()
    };
    for ty in GgmlType::ALL {
        let decoder = load(&folder.path().join("model"), WeightType::Ggml(ty));
        let answers = |prompts: &[Vec<u32>]| {
            generate(
                &decoder,
                &tokenizer,
                prompts,
                &options,
                &never,
                &mut |_, _| (),
            )
            .unwrap()
        };
        let mut known = PromptCache::default();
        let mut prompt: Vec<u32> = vec![3, 1, 4, 1, 5];
        for turn in 0..3 {
            let alone = answers(&[prompt.clone()]);
            let beside = answers(&[prompt.clone(), vec![9, 2, 6], vec![5; 11]]);
            assert_eq!(alone[0].tokens, beside[0].tokens, "{ty:?}, turn {turn}");
            let answer = generate_on(
                &decoder,
                &tokenizer,
                &prompt,
                &mut known,
                &options,
                &never,
                &mut |_| (),
            );
            let answer = answer.unwrap();
            assert_eq!(answer, alone[0], "{ty:?}, turn {turn}");
            assert_eq!(known.tokens().len(), prompt.len() + answer.tokens.len() - 1);
            prompt.extend(&answer.tokens);
            prompt.push(turn);
        }
    }
}

/// A word for each token, and none that ends an answer.
fn tokenizer(folder: &Path) -> Tokenizer {
    let words: Map<String, Value> = (0..40).map(|id| (format!("t{id}"), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
        "decoder": null, "model": { "type": "WordLevel", "vocab": words, "unk_token": "t0" },
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    Tokenizer::from_folder(folder).unwrap()
}
