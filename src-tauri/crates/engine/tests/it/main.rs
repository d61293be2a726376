//! The engine as its callers see it.

#![expect(clippy::unwrap_used, reason = "a failed test should panic")]

mod adapters;
mod common;
mod compositions;
mod folders;
mod ggml;
mod gradients;
mod held;
mod labels;
mod mixed_precision;
mod preferences;
mod pretraining;
mod training;
