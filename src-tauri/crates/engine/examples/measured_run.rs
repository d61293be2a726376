//! One run in a process of its own, measured: what `tests/bench` times and weighs.
//!
//! - `measured_run prepare FOLDER CONFIG` writes random weights of a `config.json` given as JSON.
//! - `measured_run run FOLDER REQUEST` trains the model in `FOLDER` as the JSON request says and
//!   prints one line of JSON: losses, seconds, and memory, predicted and measured.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::alloc::{GlobalAlloc, Layout};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attune_data::{Sample, Tokenizer, pack};
use attune_engine::{
    Allocator, Answers, Control, DType, Decoder, Device, Footprint, LoraConfig, LoraInit,
    ModelSpec, OptimizerKind, SamplingOptions, Schedule, TrainEvent, TrainOptions, WeightType,
    Workload, generate, peak_memory, train,
};
use nix::sys::resource::{UsageWho, getrusage};
use serde::Deserialize;

/// What the programs use, or mimalloc alone where `ATTUNE_ALLOCATOR` is set, to see what the pool
/// for large blocks buys; and how many bytes it has handed out.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static GENERAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST_HELD: AtomicUsize = AtomicUsize::new(0);

fn held(more: usize) {
    let held = HELD.fetch_add(more, Ordering::Relaxed) + more;
    MOST_HELD.fetch_max(held, Ordering::Relaxed);
}

/// Asked of the system itself: the standard library would allocate.
fn served_by() -> &'static dyn GlobalAlloc {
    static GENERALLY: AtomicU8 = AtomicU8::new(2);
    let mut generally = GENERALLY.load(Ordering::Relaxed);
    if generally == 2 {
        // SAFETY: the name ends with a zero byte; no thread changes the environment.
        let value = unsafe { nix::libc::getenv(c"ATTUNE_ALLOCATOR".as_ptr()) };
        generally = u8::from(!value.is_null());
        GENERALLY.store(generally, Ordering::Relaxed);
    }
    if generally == 1 { &GENERAL } else { &Allocator }
}

// SAFETY: every call goes on as it came, always to the same allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size());
        // SAFETY: the caller's.
        unsafe { served_by().alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        held(layout.size());
        // SAFETY: the caller's.
        unsafe { served_by().alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        held(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { served_by().realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { served_by().dealloc(pointer, layout) }
    }
}

/// A run.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    steps: usize,
    /// `float32`, `bfloat16`, `float16`, `int8`, `nf4`, or `stored`: as a GGUF file holds them.
    weights: String,
    /// A PEFT folder whose adapter goes on.
    adapter: Option<PathBuf>,
    /// A fresh adapter. Without either, every weight is trained.
    lora: Option<Lora>,
    optimizer: OptimizerKind,
    /// Rows of a micro-batch.
    batch: usize,
    /// Tokens of a row.
    length: usize,
    /// A JSON list of rows of tokens, instead of rows made up of `length`.
    rows: Option<PathBuf>,
    packing: bool,
    recompute: bool,
    /// Operands of products rounded to bf16.
    mixed_precision: bool,
    /// Measures a validation loss over so many rows after the last step.
    evaluate: usize,
    /// Generates so many tokens after a row after the last step.
    answer: usize,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            steps: 2,
            weights: "float32".to_owned(),
            adapter: None,
            lora: None,
            optimizer: OptimizerKind::AdamW,
            batch: 2,
            length: 512,
            rows: None,
            packing: false,
            recompute: false,
            mixed_precision: false,
            evaluate: 0,
            answer: 0,
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lora {
    r: usize,
    dora: bool,
    pissa: bool,
    dropout: f64,
    modules_to_save: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            r: 8,
            dora: false,
            pissa: false,
            dropout: 0.0,
            modules_to_save: Vec::new(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare", folder, config] => prepare(Path::new(folder), config),
        ["run", folder, request] => run(Path::new(folder), &serde_json::from_str(request)?),
        _ => Err("usage: measured_run prepare FOLDER CONFIG | run FOLDER REQUEST".into()),
    }
}

fn prepare(folder: &Path, config: &str) -> Result<(), Box<dyn Error>> {
    let spec = ModelSpec::from_json(&serde_json::from_str(config)?)?;
    Decoder::random(&spec, 0, &Device::Cpu)?.save_folder(folder, DType::F32, None)?;
    Ok(())
}

fn run(folder: &Path, request: &Request) -> Result<(), Box<dyn Error>> {
    let weights = match request.weights.as_str() {
        "float32" => WeightType::Float(DType::F32),
        "bfloat16" => WeightType::Float(DType::BF16),
        "float16" => WeightType::Float(DType::F16),
        "int8" => WeightType::Int8,
        "nf4" => WeightType::Nf4,
        "stored" => WeightType::Stored,
        other => return Err(format!("no weights are held as {other}").into()),
    };
    let before = resident();
    let start = Moment::now();
    let mut decoder = Decoder::load(folder, weights, &Device::Cpu, &mut |_| ())?;
    let loading = Moment::now().cpu.saturating_sub(start.cpu);
    let loaded = (resident(), peak_memory());
    match (&request.adapter, &request.lora) {
        (Some(adapter), _) => {
            decoder.load_adapter(adapter)?;
        }
        (None, Some(lora)) => decoder.attach_lora(&lora.config(), 1)?,
        (None, None) => decoder.make_trainable()?,
    }
    let vocabulary = decoder.spec().vocab_size;
    let rows = match &request.rows {
        None => {
            let row = |index| {
                made_up(
                    index / request.batch,
                    index % request.batch,
                    request,
                    vocabulary,
                )
            };
            (0..request.steps * request.batch).map(row).collect()
        }
        Some(path) => rows(path)?,
    };
    let validation: Vec<Sample> = (0..request.evaluate)
        .map(|index| made_up(request.steps, index, request, vocabulary))
        .collect();
    let options = options(request);
    let tokens = tokens_of_steps(&rows, request);
    let (losses, moments) = trained(&mut decoder, &rows, &validation, &options, request)?;
    let apart = |of: &dyn Fn(&Moment, &Moment) -> Duration| -> Vec<f64> {
        let pairs = moments.windows(2);
        pairs
            .map(|pair| of(&pair[0], &pair[1]).as_secs_f64())
            .collect()
    };
    let footprint = Footprint::of(decoder.spec(), &workload(request, &decoder, weights))?;
    let parts: serde_json::Map<_, _> = footprint
        .parts()
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), (*bytes).into()))
        .collect();
    let line = serde_json::json!({
        "parameters": decoder.spec().parameter_count(),
        "weight_bytes": decoder.spec().frozen_bytes(weights),
        "loading_cpu_seconds": loading.as_secs_f64(),
        "resident_before": before,
        "resident_loaded": loaded.0,
        "peak_loading": loaded.1,
        "peak_memory": peak_memory(),
        "peak_heap": MOST_HELD.load(Ordering::Relaxed),
        "predicted": footprint.total() - footprint.program + before,
        "predicted_parts": parts,
        "losses": losses,
        "seconds": apart(&|from, to| to.wall - from.wall),
        "cpu_seconds": apart(&|from, to| to.cpu.saturating_sub(from.cpu)),
        "tokens": tokens,
        "threads": rayon::current_num_threads(),
        "versions": { "attune": env!("CARGO_PKG_VERSION") },
    });
    println!("{line}");
    Ok(())
}

/// Runs; the loss of each step, and when it was done.
fn trained(
    decoder: &mut Decoder,
    rows: &[Sample],
    validation: &[Sample],
    options: &TrainOptions,
    request: &Request,
) -> Result<(Vec<f64>, Vec<Moment>), Box<dyn Error>> {
    let checkpoints = tempfile::tempdir()?;
    let (mut losses, mut moments) = (Vec::new(), Vec::new());
    let mut answered = Ok(());
    train(
        decoder,
        rows,
        validation,
        options,
        checkpoints.path(),
        &Control::default(),
        &mut |event, decoder| match event {
            TrainEvent::Started { .. } => moments.push(Moment::now()),
            TrainEvent::Step { loss, .. } => {
                losses.push(loss);
                moments.push(Moment::now());
                if losses.len() == request.steps && request.answer > 0 {
                    answered = answer(decoder, &rows[0].tokens, request.answer);
                }
            }
            _ => (),
        },
    )?;
    answered?;
    Ok((losses, moments))
}

/// Generates after a prompt, whatever the words.
fn answer(decoder: &Decoder, prompt: &[u32], length: usize) -> Result<(), Box<dyn Error>> {
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
        "decoder": null, "model": { "type": "WordLevel", "vocab": { "t": 0 }, "unk_token": "t" },
    });
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string())?;
    let tokenizer = Tokenizer::from_folder(folder.path())?;
    let options = SamplingOptions {
        max_new_tokens: length,
        ..SamplingOptions::default()
    };
    let never = AtomicBool::new(false);
    let prompts = [prompt.to_vec()];
    generate(
        decoder,
        &tokenizer,
        &prompts,
        &options,
        &never,
        &mut |_, _| (),
    )?;
    Ok(())
}

/// What `peer.py` does: one optimiser step per batch, in order, at a constant rate.
fn options(request: &Request) -> TrainOptions {
    TrainOptions {
        max_steps: Some(request.steps as u64),
        batch_size: request.batch,
        grad_accumulation: 1,
        max_length: request.length,
        packing: request.packing,
        shuffle: false,
        learning_rate: 1e-4,
        schedule: Schedule::Constant,
        optimizer: request.optimizer,
        gradient_clip: 1.0,
        gradient_checkpointing: request.recompute,
        mixed_precision: request.mixed_precision,
        evaluation_epochs: if request.evaluate > 0 { 1.0 } else { 0.0 },
        ..TrainOptions::default()
    }
}

impl Lora {
    fn config(&self) -> LoraConfig {
        LoraConfig {
            r: self.r,
            lora_alpha: 2.0 * self.r as f64,
            use_dora: self.dora,
            lora_dropout: self.dropout,
            modules_to_save: self.modules_to_save.clone(),
            init_lora_weights: if self.pissa {
                LoraInit::Pissa
            } else {
                LoraInit::Default
            },
            ..LoraConfig::default()
        }
    }
}

fn workload<'a>(request: &Request, decoder: &'a Decoder, weights: WeightType) -> Workload<'a> {
    let most = (request.batch * request.length) as u64;
    Workload {
        lora: decoder.lora(),
        optimizer: request.optimizer,
        weights,
        tokens: most,
        recompute: request.recompute,
        evaluation_tokens: most.min((request.evaluate * request.length) as u64),
        answers: (request.answer > 0).then(|| Answers {
            sequences: 1,
            prompt: request.length as u64,
            length: (request.length + request.answer) as u64,
        }),
    }
}

/// A row in which every token counts; `peer.py` has this formula too.
fn made_up(step: usize, row: usize, request: &Request, vocabulary: usize) -> Sample {
    let token = |at: usize| (step * 7919 + row * 104_729 + at * 31_337 + at * at * 17) % vocabulary;
    Sample {
        tokens: (0..request.length).map(|at| token(at) as u32).collect(),
        loss_mask: vec![true; request.length],
    }
}

fn rows(path: &Path) -> Result<Vec<Sample>, Box<dyn Error>> {
    let rows: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(path)?)?;
    let sample = |tokens: Vec<u32>| Sample {
        loss_mask: vec![true; tokens.len()],
        tokens,
    };
    Ok(rows.into_iter().map(sample).collect())
}

/// How many tokens each step has.
fn tokens_of_steps(rows: &[Sample], request: &Request) -> Vec<usize> {
    let lengths: Vec<usize> = rows.iter().map(Sample::len).collect();
    let lengths = if request.packing {
        let order: Vec<usize> = (0..rows.len()).collect();
        let packed = pack(&lengths, &order, request.length).into_iter();
        let of_row = |row: Vec<usize>| row.iter().map(|sample| lengths[*sample]).sum();
        packed.map(of_row).collect()
    } else {
        lengths
    };
    let steps = lengths.chunks(request.batch).take(request.steps);
    steps.map(|step| step.iter().sum()).collect()
}

/// Bytes of this process that lie in memory; 0 where the system does not say.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
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
