//! What the program brings along for a first run without a network: a small invented world, the
//! sample dataset about it and the model that grew up in it.
//!
//! How the model was made stands in `docs/starter-model.md`; `examples/starter_model.rs` makes it
//! again.

pub mod clock;
pub mod corpus;
pub mod dataset;
pub mod draw;
pub mod notation;
pub mod order;
pub mod phrasing;
pub mod record;
pub mod world;

/// Settings of the demo's run, as `attune train` reads them: found to work for this model.
pub const DEMO_CONFIG: &str = include_str!("../assets/starter/demo.yaml");

/// An order that is in neither the corpus nor the sample dataset.
pub const PROMPT: &str = "Hi! Could I get two large lattes with oat milk and a toasted bagel, \
    no, make that three? It's for Mira, pick-up at half past nine.";

macro_rules! bundled {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../assets/starter/", $name)))),+]
    };
}

/// The files of the bundled model, by name.
pub const MODEL_FILES: &[(&str, &[u8])] = bundled![
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::dataset::SampleDataset;
    use super::*;
    use attune_data::{Role, Tokenizer, Turn};
    use attune_engine::{DType, Decoder, Device, SamplingOptions, generate};
    use std::collections::HashMap;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    fn assets() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter")
    }

    #[test]
    fn the_bundled_model_loads_and_answers_like_a_person() {
        let tokenizer = Tokenizer::from_folder(&assets()).unwrap();
        let decoder = Decoder::load(&assets(), DType::F32, &Device::Cpu, &mut |_| {}).unwrap();
        let prompt = tokenizer.prompt(&[Turn::new(Role::User, PROMPT)]).unwrap();
        let options = SamplingOptions::default();
        let cancel = AtomicBool::new(false);
        let answers = generate(
            &decoder,
            &tokenizer,
            &[prompt],
            &options,
            &cancel,
            &mut |_, _| {},
        )
        .unwrap();
        let answer = &answers[0].text;
        assert!(
            answer.contains("latte") && !answer.contains('{'),
            "{answer}"
        );
    }

    /// It travels in the repository and in every binary.
    #[test]
    fn the_bundled_model_is_small() {
        let bytes: usize = MODEL_FILES.iter().map(|(_, file)| file.len()).sum();
        assert!(bytes < 12_000_000, "{bytes} bytes");
    }

    /// LoRA leaves the embedding alone, so a token that the model never met can be neither read
    /// nor written, however long one tunes. Whatever the task's answers consist of must be common
    /// in the corpus, though never in this shape.
    #[test]
    fn every_token_of_an_answer_is_common_in_the_corpus() {
        let tokenizer = Tokenizer::from_folder(&assets()).unwrap();
        let mut counts = HashMap::new();
        for turn in corpus::Corpus::new()
            .take(12_000)
            .flat_map(|document| document.turns)
        {
            for token in tokenizer.encode(&turn.content, false).unwrap() {
                *counts.entry(token).or_insert(0) += 1;
            }
        }
        let SampleDataset { train, held_out } = SampleDataset::generate();
        for row in train.iter().chain(&held_out) {
            for token in tokenizer.encode(&row.output, false).unwrap() {
                let count = counts.get(&token).copied().unwrap_or(0);
                assert!(count > 40, "{:?}: {count}", tokenizer.token_text(token));
            }
        }
    }

    #[test]
    fn the_prompt_to_try_is_new_to_the_model() {
        let SampleDataset { train, held_out } = SampleDataset::generate();
        assert!(
            train
                .iter()
                .chain(&held_out)
                .all(|row| row.instruction != PROMPT)
        );
    }
}
