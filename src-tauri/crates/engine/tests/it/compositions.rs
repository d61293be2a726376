//! What a GPU without kernels of ours computes: the same training by compositions of candle's
//! operations alone, on the CPU's tensors. And steps that the system ended.

use crate::common::{decoder, lora, samples, spec};
use attune_data::Sample;
use attune_engine::{
    Control, DType, Decoder, Device, Error, Measurement, ModelSpec, NextToken, Objective,
    OptimizerKind, Outcome, Result, StepContext, TrainEvent, TrainOptions, TrainedType, WeightType,
    train, train_objective,
};
use attune_kernels::{by_compositions, without_bf16};
use std::cell::Cell;
use std::hash::Hasher;

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 3.0,
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        gradient_clip: 1.0,
        max_length: 16,
        neftune_noise_alpha: 1.0,
        seed: 11,
        ..TrainOptions::default()
    }
}

/// The loss of every step and of every evaluation, in order.
fn losses(decoder: &mut Decoder, options: &TrainOptions) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let mut losses = Vec::new();
    let outcome = train(
        decoder,
        &samples(17, 1),
        &samples(3, 2),
        options,
        folder.path(),
        &Control::default(),
        &mut |event, _| match event {
            TrainEvent::Step { loss, .. } | TrainEvent::Evaluation { loss, .. } => {
                losses.push(loss);
            }
            _ => {}
        },
    );
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    losses
}

/// Trains the same model by the CPU's kernels and by compositions; every loss agrees.
fn assert_same(make: &dyn Fn() -> Decoder, options: &TrainOptions, tolerance: f64, what: &str) {
    let expected = losses(&mut make(), options);
    let found = by_compositions(|| losses(&mut make(), options));
    assert_eq!(found.len(), expected.len());
    assert!(found.len() > 15);
    // The runs must not be the same for want of anything to do.
    assert!(
        (expected[0] - expected[expected.len() - 1]).abs() > 0.01,
        "{what}: {expected:?}"
    );
    // Sums of another order show in the last digits: without that, the CPU's kernels ran twice.
    assert_ne!(found, expected, "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        let apart = (found / expected - 1.0).abs();
        assert!(apart < tolerance, "{what}: {found} and {expected}");
    }
}

#[test]
fn a_run_by_compositions_is_that_of_the_cpu() {
    for full in [false, true] {
        assert_same(&|| decoder(full), &options(), 1e-4, "f32");
    }
    let checkpointing = TrainOptions {
        gradient_checkpointing: true,
        optimizer: OptimizerKind::Adafactor,
        ..options()
    };
    assert_same(&|| decoder(true), &checkpointing, 1e-4, "recomputed");
}

/// With the frozen weights in 4 bits and dropout before the adapters; and with weights trained in
/// bf16, whose masters are elsewhere.
#[test]
fn so_are_runs_in_few_bits() {
    let folder = tempfile::tempdir().unwrap();
    let base = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    base.save_folder(folder.path(), DType::F32, None).unwrap();
    for weights in [WeightType::Nf4, WeightType::Int8, DType::BF16.into()] {
        let make = || {
            let mut decoder =
                Decoder::load(folder.path(), weights, &Device::Cpu, &mut |_| ()).unwrap();
            let mut lora = lora();
            lora.lora_dropout = 0.2;
            decoder.attach_lora(&lora, 5).unwrap();
            decoder
        };
        assert_same(&make, &options(), 1e-4, &format!("{weights:?}"));
    }
    let make = || {
        let mut decoder = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
        decoder.make_trainable_in(TrainedType::Bf16).unwrap();
        decoder
    };
    assert_same(&make, &options(), 1e-3, "bf16 with masters");
    // Only parameters of thousands of elements have moments in 8 bits.
    let large = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 80,
        "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 40, "max_position_embeddings": 64, "tie_word_embeddings": true}"#;
    let large = ModelSpec::from_json(&serde_json::from_str(large).unwrap()).unwrap();
    let make = || {
        let mut decoder = Decoder::random(&large, 3, &Device::Cpu).unwrap();
        decoder.make_trainable_in(TrainedType::Bf16).unwrap();
        decoder
    };
    let eight_bits = TrainOptions {
        optimizer: OptimizerKind::AdamW8bit,
        ..options()
    };
    assert_same(&make, &eight_bits, 1e-2, "moments in 8 bits");
}

/// On a device that has no bf16, over weights that are f16 there.
#[test]
fn a_device_without_bf16_trains_as_one_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let base = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    base.save_folder(folder.path(), DType::BF16, None).unwrap();
    let run = || {
        let mut decoder =
            Decoder::load(folder.path(), DType::BF16, &Device::Cpu, &mut |_| ()).unwrap();
        decoder.attach_lora(&lora(), 5).unwrap();
        losses(&mut decoder, &options())
    };
    let (expected, found) = (run(), without_bf16(run));
    assert_eq!(found.len(), expected.len());
    assert_ne!(found, expected);
    for (found, expected) in found.iter().zip(&expected) {
        let apart = (found / expected - 1.0).abs();
        assert!(apart < 1e-4, "{found} and {expected}");
    }
}

/// An objective whose third step is ended half-way, its gradients already added, twice.
struct Interrupted<'a> {
    inner: NextToken<'a>,
    calls: Cell<u32>,
    words: &'static str,
}

const ENDED: &str = "Command buffer had following error: Impacting Interactivity \
                     (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)";

impl Objective for Interrupted<'_> {
    fn lengths(&self) -> Vec<usize> {
        self.inner.lengths()
    }

    fn validation_samples(&self) -> usize {
        self.inner.validation_samples()
    }

    fn check(&self, decoder: &Decoder) -> Result<()> {
        self.inner.check(decoder)
    }

    fn fingerprint(&self, hasher: &mut dyn Hasher) {
        self.inner.fingerprint(hasher);
    }

    fn step(
        &self,
        decoder: &mut Decoder,
        micro_batches: &[Vec<usize>],
        context: &StepContext<'_>,
    ) -> Result<Measurement> {
        let found = self.inner.step(decoder, micro_batches, context)?;
        let call = self.calls.replace(self.calls.get() + 1);
        if call == 2 || call == 3 {
            return Err(candle_core::Error::Msg(self.words.to_owned()).into());
        }
        Ok(found)
    }

    fn evaluate(&self, decoder: &Decoder, max_tokens: usize) -> Result<Measurement> {
        self.inner.evaluate(decoder, max_tokens)
    }
}

fn weights(decoder: &Decoder) -> Vec<f32> {
    let values = decoder.trainable();
    let values = values.values();
    values
        .flat_map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .collect()
}

#[test]
fn a_step_that_the_system_ended_is_done_again() {
    let (training, validation): (Vec<Sample>, Vec<Sample>) = (samples(17, 1), samples(3, 2));
    let run = |words: Option<&'static str>| {
        let folder = tempfile::tempdir().unwrap();
        let mut decoder = decoder(false);
        let mut plain = NextToken::new(&training, &validation);
        let mut interrupted = Interrupted {
            inner: plain,
            calls: Cell::new(0),
            words: words.unwrap_or_default(),
        };
        let objective: &mut dyn Objective = match words {
            Some(_) => &mut interrupted,
            None => &mut plain,
        };
        let outcome = train_objective(
            &mut decoder,
            objective,
            &options(),
            folder.path(),
            &Control::default(),
            &mut |_, _| {},
        );
        outcome.map(|_| weights(&decoder))
    };
    let expected = run(None).unwrap();
    // To the bit: what was half done has left nothing behind.
    assert_eq!(run(Some(ENDED)).unwrap(), expected);
    // Any other failure ends the run.
    let failed = run(Some("out of memory"));
    assert!(matches!(failed, Err(Error::Tensor(_))));
}
