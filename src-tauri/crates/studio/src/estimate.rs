//! What a run would take: memory by part, steps, tokens, time; and what fits on this machine.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Map, Value, json};

use crate::Studio;
use crate::api::{
    Capacity, Dataset, Estimate, Experiment, ExperimentStartRequest, GpuBackendKind,
    MemoryEstimate, MemoryPart, MethodFit, Session, Suggestion,
};
use crate::datasets;
use crate::error::Result;
use crate::experiments::{Plan, Rows, space_needed};
use crate::models;
use crate::preferences;
use crate::settings::{BackboneDtype, ExperimentConfig, to_yaml};
use attune_data::Tokenizer;
use attune_engine::{Answers, Footprint, ModelSpec, OptimizerKind, Workload, has_bf16};

/// Share of the machine's memory that a run may use: the system and the window want the rest.
const USABLE: f64 = 0.85;

/// Conversations that are tokenised to know how long they are.
const MEASURED: usize = 96;

/// Share of the processor's best matrix speed that a step reaches, measured on LoRA steps of a
/// 213 M model (docs/performance.md).
const EFFICIENCY: f64 = 0.55;

/// Says what the run of the request would take.
pub(crate) fn estimate(
    studio: &Studio,
    request: ExperimentStartRequest,
    session: &mut Session<'_>,
) -> Result<Estimate> {
    let config = Plan::new(studio, &request, session)?.config();
    let model = models::find(studio, &config.model)?;
    let spec = ModelSpec::from_folder(&model.folder)?;
    let (store, home) = (studio.store()?, studio.home());
    let dataset = store.dataset(&config.dataset, home)?;
    let rows = Rows::choose(&config, dataset.conversations as usize);
    let validation = match &config.validation_dataset {
        Some(validation) => store.dataset(validation, home)?.conversations,
        None => rows.validation.len() as u64,
    };
    let lengths = lengths(studio, &dataset, &model.folder, &config, session)?;
    let course = Course::of(&config, rows.train.len() as u64, &lengths);
    let usable = usable(studio);
    let samples = Samples {
        longest: lengths.longest,
        held_out: (validation as f64 * lengths.mean) as u64,
    };
    let memory = memory_of(&spec, &config, samples, usable)?;
    session.check()?;
    let busy = !store.reap(home)?.is_empty();
    let (kind, device_memory) = studio.device_memory();
    let earlier = earlier(&store.experiments(home)?, &config, kind);
    let (tokens_per_second, rate_reason) =
        earlier.unwrap_or_else(|| measured(studio, kind, &config, &spec, busy));
    let mut notes = Vec::new();
    if kind != GpuBackendKind::Cpu {
        notes.push("The memory is what the processor's kernels take; compositions on a GPU take more, attention most of all.".to_owned());
    }
    // A device that cannot be opened says so elsewhere.
    let has_bfloat16 = || {
        studio
            .open_device()
            .map_or(true, |device| has_bf16(&device))
    };
    let told = crate::device::notes(kind, has_bfloat16, &config, &spec);
    notes.extend(told.into_iter().map(str::to_owned));
    let free = device_memory.available;
    if memory.fits && memory.total > free {
        notes.push(format!(
            "Only {} GB of memory are free now. Close other programs before a run this large.",
            giga(free)
        ));
    }
    if lengths.cut > 0.0 {
        notes.push(format!(
            "About {:.0} % of the conversations are longer than {} tokens and are cut.",
            (lengths.cut * 100.0).max(1.0),
            config.max_length
        ));
    }
    Ok(Estimate {
        suggestions: suggestions(&spec, &config, samples, &memory)?,
        disk: space_needed(&spec, &config)?,
        config: to_yaml(&config)?,
        train_conversations: rows.train.len() as u64,
        validation_conversations: validation,
        steps: course.steps,
        tokens: course.tokens,
        seconds: course.tokens as f64 / tokens_per_second.max(1e-9),
        tokens_per_second,
        rate_reason,
        memory,
        notes,
    })
}

/// Bytes a run may use: the person's limit, else a share of the memory of what computes. Preferences that
/// cannot be read set no limit: half the program would be unusable for it.
pub(crate) fn usable(studio: &Studio) -> u64 {
    let machine = (studio.device_memory().1.total as f64 * USABLE) as u64;
    preferences::load(studio)
        .ok()
        .and_then(|preferences| preferences.memory_limit)
        .map_or(machine, |limit| limit.min(machine))
}

/// How long the conversations of a dataset are for a model, from a sample of them.
struct Lengths {
    /// Tokens on average, cut at the maximum.
    mean: f64,
    /// Tokens of the longest, cut at the maximum.
    longest: u64,
    /// Share of those that are cut.
    cut: f64,
}

/// Token counts of sampled conversations, by model folder and dataset: a form asks again with
/// every key, and a tokenizer takes long to read.
pub(crate) type Counts = Mutex<HashMap<(PathBuf, String), Arc<Vec<usize>>>>;

fn lengths(
    studio: &Studio,
    dataset: &Dataset,
    model: &Path,
    config: &ExperimentConfig,
    session: &Session<'_>,
) -> Result<Lengths> {
    let key = (model.to_owned(), dataset.id.clone());
    let known = lock(&studio.counts).get(&key).cloned();
    let counts = if let Some(counts) = known {
        counts
    } else {
        let tokenizer = Tokenizer::from_folder(model)?;
        session.check()?;
        let counts = datasets::spread(dataset, MEASURED)?
            .iter()
            .filter_map(|one| Some(tokenizer.sample(one, usize::MAX).ok()?.len()))
            .collect();
        let counts = Arc::new(counts);
        lock(&studio.counts).insert(key, Arc::clone(&counts));
        counts
    };
    session.check()?;
    let limit = config.max_length;
    let all = counts.len().max(1) as f64;
    let kept = counts.iter().map(|count| (*count).min(limit));
    let sampled = kept.clone().max().unwrap_or(limit);
    // A sample may miss the longest: a quarter more is allowed for, never more than the cut.
    let longest = if counts.len() as u64 == dataset.conversations {
        sampled
    } else {
        (sampled + sampled / 4).min(limit)
    };
    Ok(Lengths {
        mean: kept.sum::<usize>() as f64 / all,
        longest: longest as u64,
        cut: counts.iter().filter(|count| **count > limit).count() as f64 / all,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Steps and tokens of a run.
struct Course {
    steps: u64,
    tokens: u64,
}

impl Course {
    fn of(config: &ExperimentConfig, conversations: u64, lengths: &Lengths) -> Self {
        let tokens_per_epoch = conversations as f64 * lengths.mean;
        let per_row = if config.packing {
            (config.max_length as f64 / lengths.mean.max(1.0)).max(1.0)
        } else {
            1.0
        };
        let rows = (conversations as f64 / per_row).ceil();
        let per_step = (config.batch_size * config.grad_accumulation) as f64;
        let steps_per_epoch = (rows / per_step).ceil().max(1.0);
        let steps = config
            .max_steps
            .unwrap_or_else(|| (config.epochs * steps_per_epoch).ceil() as u64);
        Self {
            steps,
            tokens: (steps as f64 / steps_per_epoch * tokens_per_epoch) as u64,
        }
    }
}

/// Tokens of the samples that decide how much memory a run takes.
#[derive(Clone, Copy)]
struct Samples {
    /// Of the longest.
    longest: u64,
    /// Of all that are held out.
    held_out: u64,
}

impl Samples {
    /// As many as the settings allow.
    fn most(config: &ExperimentConfig) -> Self {
        Self {
            longest: config.max_length as u64,
            held_out: u64::MAX,
        }
    }

    fn cut(self, config: &ExperimentConfig) -> Self {
        Self {
            longest: self.longest.min(config.max_length as u64),
            ..self
        }
    }
}

/// Bytes of a run whose longest sample has `longest` tokens, and which is measured on `held_out`.
pub(crate) fn predicted(
    spec: &ModelSpec,
    config: &ExperimentConfig,
    longest: u64,
    held_out: u64,
) -> Result<u64> {
    let samples = Samples { longest, held_out };
    Ok(memory_of(spec, config, samples, u64::MAX)?.total)
}

/// The memory of a run over such samples.
fn memory_of(
    spec: &ModelSpec,
    config: &ExperimentConfig,
    samples: Samples,
    usable: u64,
) -> Result<MemoryEstimate> {
    let adapter = config.adapter()?;
    let (batch, longest) = (config.batch_size as u64, samples.longest);
    let most = config.max_length as u64;
    let row = if config.packing { most } else { longest };
    let evaluates = config.evaluation_epochs > 0.0 || config.evaluate_before_training;
    let answers = Answers {
        sequences: config.sample_prompts as u64,
        prompt: longest,
        length: longest + config.max_length_inference as u64,
    };
    let mut footprint = Footprint::of(
        spec,
        &Workload {
            lora: adapter.as_ref(),
            optimizer: config.optimizer,
            weights: config.frozen_weights(spec),
            tokens: row * batch,
            recompute: config.gradient_checkpointing,
            evaluation_tokens: if evaluates {
                samples.held_out.min(batch * most)
            } else {
                0
            },
            answers: (samples.held_out > 0 && answers.sequences > 0).then_some(answers),
        },
    )?;
    if config.paged_optimizer {
        let paged = spec.paged_bytes(adapter.as_ref(), config.optimizer)?;
        footprint.optimizer = footprint.optimizer.min(paged);
    }
    // What people can do something about, each with a colour of its own in the window.
    let parts = [
        ("Weights", footprint.weights),
        ("Adapter", footprint.adapter),
        ("Gradients", footprint.gradients),
        ("Optimiser", footprint.optimizer),
        ("Activations", footprint.activations + footprint.block),
        ("Logits", footprint.logits),
        ("Cache", footprint.cache),
        (
            "Program",
            footprint.copy + footprint.kernels + footprint.small + footprint.program,
        ),
    ];
    Ok(MemoryEstimate {
        parts: parts
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| MemoryPart {
                name: name.to_owned(),
                bytes,
            })
            .collect(),
        total: footprint.total(),
        usable,
        fits: footprint.total() <= usable,
    })
}

/// Changes that make a run smaller, offered when it takes more than three quarters of what there
/// is: those that change nothing about the result first.
fn suggestions(
    spec: &ModelSpec,
    config: &ExperimentConfig,
    samples: Samples,
    memory: &MemoryEstimate,
) -> Result<Vec<Suggestion>> {
    if memory.total <= memory.usable / 4 * 3 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut offer =
        |title: String, settings: &[(&str, Value)], changed: ExperimentConfig| -> Result<()> {
            let after = memory_of(spec, &changed, samples.cut(&changed), memory.usable)?;
            if after.total < memory.total {
                found.push(Suggestion {
                    title,
                    settings: settings
                        .iter()
                        .map(|(key, value)| ((*key).to_owned(), value.clone()))
                        .collect::<Map<_, _>>(),
                    saves: memory.total - after.total,
                    fits: after.fits,
                });
            }
            Ok(())
        };
    let with = |change: &dyn Fn(&mut ExperimentConfig)| {
        let mut changed = config.clone();
        change(&mut changed);
        changed
    };
    if !config.gradient_checkpointing {
        offer(
            "Recompute activations".to_owned(),
            &[("gradient_checkpointing", json!(true))],
            with(&|config| config.gradient_checkpointing = true),
        )?;
    }
    if config.batch_size > 1 {
        let (batch, accumulation) = (
            config.batch_size.div_ceil(2),
            (config.grad_accumulation * 2).min(256),
        );
        offer(
            format!("Batch {batch}, accumulated {accumulation} times"),
            &[
                ("batch_size", json!(batch)),
                ("grad_accumulation", json!(accumulation)),
            ],
            with(&|config| {
                config.batch_size = batch;
                config.grad_accumulation = accumulation;
            }),
        )?;
    }
    if config.lora && config.backbone_dtype == BackboneDtype::Float32 {
        offer(
            "Hold weights in bfloat16".to_owned(),
            &[("backbone_dtype", json!("bfloat16"))],
            with(&|config| config.backbone_dtype = BackboneDtype::Bfloat16),
        )?;
    }
    if config.lora && config.backbone_dtype != BackboneDtype::Nf4 {
        offer(
            "Hold weights in 4 bits (QLoRA)".to_owned(),
            &[("backbone_dtype", json!("nf4"))],
            with(&|config| config.backbone_dtype = BackboneDtype::Nf4),
        )?;
    }
    if !config.lora && !config.paged_optimizer {
        offer(
            "Page the optimiser to disk".to_owned(),
            &[("paged_optimizer", json!(true))],
            with(&|config| config.paged_optimizer = true),
        )?;
    }
    if config.max_length > 64 {
        let half = config.max_length / 2;
        offer(
            format!("Cut at {half} tokens"),
            &[("max_length", json!(half))],
            with(&|config| config.max_length = half),
        )?;
    }
    if !config.lora {
        offer(
            "Train an adapter (LoRA)".to_owned(),
            &[("lora", json!(true))],
            with(&|config| config.lora = true),
        )?;
        if config.optimizer == OptimizerKind::AdamW {
            offer(
                "Remember gradients in 8 bits".to_owned(),
                &[("optimizer", json!("AdamW8bit"))],
                with(&|config| config.optimizer = OptimizerKind::AdamW8bit),
            )?;
        }
    }
    Ok(found)
}

/// Tokens per second of the last run of the same kind on the same kind of device.
fn earlier(
    experiments: &[Experiment],
    config: &ExperimentConfig,
    device: GpuBackendKind,
) -> Option<(f64, String)> {
    let method = if config.lora { "lora" } else { "full" };
    experiments.iter().find_map(|one| {
        let same = one.model == config.model
            && one.method == method
            && one.device == Some(device)
            && one.step > 0;
        one.tokens_per_second
            .filter(|rate| same && *rate > 0.0)
            .map(|rate| (rate, format!("As fast as `{}` was.", one.name)))
    })
}

/// Tokens per second from the speed of what computes.
fn measured(
    studio: &Studio,
    kind: GpuBackendKind,
    config: &ExperimentConfig,
    spec: &ModelSpec,
    busy: bool,
) -> (f64, String) {
    let passes = match (config.lora, config.gradient_checkpointing) {
        (true, false) => 4.0,
        (true, true) | (false, false) => 6.0,
        (false, true) => 8.0,
    };
    let operations = passes * spec.matrix_parameters() as f64;
    (
        speed(studio, kind, busy) * EFFICIENCY / operations,
        "From this machine's matrix speed; the first run will measure it.".to_owned(),
    )
}

/// Floating-point operations per second of matrix products on a kind of device, which computes,
/// measured once while nothing else does.
fn speed(studio: &Studio, kind: GpuBackendKind, busy: bool) -> f64 {
    static SPEEDS: [OnceLock<f64>; GpuBackendKind::ALL.len()] =
        [const { OnceLock::new() }; GpuBackendKind::ALL.len()];
    const USUAL: f64 = 1e11;
    let speed = &SPEEDS[kind as usize];
    if busy {
        return speed.get().copied().unwrap_or(USUAL);
    }
    *speed.get_or_init(|| {
        let measured = studio.open_device().ok().and_then(|device| {
            let width = if device.is_cpu() { 1024 } else { 4096 };
            attune_engine::matrix_speed(&device, width).ok()
        });
        measured.unwrap_or(USUAL)
    })
}

fn giga(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e9)
}

/// The methods, the smallest in memory last: name, title, and the settings they mean.
fn methods() -> [(&'static str, &'static str, ExperimentConfig); 4] {
    let lora = ExperimentConfig::default();
    let half = ExperimentConfig {
        backbone_dtype: BackboneDtype::Bfloat16,
        ..lora.clone()
    };
    let quarter = ExperimentConfig {
        backbone_dtype: BackboneDtype::Nf4,
        ..lora.clone()
    };
    let full = ExperimentConfig {
        lora: false,
        ..lora.clone()
    };
    [
        ("full", "Full fine-tuning", full),
        ("lora", "LoRA", lora),
        ("lora_bfloat16", "LoRA on 16-bit weights", half),
        ("qlora", "QLoRA on 4-bit weights", quarter),
    ]
}

/// Which methods fit for a model, with the default settings.
pub(crate) fn fits(spec: &ModelSpec, usable: u64) -> Vec<MethodFit> {
    methods()
        .into_iter()
        .filter_map(|(method, title, config)| {
            let longest = config.max_length.min(spec.context()) as u64;
            let samples = Samples {
                longest,
                ..Samples::most(&config)
            };
            let memory = memory_of(spec, &config, samples, usable).ok()?;
            Some(MethodFit {
                method: method.to_owned(),
                title: title.to_owned(),
                bytes: memory.total,
                fits: memory.fits,
            })
        })
        .collect()
}

/// Models people tune, by size: hidden, intermediate, layers, heads, key-value heads, vocabulary.
const SIZES: [[usize; 6]; 10] = [
    [576, 1536, 30, 9, 3, 49_152],      // SmolLM2 135M
    [960, 2560, 32, 15, 5, 49_152],     // SmolLM2 360M
    [1024, 3072, 28, 16, 8, 151_936],   // Qwen3 0.6B
    [2048, 8192, 16, 32, 8, 128_256],   // Llama 3.2 1B
    [2048, 6144, 28, 16, 8, 151_936],   // Qwen3 1.7B
    [3072, 8192, 28, 24, 8, 128_256],   // Llama 3.2 3B
    [2560, 9728, 36, 32, 8, 151_936],   // Qwen3 4B
    [4096, 14_336, 32, 32, 8, 128_256], // Llama 3.1 8B
    [5120, 17_408, 40, 40, 8, 151_936], // Qwen3 14B
    [5120, 25_600, 64, 64, 8, 151_936], // Qwen3 32B
];

/// The largest of the usual models that each method can tune here.
pub(crate) fn capacity(usable: u64) -> Vec<Capacity> {
    let specs: Vec<ModelSpec> = SIZES.iter().filter_map(sized).collect();
    methods()
        .into_iter()
        .filter_map(|(method, title, config)| {
            let samples = Samples::most(&config);
            let largest = specs.iter().rfind(|spec| {
                memory_of(spec, &config, samples, usable).is_ok_and(|memory| memory.fits)
            })?;
            Some(Capacity {
                method: method.to_owned(),
                title: title.to_owned(),
                parameters: largest.parameter_count(),
            })
        })
        .collect()
}

fn sized(size: &[usize; 6]) -> Option<ModelSpec> {
    let [hidden, middle, layers, heads, key_value_heads, vocabulary] = *size;
    let config = json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": middle,
        "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads, "head_dim": if hidden < 2048 { 64 } else { 128 },
        "vocab_size": vocabulary, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "hidden_act": "silu", "tie_word_embeddings": hidden < 3072,
    });
    ModelSpec::from_json(&config).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_a_model() {
        let counts: Vec<u64> = SIZES
            .iter()
            .filter_map(sized)
            .map(|spec| spec.parameter_count())
            .collect();
        assert_eq!(counts.len(), SIZES.len());
        assert!(counts.is_sorted(), "{counts:?}");
    }

    #[test]
    fn more_memory_never_fits_less() {
        let sizes = |memory| {
            capacity(memory)
                .into_iter()
                .map(|one| one.parameters)
                .collect::<Vec<_>>()
        };
        let (small, large) = (sizes(8_000_000_000), sizes(40_000_000_000));
        assert_eq!(large.len(), 4);
        assert!(
            small
                .iter()
                .zip(&large)
                .all(|(small, large)| small <= large)
        );
        assert!(large.windows(2).all(|pair| pair[0] < pair[1]), "{large:?}");
    }

    /// A GPU is not as fast as the processor was, nor the other way round.
    #[test]
    fn only_a_run_on_the_same_device_predicts_one() {
        let run = |name: &str, device, rate| Experiment {
            name: name.to_owned(),
            model: "m".to_owned(),
            method: "lora".to_owned(),
            device,
            step: 3,
            tokens_per_second: Some(rate),
            ..blank()
        };
        let experiments = [
            run("unknown", None, 1.0),
            run("slow", Some(GpuBackendKind::Cpu), 50.0),
            run("fast", Some(GpuBackendKind::Cuda), 9000.0),
            run("before", Some(GpuBackendKind::Cpu), 40.0),
        ];
        let config = ExperimentConfig {
            model: "m".to_owned(),
            ..ExperimentConfig::default()
        };
        let on = |device| earlier(&experiments, &config, device);
        let said = |name: &str| format!("As fast as `{name}` was.");
        assert_eq!(on(GpuBackendKind::Cpu), Some((50.0, said("slow"))));
        assert_eq!(on(GpuBackendKind::Cuda), Some((9000.0, said("fast"))));
        assert_eq!(on(GpuBackendKind::Metal), None);
        let other = ExperimentConfig {
            lora: false,
            ..config
        };
        assert_eq!(earlier(&experiments, &other, GpuBackendKind::Cpu), None);
    }

    /// An experiment before its first step.
    fn blank() -> Experiment {
        serde_json::from_value(json!({
            "id": "", "name": "", "state": "queued", "dataset": "", "model": "", "method": "",
            "created_at": 0, "step": 0, "epoch": 0.0, "folder": "",
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The window has eight colours.
    #[test]
    fn every_byte_is_in_one_of_few_parts() {
        let spec = sized(&SIZES[2]).unwrap_or_else(|| panic!("a model"));
        for lora in [true, false] {
            let config = ExperimentConfig {
                lora,
                ..ExperimentConfig::default()
            };
            let memory = memory_of(&spec, &config, Samples::most(&config), u64::MAX)
                .unwrap_or_else(|error| panic!("{error}"));
            let sum: u64 = memory.parts.iter().map(|part| part.bytes).sum();
            assert_eq!(sum, memory.total);
            assert!(memory.parts.len() <= 8);
        }
    }

    #[test]
    fn a_paged_optimiser_leaves_memory() {
        let spec = sized(&SIZES[2]).unwrap_or_else(|| panic!("a model"));
        let full = ExperimentConfig {
            lora: false,
            ..ExperimentConfig::default()
        };
        let paged = ExperimentConfig {
            paged_optimizer: true,
            ..full.clone()
        };
        let samples = Samples {
            longest: 512,
            held_out: 0,
        };
        let [full_memory, paged_memory] = [&full, &paged].map(|config| {
            memory_of(&spec, config, samples, 8_000_000_000)
                .unwrap_or_else(|error| panic!("{error}"))
        });
        // All states but the embedding's, on its way from or to the file.
        let embedding = (spec.vocab_size * spec.hidden_size) as u64;
        let saved = 8 * spec.parameter_count() - 16 * embedding;
        assert_eq!(full_memory.total - paged_memory.total, saved);
        let found = suggestions(&spec, &full, samples, &full_memory)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            found
                .iter()
                .any(|one| one.settings.contains_key("paged_optimizer"))
        );
    }

    #[test]
    fn a_run_that_is_too_large_is_told_what_helps() {
        let spec = sized(&SIZES[5]).unwrap_or_else(|| panic!("a model"));
        let config = ExperimentConfig {
            gradient_checkpointing: false,
            batch_size: 8,
            ..ExperimentConfig::default()
        };
        let samples = Samples::most(&config);
        let memory = memory_of(&spec, &config, samples, 16_000_000_000)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(!memory.fits);
        let found =
            suggestions(&spec, &config, samples, &memory).unwrap_or_else(|error| panic!("{error}"));
        assert!(found.len() >= 4);
        for one in found {
            let mut changed = serde_json::to_value(&config).unwrap_or_default();
            for (key, value) in one.settings {
                changed[key] = value;
            }
            let changed: ExperimentConfig =
                serde_json::from_value(changed).unwrap_or_else(|error| panic!("{error}"));
            let after = memory_of(&spec, &changed, samples.cut(&changed), memory.usable)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(after.total, memory.total - one.saves, "{}", one.title);
            assert_eq!(after.fits, one.fits);
        }
    }
}
