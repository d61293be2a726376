//! Differentiable operations on candle tensors: forward and backward side by side.
//!
//! Each function dispatches on the tensor's device. The CPU implementation is the reference for
//! the others; a device without its own kernel runs a composition of candle's operations, which
//! the tests compare with the CPU. Nothing here goes through candle's autograd: a backward takes
//! what its forward took, and the gradient of its result.
//!
//! Activations are f32 and two-dimensional, `(N, features)`: the tokens of a batch lie end to end.
//! Gradients of parameters are *added* to a tensor the caller owns.

mod adamw;
mod add;
mod attention;
mod bias;
mod cross_entropy;
mod embedding;
mod exp;
mod gemm;
mod matmul;
mod norm;
mod rms_norm;
mod rope;
mod storage;
mod swiglu;

pub use adamw::{AdamW, adamw};
pub use add::add;
pub use attention::{Attention, Span};
pub use bias::{add_bias, add_column_sums};
pub use candle_core::Result;
pub use cross_entropy::{linear_cross_entropy, linear_token_losses};
pub use embedding::{embedding, embedding_backward};
pub use matmul::{Term, Transpose, matmul, matmul_add, matmul_sum, matmul_sum_add};
pub use norm::squared_norm;
pub use rms_norm::{rms_norm, rms_norm_backward};
pub use rope::{Rotation, rope};
pub use swiglu::{swiglu, swiglu_backward};

/// Runs `work` on a thread of the pool. A kernel called from there divides its work at little
/// cost; called from outside, each one hands over to the pool and sleeps, which took a small
/// model longer than its arithmetic.
pub fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests;
