//! The trainable transformer: one decoder for training and inference, adapters, the training loop,
//! checkpoints, generation.
//!
//! Forward and backward are explicit. A part's `forward` returns its result and what its
//! `backward` will want; `backward` takes that and the gradient of the result, adds to the
//! gradients of its own trainable parameters and returns the gradient of its input. Frozen
//! parameters get none. Nothing here knows the store, the network or a user's folder.

mod attention;
mod block;
mod cache;
mod checkpoint;
mod decoder;
mod error;
mod event;
mod files;
mod footprint;
mod generate;
mod linear;
mod lora;
mod memory;
mod mlp;
mod norm;
mod optimizer;
mod parameter;
mod plan;
mod priority;
mod rotary;
mod schedule;
mod score;
mod spec;
mod speed;
mod train;
mod weight_type;
mod weights;

pub use attune_kernels::ComputeType;
pub use candle_core::{DType, Device};
pub use checkpoint::{CheckpointInfo, best as best_checkpoint, last as last_checkpoint};
pub use decoder::{Decoder, Noise, ParameterCounts};
pub use error::{Error, Result};
pub use event::TrainEvent;
pub use footprint::{Footprint, Workload};
pub use generate::{Completion, SamplingOptions, StopReason, generate};
pub use lora::{LoraConfig, LoraInit, TargetModules};
pub use memory::peak_memory;
pub use optimizer::OptimizerKind;
pub use plan::first_step;
pub use priority::compute_in_background;
pub use schedule::Schedule;
pub use score::{SampleLoss, evaluate, score};
pub use spec::{
    Activation, Family, LINEAR_MODULES, LayerSpec, MlpKind, ModelSpec, NormKind, NormPlacement,
    QkNorm, QkvProjection, Residual, Rope, RopeScaling,
};
pub use speed::matrix_speed;
pub use train::{Control, Outcome, Request, TrainOptions, train};
pub use weight_type::WeightType;
