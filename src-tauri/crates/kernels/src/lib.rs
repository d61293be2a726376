//! Differentiable operations on candle tensors: forward and backward side by side.
//!
//! Each function dispatches on the tensor's device. The CPU implementation is the reference for
//! the others; a device without its own kernel runs a composition of candle's operations, which
//! the tests compare with the CPU, and [`self_check`] with the device's. Nothing here goes through candle's autograd: a backward takes
//! what its forward took, and the gradient of its result.
//!
//! Activations are f32 and two-dimensional, `(N, features)`: the tokens of a batch lie end to end.
//! Gradients of parameters are *added* to a tensor the caller owns.

mod adafactor;
mod adamw;
mod adamw8bit;
mod add;
mod attention;
mod bias;
mod cross_entropy;
mod device;
mod dispatch;
mod dora;
mod embedding;
mod exp;
mod gelu;
mod gemm;
mod inference;
mod layer_norm;
mod lion;
mod master;
mod matmul;
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
mod metal;
mod noise;
mod norm;
mod operand;
mod quantised;
mod rms_norm;
mod rope;
mod rounding;
mod rows;
mod scale;
mod self_check;
mod sgd;
mod softcap;
mod softmax;
mod storage;
mod swiglu;
mod tanh;
mod vectorised;

pub use adafactor::{Adafactor, adafactor_matrix, adafactor_vector};
pub use adamw::{AdamW, adamw};
pub use adamw8bit::{Moments8bit, adamw8bit};
pub use add::add;
pub use attention::{Attention, Span};
pub use bias::{add_bias, add_column_sums};
pub use candle_core::Result;
pub use cross_entropy::{
    Logits, linear_cross_entropy, linear_cross_entropy_rows, linear_token_losses,
};
#[doc(hidden)]
pub use device::{by_compositions, without_bf16};
pub use device::{has_bf16, stored_type};
pub use dispatch::{
    LONGEST_DISPATCH, calibrate_dispatch, dispatch_limit, lower_dispatch_limit, set_dispatch_limit,
    was_interrupted,
};
pub use dora::{add_column_products, low_rank_row_norms, scale_columns};
pub use embedding::{embedding, embedding_backward};
pub use gelu::{Gelu, geglu, geglu_backward, gelu, gelu_backward};
pub use gemm::ComputeType;
pub use inference::matmul_for_inference;
pub use layer_norm::{LayerNormGradients, layer_norm, layer_norm_backward};
pub use lion::{Lion, lion};
pub use master::Remainders;
pub use matmul::{Term, Transpose, matmul, matmul_add, matmul_sum, matmul_sum_add};
pub use noise::{NoiseKey, add_uniform_noise, dropout};
pub use norm::squared_norm;
pub use operand::Operand;
pub use quantised::{GgmlType, Quantisation, QuantisedMatrix, QuantisedParts};
pub use rms_norm::{rms_norm, rms_norm_backward};
pub use rope::{Rotation, rope};
pub use rows::{add_rows, row_products, scale_rows};
pub use scale::{add_scaled, scaled};
pub use self_check::{ComputedBy, KernelCheck, self_check};
pub use sgd::{Sgd, sgd};
pub use swiglu::{swiglu, swiglu_backward};

/// Runs `work` on a thread of the pool. A kernel called from there divides its work at little
/// cost; called from outside, each one hands over to the pool and sleeps, which took a small
/// model longer than its arithmetic.
pub fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pretence = device::pretence();
    rayon::scope(|_| device::with_pretence(pretence, work))
}

#[cfg(test)]
mod tests;
