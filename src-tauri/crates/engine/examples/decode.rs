//! One side of the generation benchmark: `decode MODEL PROMPT NEW [WEIGHTS]`, the numbers of tokens
//! that are fed at once and that are then generated one by one. `WEIGHTS` is `float32`, `bfloat16`,
//! a block type of ggml, such as `Q8_0`, or `stored`: as a GGUF file holds them.
//!
//! Prints the times as one JSON line. The other side is `tests/bench/decode.py`, which runs both.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use attune_data::Tokenizer;
use attune_engine::{
    Allocator, Decoder, GgmlType, SamplingOptions, WeightType, generate, peak_memory,
};
use candle_core::{DType, Device};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Map, Value, json};

/// What the programs use.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        let usage = "usage: decode MODEL PROMPT NEW [WEIGHTS]";
        arguments
            .next()
            .ok_or_else(|| format!("no {what}; {usage}"))
    };
    let model = PathBuf::from(next("model")?);
    let (prompt, new): (usize, usize) = (next("prompt")?.parse()?, next("new")?.parse()?);
    let weights = match next("weights").as_deref() {
        Err(_) | Ok("float32") => WeightType::Float(DType::F32),
        Ok("bfloat16") => WeightType::Float(DType::BF16),
        Ok("stored") => WeightType::Stored,
        Ok(other) => GgmlType::ALL
            .into_iter()
            .find(|ty| ty.name() == other)
            .map(WeightType::Ggml)
            .ok_or_else(|| format!("no weights are held as {other}"))?,
    };
    let decoder = Decoder::load(&model, weights, &Device::Cpu, &mut |_| ())?;
    let vocabulary = decoder.spec().vocab_size;
    let tokenizer = tokenizer(vocabulary)?;
    let tokens: Vec<u32> = (0..prompt).map(|at| token(at, vocabulary)).collect();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut moments = vec![Moment::now()];
        let options = SamplingOptions {
            max_new_tokens: new + 1,
            ..SamplingOptions::default()
        };
        let prompts = [tokens.clone()];
        let never = AtomicBool::new(false);
        generate(
            &decoder,
            &tokenizer,
            &prompts,
            &options,
            &never,
            &mut |_, _| {
                moments.push(Moment::now());
            },
        )?;
        let [start, first, .., last] = moments.as_slice() else {
            return Err("nothing was generated".into());
        };
        runs.push(json!({
            "prefill": between(start, first),
            "decode": between(first, last),
            "pieces": moments.len() - 2,
        }));
    }
    let line = json!({
        "runs": runs,
        "prompt": prompt,
        "new": new,
        "peak_memory": peak_memory(),
        "threads": rayon::current_num_threads(),
        "versions": { "attune": env!("CARGO_PKG_VERSION") },
    });
    println!("{line}");
    Ok(())
}

/// `decode.py` has this formula too.
fn token(at: usize, vocabulary: usize) -> u32 {
    ((at * 31_337 + at * at * 17) % vocabulary) as u32
}

/// A word for each token, so that each is a piece of text.
fn tokenizer(vocabulary: usize) -> Result<Tokenizer, Box<dyn Error>> {
    let words: Map<String, Value> = (0..vocabulary)
        .map(|id| (format!("t{id}"), json!(id)))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
        "decoder": null, "model": { "type": "WordLevel", "vocab": words, "unk_token": "t0" },
    });
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string())?;
    Ok(Tokenizer::from_folder(folder.path())?)
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

/// Wall-clock and CPU seconds.
fn between(start: &Moment, end: &Moment) -> [f64; 2] {
    let wall = end.wall - start.wall;
    let cpu = end.cpu.saturating_sub(start.cpu);
    [wall, cpu].map(|time| time.as_secs_f64())
}
