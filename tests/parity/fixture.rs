//! What `make_fixtures.py` has recorded for one model family.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use attune_data::Sample;
use candle_core::{Device, Tensor};
use serde::Deserialize;

/// Every family there is a recording of.
pub const FAMILIES: [&str; 17] = [
    "llama3",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "phi3",
    "smollm3",
    "olmo2",
    "granite",
    "stablelm",
    "stablelm-parallel",
    "gpt-neox",
    "gpt-neox-sequential",
    "qwen3-moe",
    "mixtral",
];

/// One family's checkpoint, adapter and expected values.
pub struct Fixture {
    folder: PathBuf,
    /// Inputs and expected numbers.
    pub expected: Expected,
    tensors: HashMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
pub struct Expected {
    /// Python packages the recording was made with.
    pub versions: BTreeMap<String, String>,
    /// The two samples whose logits, loss and gradients are recorded.
    samples: Vec<RecordedSample>,
    /// What the weights on disk are stored as.
    pub stored_as: String,
    /// Loss over both samples, each trained token counting the same.
    pub loss: f64,
    /// The same with the adapter.
    pub lora_loss: f64,
    /// Settings of the recorded training.
    pub options: Options,
    /// Training samples, in the order they are trained in, again and again.
    data: Vec<RecordedSample>,
    /// Recorded training by kind: `lora`, `full`.
    pub training: BTreeMap<String, Training>,
    /// Prompts of the recorded greedy generation.
    pub prompts: Vec<Vec<u32>>,
    /// What follows each prompt.
    pub continuations: Vec<Vec<u32>>,
}

/// A sample as the recordings have it.
#[derive(Deserialize)]
pub struct RecordedSample {
    tokens: Vec<u32>,
    loss_mask: Vec<bool>,
}

/// The settings that every recorded training shares.
#[derive(Deserialize)]
pub struct Options {
    /// Optimiser steps.
    pub steps: u64,
    /// Steps until the learning rate is full.
    pub warmup_steps: u64,
    /// Samples per micro-batch.
    pub batch_size: usize,
    /// Micro-batches per optimiser step.
    pub grad_accumulation: usize,
    /// AdamW's decay of the first moment.
    pub beta1: f64,
    /// AdamW's decay of the second moment.
    pub beta2: f64,
    /// AdamW's guard against division by zero.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global norm of the gradients.
    pub gradient_clip: f64,
}

/// One recorded training.
#[derive(Deserialize)]
pub struct Training {
    /// The highest learning rate.
    pub learning_rate: f64,
    /// One record per optimiser step.
    pub steps: Vec<Step>,
}

/// One recorded optimiser step.
#[derive(Deserialize)]
pub struct Step {
    /// Mean loss per trained token of the whole step.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// The rate this step was taken with.
    pub learning_rate: f64,
    /// Tokens that counted in the loss.
    pub trained_tokens: u64,
}

impl Fixture {
    /// Reads the recording of `family`.
    pub fn load(family: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("parity/fixtures")
            .join(family);
        let json = std::fs::read(folder.join("expected.json")).unwrap();
        let tensors =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu);
        Self {
            expected: serde_json::from_slice(&json).unwrap(),
            tensors: tensors.unwrap(),
            folder,
        }
    }

    /// The Hugging Face folder of the model.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// The PEFT folder of the adapter.
    pub fn adapter(&self) -> PathBuf {
        self.folder.join("adapter")
    }

    /// The two samples of the single forward and backward.
    pub fn samples(&self) -> Vec<Sample> {
        self.expected
            .samples
            .iter()
            .map(RecordedSample::sample)
            .collect()
    }

    /// The samples of the training.
    pub fn data(&self) -> Vec<Sample> {
        self.expected
            .data
            .iter()
            .map(RecordedSample::sample)
            .collect()
    }

    /// The recorded logits of the two samples one after the other, `(N, vocabulary)`.
    pub fn logits(&self, prefix: &str) -> Tensor {
        let parts: Vec<&Tensor> = (0..2)
            .map(|index| &self.tensors[&format!("{prefix}.{index}")])
            .collect();
        Tensor::cat(&parts, 0).unwrap()
    }

    /// The recorded tensors whose name starts with `prefix` and a dot, without it.
    pub fn tensors(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let named = |(name, tensor): (&String, &Tensor)| {
            Some((
                name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned(),
                tensor.clone(),
            ))
        };
        self.tensors.iter().filter_map(named).collect()
    }
}

impl RecordedSample {
    /// As the engine takes it.
    pub fn sample(&self) -> Sample {
        Sample {
            tokens: self.tokens.clone(),
            loss_mask: self.loss_mask.clone(),
        }
    }
}
