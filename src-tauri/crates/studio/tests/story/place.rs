//! A place for a story: a home, a tiny random model, a file of conversations.

use std::fs;
use std::path::{Path, PathBuf};

use attune_engine::{DType, Decoder, Device, ModelSpec};
use attune_studio::api::{Control, DataImportRequest, ExperimentStartRequest, Session, Weights};
use attune_studio::{Studio, api};
use serde_json::json;

/// A home, a model folder and a file of conversations.
pub struct Place {
    folder: tempfile::TempDir,
    pub studio: Studio,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(folder.path().join("home"));
        let place = Self { folder, studio };
        write_model(&place.model());
        let rows: Vec<String> = (0..40)
            .map(|row| {
                json!({"prompt": format!("say {row}"), "answer": row.to_string()}).to_string()
            })
            .collect();
        fs::write(place.path("numbers.jsonl"), rows.join("\n")).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn model(&self) -> PathBuf {
        self.path("tiny")
    }

    pub fn import(&self) {
        let request = DataImportRequest {
            path: self.path("numbers.jsonl"),
            ..DataImportRequest::default()
        };
        quiet(|session| api::data_import(&self.studio, request, session)).unwrap();
    }

    pub fn start(&self, set: &[&str]) -> ExperimentStartRequest {
        let mut all = vec![
            "dataset=numbers".to_owned(),
            format!("model={}", self.model().display()),
        ];
        let small = [
            "max_length=64",
            "learning_rate=1e-3",
            "validation_size=0.1",
            "seed=1",
            "epochs=2",
        ];
        all.extend(small.iter().chain(set).map(ToString::to_string));
        ExperimentStartRequest {
            set: all,
            ..ExperimentStartRequest::default()
        }
    }
}

pub fn quiet<T>(work: impl FnOnce(&mut Session<'_>) -> T) -> T {
    work(&mut Session::new(&mut |_| {}, &Control::default()))
}

/// A byte-level tokenizer and a random Llama of a few thousand weights.
fn write_model(folder: &Path) {
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut letters: Vec<String> = alphabet.into_iter().map(String::from).collect();
    letters.sort();
    letters.extend(["<|im_start|>", "<|im_end|>"].map(str::to_owned));
    let vocabulary: serde_json::Map<_, _> = letters
        .iter()
        .enumerate()
        .map(|(id, text)| (text.clone(), id.into()))
        .collect();
    let special = |text: &str, id: usize| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special("<|im_start|>", 256), special("<|im_end|>", 257)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocabulary, "merges": []},
    });
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 258, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true,
    });
    let base = folder.with_extension("base");
    fs::create_dir_all(&base).unwrap();
    fs::write(base.join("config.json"), config.to_string()).unwrap();
    fs::write(base.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(
        base.join("tokenizer_config.json"),
        json!({"eos_token": "<|im_end|>"}).to_string(),
    )
    .unwrap();
    let spec = ModelSpec::from_folder(&base).unwrap();
    Decoder::random(&spec, 7, &Device::Cpu)
        .unwrap()
        .save_folder(folder, DType::F32, Some(&base))
        .unwrap();
}

pub fn weights(experiment: &str) -> Weights {
    Weights {
        experiment: Some(experiment.to_owned()),
        ..Weights::default()
    }
}
