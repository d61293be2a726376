//! How fast this machine multiplies matrices: what an estimate of training time starts from.

use std::time::{Duration, Instant};

use crate::Result;
use attune_kernels::{Transpose, in_pool, matmul};
use candle_core::{Device, Tensor};

/// Floating-point operations per second of an f32 product on `device` of 256 rows with a square
/// matrix of `width`, the best of some tries within about a tenth of a second.
pub fn matrix_speed(device: &Device, width: usize) -> Result<f64> {
    const BUDGET: Duration = Duration::from_millis(80);
    let rows = 256;
    let a = Tensor::ones((rows, width), candle_core::DType::F32, device)?;
    let b = Tensor::ones((width, width), candle_core::DType::F32, device)?;
    if !device.is_cpu() {
        // A GPU compiles and loads its kernel at the first use.
        matmul(&a, &b, Transpose::Right)?;
        device.synchronize()?;
    }
    let started = Instant::now();
    let mut best = Duration::MAX;
    loop {
        let before = Instant::now();
        in_pool(|| matmul(&a, &b, Transpose::Right))?;
        device.synchronize()?;
        best = best.min(before.elapsed());
        if started.elapsed() > BUDGET {
            let operations = 2.0 * (rows * width * width) as f64;
            return Ok(operations / best.as_secs_f64());
        }
    }
}
