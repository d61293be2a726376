//! The engine, driven the way the recordings were made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use attune_data::{Batch, Sample, Tokenizer};
use attune_engine::{
    Control, DType, Decoder, Device, Outcome, SamplingOptions, Schedule, TrainEvent, TrainOptions,
    generate, train,
};
use candle_core::Tensor;
use serde_json::{Map, Value, json};

use crate::fixture::{Fixture, Options};

/// Which adapter stands beside the model.
#[derive(Clone, Copy)]
pub enum Adapter<'a> {
    /// The one PEFT has saved.
    Recorded,
    /// One in this folder.
    In(&'a Path),
}

/// The model as recorded, frozen. Stored as it lies on disk: what is widened while computing must
/// equal what was widened before.
pub fn base(fixture: &Fixture) -> Decoder {
    let dtype = match fixture.expected.stored_as.as_str() {
        "bfloat16" => DType::BF16,
        "float16" => DType::F16,
        _ => DType::F32,
    };
    Decoder::load(&fixture.model(), dtype, &Device::Cpu, &mut |_| ()).unwrap()
}

/// The model with an adapter that can be trained.
pub fn adapted(fixture: &Fixture, adapter: Adapter) -> Decoder {
    let mut decoder = base(fixture);
    let folder = match adapter {
        Adapter::Recorded => fixture.adapter(),
        Adapter::In(folder) => folder.to_owned(),
    };
    decoder.load_adapter(&folder).unwrap();
    decoder
}

/// Mean loss per trained token of all batches together, and its gradients by name.
pub fn loss_and_gradients(
    decoder: &mut Decoder,
    batches: &[Batch],
    recompute: bool,
) -> (f64, BTreeMap<String, Tensor>) {
    let trained: usize = batches.iter().map(Batch::trained_tokens).sum();
    decoder.clear_gradients().unwrap();
    let scale = 1.0 / trained as f32;
    let sum: f64 = batches
        .iter()
        .map(|batch| decoder.loss_and_backward(batch, scale, recompute).unwrap())
        .sum();
    let copied = |(name, gradient): (String, Tensor)| (name, gradient.copy().unwrap());
    (
        sum / trained as f64,
        decoder.gradients().into_iter().map(copied).collect(),
    )
}

/// What a training has told and left, one entry per optimiser step.
#[derive(Default)]
pub struct Trained {
    /// Mean loss per trained token.
    pub losses: Vec<f64>,
    /// Global norm before clipping.
    pub grad_norms: Vec<f64>,
    /// Rate the step was taken with.
    pub learning_rates: Vec<f64>,
    /// Tokens that counted.
    #[expect(clippy::struct_field_names, reason = "its name in the events")]
    pub trained_tokens: Vec<u64>,
    /// The trainable weights after the last step.
    pub weights: BTreeMap<String, Tensor>,
}

/// Trains with the recorded settings and data.
pub fn trained(decoder: &mut Decoder, fixture: &Fixture, learning_rate: f64) -> Trained {
    let data = fixture.data();
    let options = options(&fixture.expected.options, data.len(), learning_rate);
    run(decoder, &data, &options)
}

/// The recorded settings of a training on `samples` samples.
pub fn options(recorded: &Options, samples: usize, learning_rate: f64) -> TrainOptions {
    let per_step = recorded.batch_size * recorded.grad_accumulation;
    let steps_per_epoch = (samples / per_step) as f64;
    TrainOptions {
        epochs: recorded.steps as f64 / steps_per_epoch,
        batch_size: recorded.batch_size,
        grad_accumulation: recorded.grad_accumulation,
        packing: false,
        shuffle: false,
        learning_rate,
        schedule: Schedule::Cosine,
        min_learning_rate_ratio: 0.0,
        warmup_epochs: recorded.warmup_steps as f64 / steps_per_epoch,
        weight_decay: recorded.weight_decay,
        beta1: recorded.beta1,
        beta2: recorded.beta2,
        epsilon: recorded.epsilon,
        gradient_clip: recorded.gradient_clip,
        ..TrainOptions::default()
    }
}

/// Trains, without a checkpoint to go on from.
pub fn run(decoder: &mut Decoder, data: &[Sample], options: &TrainOptions) -> Trained {
    let checkpoints = tempfile::tempdir().unwrap();
    let mut found = Trained::default();
    let outcome = train(
        decoder,
        data,
        &[],
        options,
        checkpoints.path(),
        &Control::default(),
        &mut |event, _| {
            if let TrainEvent::Step {
                loss,
                learning_rate,
                grad_norm,
                trained_tokens,
                ..
            } = event
            {
                found.losses.push(loss);
                found.learning_rates.push(learning_rate);
                found.grad_norms.push(grad_norm);
                found.trained_tokens.push(trained_tokens);
            }
        },
    );
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    found.weights = decoder.trainable();
    found
}

/// The likeliest sixteen tokens after each prompt.
pub fn greedy(decoder: &Decoder, tokenizer: &Tokenizer, prompts: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let options = SamplingOptions {
        temperature: 0.0,
        max_new_tokens: 16,
        ..SamplingOptions::default()
    };
    let never = AtomicBool::new(false);
    let completions = generate(
        decoder,
        tokenizer,
        prompts,
        &options,
        &never,
        &mut |_, _| (),
    )
    .unwrap();
    completions
        .into_iter()
        .map(|completion| completion.tokens)
        .collect()
}

/// A tokenizer of a hundred words and no stop token: the recorded models speak in numbers.
pub fn tokenizer() -> Tokenizer {
    let vocabulary: Map<String, Value> = (0..100).map(|id| (format!("t{id}"), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "t0" },
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    Tokenizer::from_folder(folder.path()).unwrap()
}
