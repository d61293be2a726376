//! The training loop.

use crate::checkpoint::{self, State};
use crate::memory::KeepFreed;
use crate::optimizer::{Optimizer, Step};
use crate::plan::Plan;
use crate::{
    Decoder, Error, LoraConfig, Noise, OptimizerKind, Result, Schedule, TrainEvent, evaluate,
    peak_memory,
};
use attune_data::{Batch, Sample};
use attune_kernels::ComputeType;
use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// What decides the course of a run. Names are those of the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Passes over the data; parts of one are allowed.
    pub epochs: f64,
    /// Ends after this many optimiser steps instead.
    pub max_steps: Option<u64>,
    /// Samples per micro-batch; rows of `max_length` tokens when packing.
    pub batch_size: usize,
    /// Micro-batches per optimiser step.
    pub grad_accumulation: usize,
    /// Tokens in a packed row.
    pub max_length: usize,
    /// Whether several samples share a row.
    pub packing: bool,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Its shape over the run.
    pub schedule: Schedule,
    /// Where the shape ends, as a part of the highest.
    pub min_learning_rate_ratio: f64,
    /// Epochs until it is reached.
    pub warmup_epochs: f64,
    /// The rule of a step.
    pub optimizer: OptimizerKind,
    /// λ: decay of the trained matrices.
    pub weight_decay: f64,
    /// β₁ of AdamW and Lion.
    pub beta1: f64,
    /// β₂ of AdamW and Lion.
    pub beta2: f64,
    /// ε of AdamW.
    pub epsilon: f64,
    /// μ of gradient descent.
    pub momentum: f64,
    /// How many times faster than `A` an adapter's `B` learns (LoRA+).
    pub loraplus_lr_ratio: f64,
    /// α of NEFTune's noise on the embeddings; 0 for none.
    pub neftune_noise_alpha: f64,
    /// Largest global norm of the gradient; 0 for any.
    pub gradient_clip: f64,
    /// Of the order of the samples.
    pub seed: u64,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Compute the products in bf16, see [`ComputeType::Bf16`].
    pub mixed_precision: bool,
    /// Keep only each block's input and compute the rest again: less memory, more time.
    pub gradient_checkpointing: bool,
    /// Epochs between measurements of the validation loss; 0 for none.
    pub evaluation_epochs: f64,
    /// Measure once before the first step.
    pub evaluate_before_training: bool,
    /// End after this many evaluations without a lower loss; 0 for never.
    pub early_stopping_patience: u32,
    /// Steps between checkpoints; 0 for only at evaluations and at the end.
    pub checkpoint_steps: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 1.0,
            max_steps: None,
            batch_size: 2,
            grad_accumulation: 1,
            max_length: 512,
            packing: false,
            learning_rate: 1e-4,
            schedule: Schedule::Cosine,
            min_learning_rate_ratio: 0.0,
            warmup_epochs: 0.0,
            optimizer: OptimizerKind::AdamW,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum: 0.9,
            loraplus_lr_ratio: 1.0,
            neftune_noise_alpha: 0.0,
            gradient_clip: 0.0,
            seed: 0,
            shuffle: true,
            mixed_precision: false,
            gradient_checkpointing: false,
            evaluation_epochs: 1.0,
            evaluate_before_training: false,
            early_stopping_patience: 0,
            checkpoint_steps: 0,
        }
    }
}

/// What a run was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Go on.
    Run,
    /// Write a checkpoint and return, to be continued.
    Pause,
    /// Write a checkpoint and return, for good.
    Stop,
}

/// A handle to steer a run from another thread; clones steer the same run.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<AtomicU8>);

impl Control {
    /// Asks the run to pause after the step it is in.
    pub fn pause(&self) {
        // A request to stop is not taken back by one to pause.
        self.0.fetch_max(1, Ordering::SeqCst);
    }

    /// Asks the run to stop after the step it is in and keep its result.
    pub fn stop(&self) {
        self.0.fetch_max(2, Ordering::SeqCst);
    }

    /// What was asked.
    pub fn request(&self) -> Request {
        match self.0.load(Ordering::SeqCst) {
            0 => Request::Run,
            1 => Request::Pause,
            _ => Request::Stop,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The validation loss stopped falling.
    StoppedEarly,
    /// To be continued.
    Paused,
    /// Ended by request, its result kept.
    Stopped,
}

/// Trains what is trainable in `decoder`. Goes on from the newest checkpoint in `checkpoints`, with
/// the bits an uninterrupted run would have had; begins anew where there is none.
///
/// `on_event` also sees the decoder as it is at that moment, to ask it something.
pub fn train(
    decoder: &mut Decoder,
    train: &[Sample],
    validation: &[Sample],
    options: &TrainOptions,
    checkpoints: &Path,
    control: &Control,
    on_event: &mut dyn FnMut(TrainEvent, &Decoder),
) -> Result<Outcome> {
    let _kept = KeepFreed::new();
    decoder.set_compute_type(if options.mixed_precision {
        ComputeType::Bf16
    } else {
        ComputeType::F32
    });
    let counts = decoder.parameter_counts();
    if counts.trainable == 0 {
        return Err(Error::NothingToTrain(
            "every weight of the model is frozen".into(),
        ));
    }
    if !train.iter().any(|sample| sample.trained_tokens() > 0) {
        return Err(Error::NothingToTrain(
            "no sample has a token that counts in the loss".into(),
        ));
    }
    let mut plan = Plan::new(train.iter().map(Sample::len).collect(), options);
    let total = plan.total_steps;
    let fingerprint = fingerprint(train, options, decoder.lora());
    let restored = checkpoint::restore(checkpoints, decoder, options.optimizer, &fingerprint)?;
    let resumed_from = restored.as_ref().map(|(_, state)| state.step);
    let started = TrainEvent::Started {
        resumed_from,
        total_steps: total,
        steps_per_epoch: plan.steps_per_epoch,
        train_samples: train.len(),
        validation_samples: validation.len(),
        trainable_parameters: counts.trainable,
        total_parameters: counts.total,
    };
    on_event(started, decoder);
    let warmup = (options.warmup_epochs * plan.steps_per_epoch as f64).round() as u64;
    let evaluation_steps = (options.evaluation_epochs * plan.steps_per_epoch as f64).round() as u64;
    let evaluates = options.evaluation_epochs > 0.0 && !validation.is_empty();

    if let Some(step) = resumed_from {
        on_event(TrainEvent::Resumed { step }, decoder);
    }
    let (mut optimizer, mut state) = match restored {
        Some(restored) => restored,
        None => (
            Optimizer::new(decoder, options.optimizer)?,
            State::new(fingerprint),
        ),
    };
    if state.step == 0 && evaluates && options.evaluate_before_training {
        measure(decoder, validation, options, &mut state, on_event)?;
    }
    while state.step < total {
        let step = state.step + 1;
        let started = Instant::now();
        let batches: Vec<Batch> = plan
            .step(step)
            .iter()
            .map(|samples| Batch::from_samples(samples.iter().map(|index| &train[*index])))
            .collect();
        let trained_tokens: usize = batches.iter().map(Batch::trained_tokens).sum();
        let tokens: usize = batches.iter().map(|batch| batch.tokens.len()).sum();
        // The loss of a step is the mean over all its trained tokens, however they are divided
        // into micro-batches.
        let scale = 1.0 / trained_tokens.max(1) as f32;
        let mut loss = 0.0;
        for (micro_batch, batch) in (0..).zip(&batches) {
            let noise = Noise {
                seed: options.seed,
                step,
                micro_batch,
                neftune_noise_alpha: options.neftune_noise_alpha,
            };
            let recompute = options.gradient_checkpointing;
            loss += decoder.noisy_loss_and_backward(batch, scale, recompute, &noise)?;
        }
        let loss = loss / trained_tokens.max(1) as f64;
        if !loss.is_finite() {
            return Err(Error::Diverged { step });
        }
        let factor = options
            .schedule
            .factor(step, warmup, total, options.min_learning_rate_ratio);
        let learning_rate = options.learning_rate * factor;
        let update = Step {
            number: step,
            learning_rate,
            options,
        };
        let grad_norm = optimizer.step(decoder, &update)?;
        state.step = step;
        state.epoch = plan.epoch_after(step);
        let done = TrainEvent::Step {
            step,
            epoch: state.epoch,
            loss,
            learning_rate,
            grad_norm,
            trained_tokens: trained_tokens as u64,
            tokens_per_second: tokens as f64 / started.elapsed().as_secs_f64(),
            peak_memory: peak_memory(),
        };
        on_event(done, decoder);

        let ends = step == total;
        let evaluates_now = evaluates && (ends || step % evaluation_steps.max(1) == 0);
        let best = evaluates_now && measure(decoder, validation, options, &mut state, on_event)?;
        let patience = options.early_stopping_patience;
        let early = evaluates && patience > 0 && state.without_improvement >= patience;
        let request = control.request();
        let due = options.checkpoint_steps > 0 && step % options.checkpoint_steps == 0;
        if ends || early || due || evaluates_now || request != Request::Run {
            checkpoint::save(checkpoints, decoder, &optimizer, &state, best)?;
            on_event(TrainEvent::Checkpoint { step, best }, decoder);
        }
        if early && !ends {
            on_event(TrainEvent::Finished { step, early }, decoder);
            return Ok(Outcome::StoppedEarly);
        }
        if !ends && let Some(outcome) = obey(request, step, &mut |event| on_event(event, decoder)) {
            return Ok(outcome);
        }
    }
    let finished = TrainEvent::Finished {
        step: state.step,
        early: false,
    };
    on_event(finished, decoder);
    Ok(Outcome::Finished)
}

/// Measures the validation loss; whether it is the lowest so far.
fn measure(
    decoder: &Decoder,
    validation: &[Sample],
    options: &TrainOptions,
    state: &mut State,
    on_event: &mut dyn FnMut(TrainEvent, &Decoder),
) -> Result<bool> {
    let tokens_per_batch = options.batch_size * options.max_length;
    let losses = evaluate(decoder, validation, tokens_per_batch, &mut |_| {})?;
    let trained_tokens: usize = losses.iter().map(|sample| sample.trained_tokens).sum();
    let loss =
        losses.iter().map(|sample| sample.loss_sum).sum::<f64>() / trained_tokens.max(1) as f64;
    let best = state.best_loss.is_none_or(|best| loss < best);
    if best {
        state.best_loss = Some(loss);
        state.without_improvement = 0;
    } else {
        state.without_improvement += 1;
    }
    let evaluation = TrainEvent::Evaluation {
        step: state.step,
        loss,
        perplexity: loss.exp(),
        best,
    };
    on_event(evaluation, decoder);
    Ok(best)
}

fn obey(request: Request, step: u64, on_event: &mut dyn FnMut(TrainEvent)) -> Option<Outcome> {
    match request {
        Request::Run => None,
        Request::Pause => {
            on_event(TrainEvent::Paused { step });
            Some(Outcome::Paused)
        }
        Request::Stop => {
            on_event(TrainEvent::Stopped {
                step,
                reason: "asked to stop".into(),
            });
            Some(Outcome::Stopped)
        }
    }
}

/// A name for the data and settings that decide the course of a run.
fn fingerprint(train: &[Sample], options: &TrainOptions, lora: Option<&LoraConfig>) -> String {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    for sample in train {
        sample.tokens.hash(&mut hasher);
        sample.loss_mask.hash(&mut hasher);
    }
    let course = TrainOptions {
        checkpoint_steps: 0,
        gradient_checkpointing: false,
        ..options.clone()
    };
    format!("{course:?} {lora:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// FNV-1a: the standard library's hasher may change between releases, a checkpoint outlives them.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
