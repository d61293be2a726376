//! The trainable transformer: one decoder for training and inference, adapters, the training loop,
//! checkpoints, generation.
//!
//! Forward and backward are explicit. A part's `forward` returns its result and what its
//! `backward` will want; `backward` takes that and the gradient of the result, adds to the
//! gradients of its own trainable parameters and returns the gradient of its input. Frozen
//! parameters get none. Nothing here knows the store, the network or a user's folder.

mod allocator;
mod attention;
mod block;
mod cache;
mod checkpoint;
mod decoder;
mod device;
mod error;
mod event;
mod experts;
mod feed_forward;
mod files;
mod fingerprint;
mod footprint;
mod generate;
mod interrupted;
mod linear;
mod lora;
mod memory;
mod mlp;
mod norm;
mod objective;
mod optimizer;
mod parameter;
mod pieces;
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

pub use allocator::Allocator;
#[doc(hidden)]
pub use attune_kernels::without_bf16;
pub use attune_kernels::{ComputeType, GgmlType, has_bf16};
pub use cache::PromptCache;
pub use candle_core::{DType, Device};
pub use checkpoint::{CheckpointInfo, best as best_checkpoint, last as last_checkpoint};
pub use decoder::{Decoder, Noise, ParameterCounts};
pub use device::{
    CUDA_VERSION, DeviceCheck, GpuBackendKind, LONGEST_DISPATCH, MetalFacts, check_device,
    metal_facts,
};
pub use error::{Error, Result};
pub use event::TrainEvent;
pub use footprint::{Answers, Footprint, Workload};
pub use generate::{Completion, SamplingOptions, StopReason, generate, generate_on};
pub use lora::{LoraConfig, LoraInit, TargetModules};
pub use memory::peak_memory;
pub use objective::{
    Kto, KtoOptions, Measurement, NextToken, Objective, PairLogProbabilities, PairLoss, Preference,
    PreferenceLoss, PreferenceOptions, Preparation, RatedLoss, SequenceLabels, StepContext,
    kto_loss, preference_losses,
};
pub use optimizer::OptimizerKind;
pub use parameter::TrainedType;
pub use plan::first_step;
pub use priority::compute_in_background;
pub use schedule::Schedule;
pub use score::{SampleLoss, evaluate, score};
pub use spec::{
    Activation, Experts, Family, LINEAR_MODULES, LayerSpec, MlpKind, ModelSizes, ModelSpec,
    NormKind, NormPlacement, ProblemType, QkNorm, QkvProjection, Residual, Rope, RopeScaling,
    SequenceHead,
};
pub use speed::matrix_speed;
pub use train::{Control, Outcome, Request, TrainOptions, train, train_objective};
pub use weight_type::WeightType;
