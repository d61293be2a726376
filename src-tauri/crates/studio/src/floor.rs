//! Stand-ins for what the floors below have promised and not delivered yet; deleted when they do.
#![allow(missing_docs, clippy::pedantic)]

pub mod data {
    pub use attune_data::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    pub enum Shape {
        Messages {
            column: String,
        },
        ShareGpt {
            column: String,
        },
        Alpaca {
            instruction: String,
            input: Option<String>,
            output: String,
        },
        PromptAnswer {
            system: Option<String>,
            prompt: Vec<String>,
            answer: String,
        },
        Text {
            column: String,
        },
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct Inspection {
        pub rows: u64,
        pub conversations: u64,
        pub shape: Shape,
    }
}

pub mod engine {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "event", rename_all = "snake_case")]
    pub enum TrainEvent {
        Started {
            total_steps: u64,
            steps_per_epoch: f64,
            train_samples: usize,
            validation_samples: usize,
            trainable_parameters: u64,
            total_parameters: u64,
        },
        Step {
            step: u64,
            epoch: f64,
            loss: f64,
            learning_rate: f64,
            grad_norm: f64,
            trained_tokens: u64,
            tokens_per_second: f64,
            peak_memory: u64,
        },
        Evaluation {
            step: u64,
            loss: f64,
            perplexity: f64,
            best: bool,
        },
        Checkpoint {
            step: u64,
            best: bool,
        },
        Paused {
            step: u64,
        },
        Resumed {
            step: u64,
        },
        Stopped {
            step: u64,
            reason: String,
        },
        Finished {
            step: u64,
            early: bool,
        },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct SamplingOptions {
        pub temperature: f64,
        pub top_k: usize,
        pub top_p: f64,
        pub min_p: f64,
        pub repetition_penalty: f32,
        pub max_new_tokens: usize,
        pub stop_strings: Vec<String>,
        pub seed: u64,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum StopReason {
        StopToken,
        StopString,
        Length,
        Cancelled,
    }

    pub use attune_engine::*;
    pub use candle_core::{DType, Device};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::AtomicBool;
    use attune_data::{Sample, Tokenizer};

    #[derive(Debug, Clone, Default)]
    pub struct Control(Arc<AtomicU8>);
    impl Control {
        pub fn pause(&self) {
            self.0.store(1, Ordering::Relaxed);
        }
        pub fn stop(&self) {
            self.0.store(2, Ordering::Relaxed);
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Schedule {
        Cosine,
        Linear,
        Constant,
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct TrainOptions {
        pub epochs: f64,
        pub max_steps: Option<u64>,
        pub batch_size: usize,
        pub grad_accumulation: usize,
        pub max_length: usize,
        pub packing: bool,
        pub learning_rate: f64,
        pub schedule: Schedule,
        pub min_learning_rate_ratio: f64,
        pub warmup_epochs: f64,
        pub weight_decay: f64,
        pub beta1: f64,
        pub beta2: f64,
        pub epsilon: f64,
        pub gradient_clip: f64,
        pub seed: u64,
        pub shuffle: bool,
        pub gradient_checkpointing: bool,
        pub evaluation_epochs: f64,
        pub evaluate_before_training: bool,
        pub early_stopping_patience: u32,
        pub checkpoint_steps: u64,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Outcome {
        Finished,
        StoppedEarly,
        Paused,
        Stopped,
    }

    pub struct CheckpointInfo {
        pub step: u64,
        pub epoch: f64,
        pub folder: PathBuf,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no engine")]
    pub struct Error;
    impl Error {
        pub fn code(&self) -> &'static str {
            "no-engine"
        }
        pub fn remedy(&self) -> Option<String> {
            None
        }
        pub fn place(&self) -> Option<String> {
            None
        }
    }
    pub type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Family {
        Llama,
    }

    #[derive(Debug, Clone)]
    pub struct ModelSpec {
        pub family: Family,
        pub hidden_size: usize,
        pub intermediate_size: usize,
        pub num_hidden_layers: usize,
        pub num_attention_heads: usize,
        pub num_key_value_heads: usize,
        pub head_dim: usize,
        pub vocab_size: usize,
        pub max_position_embeddings: usize,
        pub tie_word_embeddings: bool,
    }
    impl ModelSpec {
        pub fn from_folder(_: &Path) -> Result<Self> {
            Err(Error)
        }
        pub fn parameter_count(&self) -> u64 {
            0
        }
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct LoraConfig {
        pub r: usize,
        pub lora_alpha: f64,
        pub target_modules: Vec<String>,
        pub use_rslora: bool,
    }
    pub const LINEAR_MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

    pub struct Decoder {
        spec: ModelSpec,
    }
    impl Decoder {
        pub fn load(_: &Path, _: DType, _: &Device, _: &mut dyn FnMut(f32)) -> Result<Self> {
            Err(Error)
        }
        pub fn spec(&self) -> &ModelSpec {
            &self.spec
        }
        pub fn lora(&self) -> Option<&LoraConfig> {
            None
        }
        pub fn attach_lora(&mut self, _: &LoraConfig, _: u64) -> Result<()> {
            Err(Error)
        }
        pub fn load_adapter(&mut self, _: &Path) -> Result<LoraConfig> {
            Err(Error)
        }
        pub fn save_adapter(&self, _: &Path) -> Result<()> {
            Err(Error)
        }
        pub fn make_trainable(&mut self) -> Result<()> {
            Err(Error)
        }
        pub fn save_folder(&self, _: &Path, _: DType, _: Option<&Path>) -> Result<()> {
            Err(Error)
        }
    }

    pub fn train(
        _: &mut Decoder,
        _: &[Sample],
        _: &[Sample],
        _: &TrainOptions,
        _: &Path,
        _: &Control,
        _: &mut dyn FnMut(TrainEvent),
    ) -> Result<Outcome> {
        Err(Error)
    }
    pub fn last_checkpoint(_: &Path) -> Result<Option<CheckpointInfo>> {
        Ok(None)
    }
    pub fn best_checkpoint(_: &Path) -> Result<Option<CheckpointInfo>> {
        Ok(None)
    }
    pub struct Completion {
        pub text: String,
        pub tokens: Vec<u32>,
        pub stop_reason: StopReason,
    }
    pub fn generate(
        _: &Decoder,
        _: &Tokenizer,
        _: &[Vec<u32>],
        _: &SamplingOptions,
        _: &AtomicBool,
        _: &mut dyn FnMut(usize, &str),
    ) -> Result<Vec<Completion>> {
        Err(Error)
    }
    pub fn score(_: &Decoder, _: &[u32]) -> Result<Vec<f32>> {
        Err(Error)
    }
    pub struct SampleLoss {
        pub loss_sum: f64,
        pub trained_tokens: usize,
    }
    pub fn evaluate(_: &Decoder, _: &[Sample], _: usize, _: &mut dyn FnMut(usize)) -> Result<Vec<SampleLoss>> {
        Err(Error)
    }
}
