//! Small random models and data that the tests share.

use attune_data::Sample;
use attune_engine::{Decoder, Device, LoraConfig, ModelSpec};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// Two layers with grouped heads, a head width of its own, biases and q/k norms.
pub fn spec() -> ModelSpec {
    let config = json!({
        "model_type": "qwen3", "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 6, "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "attention_bias": true, "use_sliding_window": true,
        "sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"],
    });
    ModelSpec::from_json(&config).unwrap()
}

pub fn lora() -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 6.0,
        ..LoraConfig::default()
    }
}

/// A model whose every weight matters: LoRA's B is zero at first, so one step moves it.
pub fn decoder(full: bool) -> Decoder {
    let mut decoder = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    if full {
        decoder.make_trainable().unwrap();
    } else {
        decoder.attach_lora(&lora(), 5).unwrap();
    }
    decoder
}

/// Samples of 3 to 11 tokens; the first third of each is not trained.
pub fn samples(count: usize, seed: u64) -> Vec<Sample> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| {
            let len = rng.random_range(3..12);
            // Each token follows from the one before, so that there is something to learn.
            let first = rng.random_range(0..40);
            let tokens = (0..len)
                .map(|position| (first + 7 * position as u32) % 40)
                .collect();
            Sample {
                tokens,
                loss_mask: (0..len).map(|position| position >= len / 3).collect(),
            }
        })
        .collect()
}
