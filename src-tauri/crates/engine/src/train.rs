//! The training loop.

use crate::checkpoint::{self, State};
use crate::fingerprint::Fingerprint;
use crate::interrupted::with_attempts;
use crate::memory::KeepFreed;
use crate::objective::{NextToken, Objective, Preparation, StepContext};
use crate::optimizer::{Optimizer, Step};
use crate::plan::Plan;
use crate::{
    Decoder, Error, OptimizerKind, Result, Schedule, TrainEvent, TrainedType, peak_memory,
};
use attune_data::Sample;
use attune_kernels::ComputeType;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
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
    /// Whether what it remembers lies in a file in the folder of the checkpoints instead of in
    /// memory.
    pub paged_optimizer: bool,
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
            paged_optimizer: false,
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

/// Trains what is trainable in `decoder` to predict the tokens that count. Goes on from the newest
/// checkpoint in `checkpoints`, with the bits an uninterrupted run would have had; begins anew
/// where there is none.
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
    let mut objective = NextToken::new(train, validation);
    train_objective(
        decoder,
        &mut objective,
        options,
        checkpoints,
        control,
        on_event,
    )
}

/// [`train`], with another objective.
pub fn train_objective(
    decoder: &mut Decoder,
    objective: &mut dyn Objective,
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
    objective.check(decoder)?;
    let lengths = objective.lengths();
    let (train_samples, validation_samples) = (lengths.len(), objective.validation_samples());
    let mut plan = Plan::new(lengths, options);
    let total = plan.total_steps;
    let fingerprint = fingerprint(objective, options, decoder);
    let weights = decoder.weights_name()?;
    let restored = checkpoint::restore(
        checkpoints,
        decoder,
        options.optimizer,
        options.paged_optimizer,
        &fingerprint,
    )?;
    let resumed_from = restored.as_ref().map(|(_, state)| state.step);
    let started = TrainEvent::Started {
        resumed_from,
        total_steps: total,
        steps_per_epoch: plan.steps_per_epoch,
        train_samples,
        validation_samples,
        trainable_parameters: counts.trainable,
        total_parameters: counts.total,
    };
    on_event(started, decoder);
    let warmup = (options.warmup_epochs * plan.steps_per_epoch as f64).round() as u64;
    let evaluation_steps = (options.evaluation_epochs * plan.steps_per_epoch as f64).round() as u64;
    let evaluates = options.evaluation_epochs > 0.0 && validation_samples > 0;

    if let Some(step) = resumed_from {
        on_event(TrainEvent::Resumed { step }, decoder);
    }
    let (mut optimizer, mut state) = match restored {
        Some(restored) => restored,
        None => (
            Optimizer::new(
                decoder,
                options.optimizer,
                options.paged_optimizer.then_some(checkpoints),
            )?,
            State::new(fingerprint),
        ),
    };
    let preparation = Preparation {
        checkpoints,
        fresh: state.step == 0,
        weights: &weights,
        options,
        control,
    };
    if !objective.prepare(decoder, &preparation)?
        && let Some(outcome) = obey(control.request(), state.step, &mut |event| {
            on_event(event, decoder);
        })
    {
        return Ok(outcome);
    }
    if state.step == 0 && evaluates && options.evaluate_before_training {
        measure(decoder, objective, options, &mut state, on_event)?;
    }
    while state.step < total {
        let step = state.step + 1;
        let started = Instant::now();
        let context = StepContext { step, options };
        let found = with_attempts(decoder, &mut |decoder| {
            objective.step(decoder, plan.step(step), &context)
        })?;
        if !found.loss.is_finite() {
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
            loss: found.loss,
            learning_rate,
            grad_norm,
            trained_tokens: found.trained_tokens,
            tokens_per_second: found.tokens as f64 / started.elapsed().as_secs_f64(),
            peak_memory: peak_memory(),
            metrics: found.metrics,
        };
        on_event(done, decoder);

        let ends = step == total;
        let evaluates_now = evaluates && (ends || step % evaluation_steps.max(1) == 0);
        let best = evaluates_now && measure(decoder, objective, options, &mut state, on_event)?;
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
    objective: &dyn Objective,
    options: &TrainOptions,
    state: &mut State,
    on_event: &mut dyn FnMut(TrainEvent, &Decoder),
) -> Result<bool> {
    let found = objective.evaluate(decoder, options.batch_size * options.max_length)?;
    let loss = found.loss;
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
        metrics: found.metrics,
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
fn fingerprint(objective: &dyn Objective, options: &TrainOptions, decoder: &Decoder) -> String {
    let mut hasher = Fingerprint::new();
    objective.fingerprint(&mut hasher);
    let course = TrainOptions {
        checkpoint_steps: 0,
        gradient_checkpointing: false,
        paged_optimizer: false,
        ..options.clone()
    };
    format!("{course:?} {:?}", decoder.lora()).hash(&mut hasher);
    if let Some(head) = &decoder.spec().sequence_head {
        format!("{head:?}").hash(&mut hasher);
    }
    if decoder.trained_type() == TrainedType::Bf16 {
        "bf16".hash(&mut hasher);
    }
    hasher.name()
}
