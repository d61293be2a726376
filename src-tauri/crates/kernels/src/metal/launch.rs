//! Compiling the embedded shaders, and giving them to the GPU by candle's command encoder.

use crate::dispatch::account;
use candle_core::op::BackpropOp;
use candle_core::{DType, Device, Error, MetalStorage, Result, Shape, Storage, Tensor, bail};
use candle_metal_kernels::metal::{ComputePipeline, Device as Gpu, Library};
use objc2_metal::{MTLCompileOptions, MTLLanguageVersion, MTLSize};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What every file is preceded by.
const COMMON: &str = include_str!("shaders/common.metal");

/// A file of shaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum File {
    Activations,
    AdamW,
    Attention,
    AttentionBackward,
    CrossEntropy,
    MatmulQuantised,
    RmsNorm,
    Rope,
}

impl File {
    /// Its source after what it stands on.
    fn source(self) -> String {
        let parts: &[&str] = match self {
            Self::Activations => &[include_str!("shaders/activations.metal")],
            Self::AdamW => &[include_str!("shaders/adamw.metal")],
            Self::Attention => &[include_str!("shaders/attention.metal")],
            Self::AttentionBackward => &[
                include_str!("shaders/attention.metal"),
                include_str!("shaders/attention_backward.metal"),
            ],
            Self::CrossEntropy => &[include_str!("shaders/cross_entropy.metal")],
            Self::MatmulQuantised => &[include_str!("shaders/matmul_quantised.metal")],
            Self::RmsNorm => &[include_str!("shaders/rms_norm.metal")],
            Self::Rope => &[include_str!("shaders/rope.metal")],
        };
        [&[COMMON], parts].concat().join("\n")
    }
}

/// What was compiled for each GPU, which the system's registry numbers: a file at a time, so that
/// one that a compiler refuses costs its own functions alone.
#[derive(Default)]
struct Compiled {
    libraries: HashMap<(u64, File), Library>,
    pipelines: HashMap<(u64, &'static str), ComputePipeline>,
}

static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

fn pipeline(gpu: &Gpu, file: File, function: &'static str) -> Result<ComputePipeline> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let id = gpu.registry_id();
    if let Some(pipeline) = compiled.pipelines.get(&(id, function)) {
        return Ok(pipeline.clone());
    }
    let failed = |error| Error::Msg(format!("the shader {function} of {file:?}: {error}"));
    let library = if let Some(library) = compiled.libraries.get(&(id, file)) {
        library.clone()
    } else {
        let options = MTLCompileOptions::new();
        options.setLanguageVersion(MTLLanguageVersion::Version3_1);
        #[expect(deprecated, reason = "what takes its place begins with macOS 15")]
        options.setFastMathEnabled(false);
        let library = gpu
            .new_library_with_source(&file.source(), Some(&options))
            .map_err(failed)?;
        compiled.libraries.insert((id, file), library.clone());
        library
    };
    let found = library.get_function(function, None).map_err(failed)?;
    let pipeline = gpu
        .new_compute_pipeline_state_with_function(&found)
        .map_err(failed)?;
    compiled.pipelines.insert((id, function), pipeline.clone());
    Ok(pipeline)
}

/// A tensor of f32 with no numbers in it yet.
pub(super) fn unwritten(device: &Device, shape: impl Into<Shape>) -> Result<Tensor> {
    let (shape, metal) = (shape.into(), device.as_metal_device()?);
    let count = shape.elem_count();
    let buffer = metal.new_buffer(count, DType::F32, "attune")?;
    let storage = MetalStorage::new(buffer, metal.clone(), count, DType::F32);
    let storage = Storage::Metal(storage);
    Ok(Tensor::from_storage(
        storage,
        shape,
        BackpropOp::none(),
        false,
    ))
}

/// A tensor as a shader takes it.
#[derive(Clone, Copy)]
pub(super) enum Argument<'a> {
    Read(&'a Tensor),
    /// Also where it is read before.
    Write(&'a Tensor),
}

/// One dispatch of a shader.
pub(super) struct Launch<'a, C> {
    pub(super) file: File,
    pub(super) function: &'static str,
    /// Bound in this order from 0 on.
    pub(super) arguments: &'a [Argument<'a>],
    /// Bound after them; 4-byte fields alone.
    pub(super) constants: C,
    /// Threadgroups.
    pub(super) grid: (usize, usize, usize),
    /// Threads of a group.
    pub(super) threads: usize,
    /// Bytes of threadgroup memory at each index.
    pub(super) memory: &'a [usize],
    /// About how many multiply-adds it is.
    pub(super) work: usize,
}

impl<C: Copy> Launch<'_, C> {
    /// Hands it to the GPU, which runs it after what it was given before.
    pub(super) fn run(self, device: &Device) -> Result<()> {
        account(device, self.work)?;
        let metal = device.as_metal_device()?;
        let pipeline = pipeline(metal.metal_device(), self.file, self.function)?;
        let most = pipeline.max_total_threads_per_threadgroup();
        if self.threads > most {
            bail!(
                "{} has groups of {} threads, on this GPU they have {most} at most",
                self.function,
                self.threads
            );
        }
        let commands = metal.command_encoder()?;
        commands.set_compute_pipeline_state(&pipeline);
        let encoder = commands.as_ref();
        for (index, argument) in self.arguments.iter().enumerate() {
            let (Argument::Read(tensor) | Argument::Write(tensor)) = argument;
            let (storage, layout) = tensor.storage_and_layout();
            let Storage::Metal(storage) = &*storage else {
                bail!("{}: a tensor that is not on the GPU", self.function);
            };
            let buffer = Some(storage.buffer());
            let offset = layout.start_offset() * tensor.dtype().size_in_bytes();
            match argument {
                Argument::Read(_) => encoder.set_input_buffer(index, buffer, offset),
                Argument::Write(_) => encoder.set_output_buffer(index, buffer, offset),
            }
        }
        encoder.set_bytes(self.arguments.len(), &self.constants);
        for (index, bytes) in self.memory.iter().enumerate() {
            encoder.set_threadgroup_memory_length(index, bytes.next_multiple_of(16));
        }
        let size = |(width, height, depth)| MTLSize {
            width,
            height,
            depth,
        };
        encoder.dispatch_thread_groups(size(self.grid), size((self.threads, 1, 1)));
        Ok(())
    }
}
