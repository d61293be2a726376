//! One side of the step benchmark: `lora_step FOLDER STEPS [WEIGHTS [PRODUCTS]]`, where `WEIGHTS` is what
//! the frozen model is held as: `float32`, `bfloat16`, `int8` or `nf4`, and `PRODUCTS` what its products are
//! computed in: `float32` or `bfloat16`.
//!
//! Trains the adapter in `FOLDER/adapter` over the model in `FOLDER` and prints its steps as one JSON line.
//! The other side is `tests/bench/peer.py`; `make bench` runs both in turn.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attune_data::Sample;
use attune_engine::{
    Control, Decoder, Schedule, TrainEvent, TrainOptions, WeightType, peak_memory, train,
};
use candle_core::{DType, Device};
use nix::sys::resource::{UsageWho, getrusage};

/// What the programs use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SAMPLES: usize = 2;
const LENGTH: usize = 512;
const VOCABULARY: usize = 32_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(steps)) = (arguments.next().map(PathBuf::from), arguments.next())
    else {
        return Err("usage: lora_step FOLDER STEPS [WEIGHTS [PRODUCTS]]".into());
    };
    let steps: usize = steps.parse()?;
    let weights = match arguments.next().as_deref() {
        None | Some("float32") => WeightType::Float(DType::F32),
        Some("bfloat16") => WeightType::Float(DType::BF16),
        Some("int8") => WeightType::Int8,
        Some("nf4") => WeightType::Nf4,
        Some(other) => return Err(format!("no weights are held as {other}").into()),
    };
    let mixed_precision = match arguments.next().as_deref() {
        None | Some("float32") => false,
        Some("bfloat16") => true,
        Some(other) => return Err(format!("no products are computed in {other}").into()),
    };
    let start = Moment::now();
    let mut decoder = Decoder::load(&folder, weights, &Device::Cpu, &mut |_| ())?;
    let loading = Moment::now().cpu.saturating_sub(start.cpu);
    decoder.load_adapter(&folder.join("adapter"))?;
    let samples: Vec<Sample> = (0..steps * SAMPLES)
        .map(|index| sample(index / SAMPLES, index % SAMPLES))
        .collect();

    let checkpoints = tempfile::tempdir()?;
    let mut losses = Vec::new();
    let mut moments = Vec::new();
    train(
        &mut decoder,
        &samples,
        &[],
        &options(mixed_precision),
        checkpoints.path(),
        &Control::default(),
        &mut |event, _| match event {
            TrainEvent::Started { .. } => moments.push(Moment::now()),
            TrainEvent::Step { loss, .. } => {
                losses.push(loss);
                moments.push(Moment::now());
            }
            _ => (),
        },
    )?;

    let seconds: Vec<f64> = moments
        .windows(2)
        .map(|pair| (pair[1].wall - pair[0].wall).as_secs_f64())
        .collect();
    let cpu_seconds: Vec<f64> = moments
        .windows(2)
        .map(|pair| pair[1].cpu.saturating_sub(pair[0].cpu).as_secs_f64())
        .collect();
    let line = serde_json::json!({
        "weight_bytes": decoder.spec().frozen_bytes(weights),
        "loading_cpu_seconds": loading.as_secs_f64(),
        "peak_memory": peak_memory(),
        "losses": losses,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens": SAMPLES * LENGTH,
        "threads": rayon::current_num_threads(),
        "versions": { "attune": env!("CARGO_PKG_VERSION") },
    });
    println!("{line}");
    Ok(())
}

/// What `peer.py` does: one optimiser step per two samples, in order, at a constant rate.
fn options(mixed_precision: bool) -> TrainOptions {
    TrainOptions {
        epochs: 1.0,
        batch_size: SAMPLES,
        grad_accumulation: 1,
        max_length: LENGTH,
        packing: false,
        shuffle: false,
        learning_rate: 1e-4,
        schedule: Schedule::Constant,
        warmup_epochs: 0.0,
        weight_decay: 0.0,
        gradient_clip: 1.0,
        mixed_precision,
        gradient_checkpointing: false,
        evaluation_epochs: 0.0,
        checkpoint_steps: 0,
        ..TrainOptions::default()
    }
}

/// Every token counts; `peer.py` has this formula too.
fn sample(step: usize, sample: usize) -> Sample {
    let token =
        |at: usize| (step * 7919 + sample * 104_729 + at * 31_337 + at * at * 17) % VOCABULARY;
    Sample {
        tokens: (0..LENGTH).map(|at| token(at) as u32).collect(),
        loss_mask: vec![true; LENGTH],
    }
}

struct Moment {
    wall: Instant,
    cpu: Duration,
}

impl Moment {
    fn now() -> Self {
        let cpu = getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
            let spent = |time: nix::sys::time::TimeVal| {
                Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
            };
            spent(usage.user_time()) + spent(usage.system_time())
        });
        Self {
            wall: Instant::now(),
            cpu,
        }
    }
}
