//! Kernels that take rows or elements by themselves: norms, rotary embedding, gates, losses and the
//! optimiser's step. They are as long as reading their tensors takes, far below any limit.

use super::launch::{Argument, File, Launch, unwritten};
use super::threads_of;
use crate::AdamW;
use crate::rope::Rotation;
use candle_core::{Result, Tensor};

/// Threads of a group that takes elements.
const THREADS: usize = 256;
/// Rows whose part of a weight's gradient is summed together.
const PART: usize = 64;

#[derive(Clone, Copy)]
#[repr(C)]
struct RmsNorm {
    first_row: u32,
    width: u32,
    offset: f32,
    epsilon: f32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct PartialSums {
    first_part: u32,
    rows: u32,
    width: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct AddPartialSums {
    parts: u32,
    width: u32,
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, offset: f32, epsilon: f32) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let y = unwritten(x.device(), (rows, width))?;
    let threads = threads_of(width);
    Launch {
        file: File::RmsNorm,
        function: "rms_norm_f32",
        arguments: &[
            Argument::Read(x),
            Argument::Read(weight),
            Argument::Write(&y),
        ],
        constants: RmsNorm {
            first_row: 0,
            width: width as u32,
            offset,
            epsilon,
        },
        grid: (rows, 1, 1),
        threads,
        memory: &[4 * threads / 32],
        work: 2 * rows * width,
    }
    .run(x.device())?;
    Ok(y)
}

pub(super) fn rms_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    offset: f32,
    epsilon: f32,
    dy: &Tensor,
    weight_gradient: Option<&Tensor>,
) -> Result<Tensor> {
    let ((rows, width), device) = (x.dims2()?, x.device());
    let (dx, scales) = (unwritten(device, (rows, width))?, unwritten(device, rows)?);
    let threads = threads_of(width);
    Launch {
        file: File::RmsNorm,
        function: "rms_norm_backward_f32",
        arguments: &[
            Argument::Read(x),
            Argument::Read(weight),
            Argument::Read(dy),
            Argument::Write(&dx),
            Argument::Write(&scales),
        ],
        constants: RmsNorm {
            first_row: 0,
            width: width as u32,
            offset,
            epsilon,
        },
        grid: (rows, 1, 1),
        threads,
        memory: &[4 * threads / 32],
        work: 5 * rows * width,
    }
    .run(device)?;
    let Some(gradient) = weight_gradient else {
        return Ok(dx);
    };
    let parts = rows.div_ceil(PART);
    let sums = unwritten(device, (parts, width))?;
    Launch {
        file: File::RmsNorm,
        function: "rms_norm_weight_partial_f32",
        arguments: &[
            Argument::Read(x),
            Argument::Read(dy),
            Argument::Read(&scales),
            Argument::Write(&sums),
        ],
        constants: PartialSums {
            first_part: 0,
            rows: rows as u32,
            width: width as u32,
        },
        grid: (width.div_ceil(THREADS), parts, 1),
        threads: THREADS,
        memory: &[],
        work: 2 * rows * width,
    }
    .run(device)?;
    Launch {
        file: File::RmsNorm,
        function: "add_partial_sums",
        arguments: &[Argument::Read(&sums), Argument::Write(gradient)],
        constants: AddPartialSums {
            parts: parts as u32,
            width: width as u32,
        },
        grid: (width.div_ceil(THREADS), 1, 1),
        threads: THREADS,
        memory: &[],
        work: parts * width,
    }
    .run(device)?;
    Ok(dx)
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Rope {
    first_row: u32,
    heads: u32,
    head_dim: u32,
    pairs: u32,
    sign: f32,
}

pub(super) fn rope(
    x: &Tensor,
    head_dim: usize,
    cos: &Tensor,
    sin: &Tensor,
    positions: &[u32],
    rotation: Rotation,
) -> Result<Tensor> {
    let ((rows, width), pairs) = (x.dims2()?, cos.dim(1)?);
    let (heads, device) = (width / head_dim, x.device());
    let positions = Tensor::new(positions, device)?;
    let y = unwritten(device, (rows, width))?;
    Launch {
        file: File::Rope,
        function: "rope_f32",
        arguments: &[
            Argument::Read(x),
            Argument::Read(cos),
            Argument::Read(sin),
            Argument::Read(&positions),
            Argument::Write(&y),
        ],
        constants: Rope {
            first_row: 0,
            heads: heads as u32,
            head_dim: head_dim as u32,
            pairs: pairs as u32,
            sign: match rotation {
                Rotation::Forward => 1.0,
                Rotation::Backward => -1.0,
            },
        },
        grid: ((heads * (head_dim - pairs)).div_ceil(THREADS), rows, 1),
        threads: THREADS,
        memory: &[],
        work: 2 * rows * width,
    }
    .run(device)?;
    Ok(y)
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Range {
    first: u32,
    count: u32,
}

/// A function of one or more tensors of one shape, element by element.
pub(super) fn elementwise(function: &'static str, inputs: &[&Tensor]) -> Result<Tensor> {
    let y = unwritten(inputs[0].device(), inputs[0].shape())?;
    let mut arguments: Vec<_> = inputs.iter().map(|x| Argument::Read(x)).collect();
    arguments.push(Argument::Write(&y));
    activation(function, &arguments, &y)?;
    Ok(y)
}

pub(super) fn gate_backward(
    function: &'static str,
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let new = || unwritten(gate.device(), gate.shape());
    let (dgate, dup) = (new()?, new()?);
    let arguments = [
        Argument::Read(gate),
        Argument::Read(up),
        Argument::Read(dy),
        Argument::Write(&dgate),
        Argument::Write(&dup),
    ];
    activation(function, &arguments, gate)?;
    Ok((dgate, dup))
}

fn activation(function: &'static str, arguments: &[Argument<'_>], like: &Tensor) -> Result<()> {
    let count = like.elem_count();
    Launch {
        file: File::Activations,
        function,
        arguments,
        constants: Range {
            first: 0,
            count: count as u32,
        },
        grid: (count.div_ceil(THREADS), 1, 1),
        threads: THREADS,
        memory: &[],
        work: 10 * count,
    }
    .run(like.device())
}

#[derive(Clone, Copy)]
#[repr(C)]
struct CrossEntropy {
    first_row: u32,
    vocabulary: u32,
    scale: f32,
    softcap: f32,
}

pub(super) fn cross_entropy(
    products: &Tensor,
    targets: &Tensor,
    scales: &Tensor,
    scale: f32,
    softcap: Option<f32>,
) -> Result<Tensor> {
    let losses = unwritten(products.device(), products.dim(0)?)?;
    let arguments = [
        Argument::Write(products),
        Argument::Read(targets),
        Argument::Read(scales),
        Argument::Write(&losses),
    ];
    losses_of("cross_entropy_f32", &arguments, products, scale, softcap)?;
    Ok(losses)
}

pub(super) fn token_losses(
    products: &Tensor,
    targets: &Tensor,
    scale: f32,
    softcap: Option<f32>,
) -> Result<Tensor> {
    let losses = unwritten(products.device(), products.dim(0)?)?;
    let arguments = [
        Argument::Read(products),
        Argument::Read(targets),
        Argument::Write(&losses),
    ];
    let function = "cross_entropy_losses_f32";
    losses_of(function, &arguments, products, scale, softcap)?;
    Ok(losses)
}

fn losses_of(
    function: &'static str,
    arguments: &[Argument<'_>],
    products: &Tensor,
    scale: f32,
    softcap: Option<f32>,
) -> Result<()> {
    let (rows, vocabulary) = products.dims2()?;
    let threads = threads_of(vocabulary);
    Launch {
        file: File::CrossEntropy,
        function,
        arguments,
        constants: CrossEntropy {
            first_row: 0,
            vocabulary: vocabulary as u32,
            scale,
            softcap: softcap.unwrap_or(0.0),
        },
        grid: (rows, 1, 1),
        threads,
        memory: &[8 * threads / 32],
        work: 10 * rows * vocabulary,
    }
    .run(products.device())
}

#[derive(Clone, Copy)]
#[repr(C)]
struct AdamWStep {
    first: u32,
    count: u32,
    total: u32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    gradient_scale: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
    decay: f32,
}

pub(super) fn adamw(
    parameter: &Tensor,
    moments: &Tensor,
    gradient: &Tensor,
    options: &AdamW,
) -> Result<()> {
    let (count, derived) = (parameter.elem_count(), options.derived());
    Launch {
        file: File::AdamW,
        function: "adamw_f32",
        arguments: &[
            Argument::Write(parameter),
            Argument::Write(moments),
            Argument::Read(gradient),
        ],
        constants: AdamWStep {
            first: 0,
            count: count as u32,
            total: count as u32,
            beta1: options.beta1 as f32,
            rest1: (1.0 - options.beta1) as f32,
            beta2: options.beta2 as f32,
            rest2: (1.0 - options.beta2) as f32,
            gradient_scale: options.gradient_scale as f32,
            rate: derived.rate as f32,
            root: derived.root as f32,
            epsilon: options.epsilon as f32,
            decay: derived.decay as f32,
        },
        grid: (count.div_ceil(THREADS), 1, 1),
        threads: THREADS,
        memory: &[],
        work: 10 * count,
    }
    .run(parameter.device())
}
