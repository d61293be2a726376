//! Does a device compute what it should, and how fast: a forward, a backward and an optimiser step
//! of a small Llama with LoRA, compared with the formulas as they are written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::plain::Plain;
use crate::optimizer::{Optimizer, Step};
use crate::speed::matrix_speed;
use crate::{Decoder, LoraConfig, ModelSpec, OptimizerKind, Result, TrainOptions};
use attune_data::{Batch, Sample};
use attune_kernels::{KernelCheck, self_check};
use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ts_rs::TS;

/// What a check of a device found. Differences are relative to the largest value that should have
/// come out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct DeviceCheck {
    /// Loss of the small model, nats per token.
    pub loss: f64,
    /// Of the loss.
    pub loss_difference: f64,
    /// The largest of any gradient.
    pub gradient_difference: f64,
    /// The largest of any change by a step of AdamW.
    pub step_difference: f64,
    /// The most that rounding explains: the sums have another order.
    pub tolerance: f64,
    /// Operations compared one by one with the processor's; none on the processor itself.
    pub operations: usize,
    /// Kernels of ours that are switched off on this device, and operations that differ even so.
    pub concerns: Vec<String>,
    /// Whether all three differences are within the tolerance, and every operation agrees.
    pub agrees: bool,
    /// Tokens per second of the small model's steps. A large model's steps use a GPU better.
    pub tokens_per_second: f64,
    /// Floating-point operations per second of an f32 matrix product.
    pub operations_per_second: f64,
}

/// f32 sums of at most some hundred terms, in another order.
const TOLERANCE: f64 = 1e-3;

/// How long steps are repeated to measure their speed.
const BUDGET: Duration = Duration::from_millis(200);

/// Computes the small model on `device` and compares it with the plain formulas, which candle's
/// autograd differentiates on the CPU with no kernel of ours. On the CPU, too, the two share
/// nothing but the weights.
pub fn check_device(device: &Device) -> Result<DeviceCheck> {
    // First: what it switches off is not what computes the model.
    let operations = self_check(device)?;
    let mut check = Case::new(device)?.compare()?;
    check.agrees &= operations.iter().all(|operation| operation.agrees);
    check.operations = operations.len();
    check.concerns = operations.iter().filter_map(concern).collect();
    Ok(check)
}

/// What a person should know of an operation.
fn concern(check: &KernelCheck) -> Option<String> {
    let name = check.operation;
    match (&check.switched_off, check.difference) {
        (_, Some(difference)) if !check.agrees => {
            Some(format!("{name} is off by {difference:.1e}"))
        }
        (_, None) => Some(format!("{name} fails")),
        (Some(reason), _) => Some(format!(
            "our kernel for {name} is switched off: {reason}; candle's operations compute it"
        )),
        (None, _) => None,
    }
}

/// The small model on a device, the same weights for the formulas, and what both compute.
struct Case {
    decoder: Decoder,
    plain: Plain,
    batch: Batch,
}

impl Case {
    fn new(device: &Device) -> Result<Self> {
        let spec = spec()?;
        let lora = LoraConfig {
            r: 4,
            lora_alpha: 8.0,
            ..LoraConfig::default()
        };
        let decoder = decoder(&spec, &lora, device)?;
        let trained = on_cpu(&decoder, true)?.into_iter();
        let trained = trained.map(|(name, value)| Ok((name, Var::from_tensor(&value)?)));
        Ok(Self {
            batch: batch(spec.vocab_size),
            plain: Plain {
                spec,
                lora,
                trained: trained.collect::<Result<_>>()?,
                frozen: on_cpu(&decoder, false)?,
            },
            decoder,
        })
    }

    fn compare(mut self) -> Result<DeviceCheck> {
        let tokens = self.batch.trained_tokens();
        let scale = 1.0 / tokens as f32;
        let (expected, expected_gradients) = self
            .plain
            .loss_and_gradients(&self.batch, f64::from(scale))?;
        let loss = self.decoder.loss_and_backward(&self.batch, scale, false)?;

        // Copies: the step changes both in place.
        let before = copies(self.decoder.trainable())?;
        let gradients = copies(self.decoder.gradients())?;
        let mut gradient_difference = 0.0_f64;
        for (name, var) in &self.plain.trained {
            let difference = match (gradients.get(name), expected_gradients.get(var)) {
                (Some(computed), Some(expected)) => difference(computed, expected)?,
                _ => f64::INFINITY,
            };
            gradient_difference = gradient_difference.max(difference);
        }

        let options = TrainOptions {
            learning_rate: 1e-3,
            weight_decay: 0.01,
            ..TrainOptions::default()
        };
        let mut optimizer = Optimizer::new(&self.decoder, OptimizerKind::AdamW, None)?;
        let mut step = |decoder: &mut Decoder, number| {
            let step = Step {
                number,
                learning_rate: options.learning_rate,
                options: &options,
            };
            optimizer.step(decoder, &step)
        };
        step(&mut self.decoder, 1)?;
        let mut step_difference = 0.0_f64;
        for (name, value) in self.decoder.trainable() {
            let (before, gradient) = (&before[&name], &gradients[&name]);
            let expected = first_adamw_step(before, gradient, &options)?;
            step_difference = step_difference.max(difference(&(value - before)?, &expected)?);
        }

        let (started, mut steps) = (Instant::now(), 0);
        while steps == 0 || started.elapsed() < BUDGET {
            self.decoder.loss_and_backward(&self.batch, scale, false)?;
            steps += 1;
            // The norm it returns is read back, so the work of a GPU is part of the time.
            step(&mut self.decoder, 1 + steps)?;
        }
        let seconds = started.elapsed().as_secs_f64();

        let device = self.decoder.device();
        let loss_difference = (loss - expected).abs() / expected.abs();
        let worst = [loss_difference, gradient_difference, step_difference]
            .into_iter()
            .fold(0.0, f64::max);
        Ok(DeviceCheck {
            loss: loss / tokens as f64,
            loss_difference,
            gradient_difference,
            step_difference,
            tolerance: TOLERANCE,
            operations: 0,
            concerns: Vec::new(),
            // A loss that is no number is no agreement, and `max` passes over it.
            agrees: loss.is_finite() && worst <= TOLERANCE,
            tokens_per_second: (steps as usize * self.batch.tokens.len()) as f64 / seconds,
            operations_per_second: matrix_speed(device, if device.is_cpu() { 512 } else { 4096 })?,
        })
    }
}

fn copies(tensors: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let copies = tensors.into_iter();
    copies
        .map(|(name, tensor)| Ok((name, tensor.copy()?)))
        .collect()
}

/// Grouped heads, more than one block, widths that are no multiple of a vector unit's.
fn spec() -> Result<ModelSpec> {
    ModelSpec::from_json(&json!({
        "model_type": "llama", "hidden_size": 60, "intermediate_size": 100,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
        "head_dim": 10, "vocab_size": 130, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
    }))
}

/// The same weights on every device. `B` starts at zero, which would hide the gradient of `A`.
fn decoder(spec: &ModelSpec, config: &LoraConfig, device: &Device) -> Result<Decoder> {
    let mut decoder = Decoder::random(spec, 1, device)?;
    decoder.attach_lora(config, 2)?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let normal = Normal::new(0.0_f32, 0.2).map_err(candle_core::Error::wrap)?;
    decoder.visit_mut(&mut |parameter| {
        if parameter.name.contains(".lora_B") {
            let shape = parameter.value.dims().to_vec();
            let count = shape.iter().product();
            let values: Vec<f32> = normal.sample_iter(&mut rng).take(count).collect();
            let value = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?;
            parameter.set_trained(&value)?;
        }
        Ok(())
    })?;
    Ok(decoder)
}

/// Two samples of different length, the beginning of each not trained.
fn batch(vocabulary: usize) -> Batch {
    let samples = [23, 41].map(|length| Sample {
        tokens: (0..length)
            .map(|at| (at * at * 7 + at * 3 + length) % vocabulary as u32)
            .collect(),
        loss_mask: (0..length).map(|at| at >= 5).collect(),
    });
    Batch::from_samples(&samples)
}

/// Copies of the parameters, trained or frozen, by name.
fn on_cpu(decoder: &Decoder, trained: bool) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    let mut failure = None;
    decoder.visit(&mut |parameter| {
        if parameter.is_trainable() == trained {
            match parameter
                .value
                .to_device(&Device::Cpu)
                .and_then(|x| x.copy())
            {
                Ok(value) => drop(tensors.insert(parameter.name.clone(), value)),
                Err(error) => failure = Some(error),
            }
        }
    });
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(tensors),
    }
}

/// AdamW's first step (Loshchilov and Hutter, 2019): both bias corrections cancel the decay rates,
/// which leaves `-η · (g / (|g| + ε) + λ · θ)`.
fn first_adamw_step(before: &Tensor, gradient: &Tensor, options: &TrainOptions) -> Result<Tensor> {
    let direction = (gradient / (gradient.abs()? + options.epsilon)?)?;
    let decay = (before * options.weight_decay)?;
    Ok(((direction + decay)? * -options.learning_rate)?)
}

/// Largest difference of two tensors, relative to the largest expected value.
fn difference(computed: &Tensor, expected: &Tensor) -> Result<f64> {
    let values = |x: &Tensor| -> Result<Vec<f32>> {
        let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(x.flatten_all()?.to_vec1()?)
    };
    let (computed, expected) = (values(computed)?, values(expected)?);
    if computed.len() != expected.len() || computed.iter().any(|x| !x.is_finite()) {
        return Ok(f64::INFINITY);
    }
    let largest = expected.iter().fold(1e-12_f32, |max, x| max.max(x.abs()));
    let apart = computed.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    Ok(f64::from(apart.fold(0.0, f32::max) / largest))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The kernels that train against formulas that share nothing with them.
    #[test]
    fn the_processor_computes_what_the_formulas_say() {
        let check = check_device(&Device::Cpu).unwrap();
        assert!(check.agrees, "{check:?}");
        assert!(check.loss_difference < 1e-5 && check.gradient_difference < 1e-4);
        // A model of random weights knows nothing: the loss of a guess among 130 tokens.
        assert!((check.loss - 130_f64.ln()).abs() < 0.5, "{check:?}");
        assert!(check.tokens_per_second > 0.0 && check.operations_per_second > 0.0);
    }

    /// A check that no error of a device could fail would be worth nothing.
    #[test]
    fn an_error_in_a_hundred_shows() {
        for spoilt in [
            "q_proj.weight",
            "down_proj.lora_B.weight",
            "input_layernorm.weight",
        ] {
            let mut case = Case::new(&Device::Cpu).unwrap();
            case.decoder
                .visit_mut(&mut |parameter| {
                    if parameter.name.ends_with(spoilt) {
                        parameter.value = (&parameter.value * 1.01)?;
                    }
                    Ok(())
                })
                .unwrap();
            let check = case.compare().unwrap();
            assert!(!check.agrees, "{spoilt}: {check:?}");
        }
    }
}
