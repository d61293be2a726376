//! The optimisers over the trainable parameters, with clipping by the global norm.

mod paged;
mod state;

use crate::parameter::Parameter;
use crate::{Decoder, Error, Result, TrainOptions, weights};
use attune_kernels::{
    Adafactor, AdamW, Lion, Sgd, adafactor_matrix, adafactor_vector, adamw, adamw8bit, in_pool,
    lion, sgd, squared_norm,
};
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{Device, Tensor};
use paged::Pages;
use serde::{Deserialize, Serialize};
use state::State;
use std::collections::BTreeMap;
use std::path::Path;

/// The rule by which gradients move weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptimizerKind {
    /// AdamW (Loshchilov and Hutter, 2019): two moments of 4 bytes a weight.
    AdamW,
    /// AdamW with both moments in 8 bits (Dettmers et al., 2022): about 2 bytes a weight.
    AdamW8bit,
    /// Adafactor (Shazeer and Stern, 2018) with a given rate: next to nothing for a matrix.
    Adafactor,
    /// Lion (Chen et al., 2023): one moment of 4 bytes a weight.
    Lion,
    /// Gradient descent with momentum: one moment of 4 bytes a weight.
    #[serde(rename = "SGD")]
    Sgd,
}

/// What an optimiser remembers of every trainable parameter.
pub(crate) struct Optimizer {
    states: States,
    device: Device,
}

/// Where it remembers it.
enum States {
    Resident(BTreeMap<String, State>),
    Paged(Pages),
}

impl States {
    /// Lets `work` change what is remembered of the parameter `name`; nothing where it is unknown.
    fn with(&mut self, name: &str, work: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        match self {
            Self::Resident(states) => states.get_mut(name).map_or(Ok(()), work),
            Self::Paged(pages) => pages.with(name, work),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Resident(states) => states.keys().cloned().collect(),
            Self::Paged(pages) => pages.names().map(str::to_owned).collect(),
        }
    }
}

/// Where and how far a step goes.
pub(crate) struct Step<'a> {
    /// Its number, counted from 1.
    pub(crate) number: u64,
    /// η, after the schedule.
    pub(crate) learning_rate: f64,
    /// The rest of the settings.
    pub(crate) options: &'a TrainOptions,
}

impl Optimizer {
    /// Nothing remembered. What will be lies in a file in the folder `pages`, if one is given.
    pub(crate) fn new(
        decoder: &Decoder,
        kind: OptimizerKind,
        pages: Option<&Path>,
    ) -> Result<Self> {
        let device = decoder.device().clone();
        let values = decoder.trainable().into_iter();
        let fresh = values.map(|(name, value)| {
            let state = State::new(kind, value.dims(), &device)?;
            Ok((name, (value.dims().to_vec(), state)))
        });
        let states = match pages {
            None => {
                let states = fresh.map(|entry| entry.map(|(name, (_, state))| (name, state)));
                States::Resident(states.collect::<Result<_>>()?)
            }
            Some(folder) => States::Paged(Pages::new(folder, kind, &device, fresh)?),
        };
        Ok(Self { states, device })
    }

    /// One step over the gathered gradients, which are cleared. Returns their global norm before
    /// clipping.
    pub(crate) fn step(&mut self, decoder: &mut Decoder, step: &Step<'_>) -> Result<f64> {
        in_pool(|| self.update(decoder, step))
    }

    fn update(&mut self, decoder: &mut Decoder, step: &Step<'_>) -> Result<f64> {
        let mut squared = 0.0;
        for gradient in decoder.gradients().values() {
            squared += squared_norm(gradient)?;
        }
        let norm = squared.sqrt();
        if !norm.is_finite() {
            let step = step.number;
            return Err(Error::Diverged { step });
        }
        // As torch.nn.utils.clip_grad_norm_ does it; 0 leaves them as they are.
        let clip = step.options.gradient_clip;
        let gradient_scale = if clip > 0.0 {
            (clip / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        let adapter = decoder.lora().is_some();
        decoder.visit_mut(&mut |parameter: &mut Parameter| {
            if !parameter.is_trainable() {
                return Ok(());
            }
            let change = Change {
                learning_rate: step.learning_rate * rate_ratio(parameter, step.options, adapter),
                weight_decay: if decays(parameter) {
                    step.options.weight_decay
                } else {
                    0.0
                },
                gradient_scale,
            };
            let name = parameter.name.clone();
            self.states.with(&name, |state| {
                parameter.update(|value, gradient| change.apply(value, gradient, state, step))
            })?;
            parameter.clear_gradient()
        })?;
        Ok(norm)
    }

    /// Writes what is remembered, in the types it is kept in.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let states = match &self.states {
            States::Paged(pages) => return pages.save(path),
            States::Resident(states) => states,
        };
        let mut tensors = Vec::new();
        for (name, state) in states {
            for (part, tensor) in state.parts()? {
                tensors.push((format!("{name}{part}"), tensor));
            }
        }
        weights::save(path, tensors)
    }

    /// Reads what `save` wrote; it must be of `decoder`'s trainable parameters and of `kind`.
    pub(crate) fn load(
        path: &Path,
        decoder: &Decoder,
        kind: OptimizerKind,
        pages: Option<&Path>,
    ) -> Result<Self> {
        let mut optimizer = Self::new(decoder, kind, pages)?;
        // SAFETY: the mapping is only read, and a checkpoint's files are never rewritten in place.
        let stored = unsafe { MmapedSafetensors::new(path) };
        let stored = stored.map_err(|error| Error::BrokenWeights {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let mut left = stored.tensors().len();
        let mismatch = || Error::CheckpointMismatch {
            folder: path.to_owned(),
            reason: "the optimiser's state belongs to other parameters".to_owned(),
        };
        let device = optimizer.device.clone();
        for name in optimizer.states.names() {
            optimizer.states.with(&name, |state| {
                let mut parts = Vec::new();
                for (part, fresh) in state.parts()? {
                    match stored.load(&format!("{name}{part}"), &device) {
                        Ok(tensor)
                            if tensor.shape() == fresh.shape()
                                && tensor.dtype() == fresh.dtype() =>
                        {
                            parts.push(tensor);
                        }
                        _ => return Err(mismatch()),
                    }
                }
                left = left.checked_sub(parts.len()).ok_or_else(mismatch)?;
                state.restore(parts)
            })?;
        }
        if left == 0 {
            Ok(optimizer)
        } else {
            Err(mismatch())
        }
    }
}

/// LoRA+ (Hayou et al., 2024): `B`, and with it vectors, as PEFT groups them, learn faster.
fn rate_ratio(parameter: &Parameter, options: &TrainOptions, adapter: bool) -> f64 {
    let faster = parameter.name.contains(".lora_B") || parameter.value.rank() == 1;
    if adapter && faster {
        options.loraplus_lr_ratio
    } else {
        1.0
    }
}

/// Biases and norm weights are not decayed, as in transformers' Trainer; DoRA's magnitude is.
fn decays(parameter: &Parameter) -> bool {
    parameter.value.rank() > 1 || parameter.name.ends_with(".lora_magnitude_vector")
}

/// The numbers of a step for one parameter.
struct Change {
    learning_rate: f64,
    weight_decay: f64,
    gradient_scale: f64,
}

impl Change {
    fn apply(
        &self,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut State,
        step: &Step<'_>,
    ) -> Result<()> {
        let &Self {
            learning_rate,
            weight_decay,
            gradient_scale,
        } = self;
        let (options, number) = (step.options, step.number);
        let adam = AdamW {
            learning_rate,
            beta1: options.beta1,
            beta2: options.beta2,
            epsilon: options.epsilon,
            weight_decay,
            step: number,
            gradient_scale,
        };
        let factored = Adafactor {
            learning_rate,
            weight_decay,
            step: number,
            gradient_scale,
        };
        match state {
            State::Moments(moments) => adamw(value, moments, gradient, &adam)?,
            State::Moments8bit(moments) => adamw8bit(value, moments, gradient, &adam)?,
            State::Factors { rows, columns } => {
                adafactor_matrix(value, rows, columns, gradient, &factored)?;
            }
            State::Squares(squares) => adafactor_vector(value, squares, gradient, &factored)?,
            State::SignMomentum(momentum) => {
                let options = Lion {
                    learning_rate,
                    beta1: options.beta1,
                    beta2: options.beta2,
                    weight_decay,
                    gradient_scale,
                };
                lion(value, momentum, gradient, &options)?;
            }
            State::Momentum(momentum) => {
                let options = Sgd {
                    learning_rate,
                    momentum: options.momentum,
                    weight_decay,
                    gradient_scale,
                };
                sgd(value, momentum, gradient, &options)?;
            }
        }
        Ok(())
    }
}
