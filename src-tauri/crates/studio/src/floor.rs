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
}
