//! The kinds of adapters and optimisers, and the random parts of training.

use crate::common::{lora, samples, spec};
use attune_data::Batch;
use attune_engine::{
    Control, DType, Decoder, Device, Error, LoraConfig, LoraInit, ModelSpec, Noise, OptimizerKind,
    Outcome, TargetModules, TrainEvent, TrainOptions, WeightType, train,
};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(decoder: &Decoder) -> Vec<u32> {
    let values_of = |x: &Tensor| values(x).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    decoder.trainable().values().flat_map(values_of).collect()
}

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 1.5,
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 2e-2,
        weight_decay: 0.01,
        gradient_clip: 1.0,
        neftune_noise_alpha: 5.0,
        loraplus_lr_ratio: 4.0,
        seed: 11,
        ..TrainOptions::default()
    }
}

/// Trains to the end, or to a pause after every step.
fn run(decoder: &mut Decoder, options: &TrainOptions, folder: &Path, pauses: bool) -> Outcome {
    let control = Control::default();
    train(
        decoder,
        &samples(17, 1),
        &[],
        options,
        folder,
        &control,
        &mut |event, _| {
            if pauses && matches!(event, TrainEvent::Step { .. }) {
                control.pause();
            }
        },
    )
    .unwrap()
}

fn attached(config: &LoraConfig) -> Decoder {
    let mut decoder = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    decoder.attach_lora(config, 5).unwrap();
    decoder
}

/// After a few steps: B is not zero then, and A has a gradient.
fn trained(config: &LoraConfig) -> Decoder {
    let mut decoder = attached(config);
    let folder = tempfile::tempdir().unwrap();
    run(&mut decoder, &options(), folder.path(), false);
    decoder
}

fn kinds() -> Vec<LoraConfig> {
    let dropped = LoraConfig {
        lora_dropout: 0.3,
        ..lora()
    };
    vec![
        dropped.clone(),
        LoraConfig {
            use_dora: true,
            use_rslora: true,
            rank_pattern: vec![("down_proj".into(), 2)],
            ..dropped.clone()
        },
        LoraConfig {
            modules_to_save: vec!["embed_tokens".into()],
            target_modules: TargetModules::Pattern(r".*layers\.1\..*".into()),
            ..dropped.clone()
        },
        LoraConfig {
            init_lora_weights: LoraInit::Pissa,
            rank_pattern: vec![("v_proj".into(), 2)],
            ..dropped
        },
    ]
}

fn noise(step: u64) -> Noise {
    Noise {
        seed: 7,
        step,
        micro_batch: 0,
        neftune_noise_alpha: 3.0,
    }
}

fn gradients(
    decoder: &mut Decoder,
    recompute: bool,
    noise: &Noise,
) -> (f64, BTreeMap<String, Vec<f32>>) {
    let batch = Batch::from_samples(&samples(4, 3));
    decoder.clear_gradients().unwrap();
    let loss = decoder.noisy_loss_and_backward(&batch, 1.0, recompute, noise);
    let gradients = decoder.gradients().into_iter();
    let gradients = gradients.map(|(name, x)| (name, values(&x))).collect();
    (loss.unwrap(), gradients)
}

#[test]
fn noise_is_a_function_of_the_step_and_is_over_after_it() {
    for config in kinds() {
        let mut decoder = trained(&config);
        let batch = Batch::from_samples(&samples(4, 3));
        let quiet = decoder.token_losses(&batch).unwrap();
        let stored = gradients(&mut decoder, false, &noise(2));
        assert_eq!(gradients(&mut decoder, true, &noise(2)), stored);
        assert_ne!(gradients(&mut decoder, false, &noise(3)).0, stored.0);
        assert_eq!(decoder.token_losses(&batch).unwrap(), quiet);
        let silent = Noise {
            neftune_noise_alpha: 0.0,
            ..noise(2)
        };
        assert_ne!(gradients(&mut decoder, false, &silent).0, stored.0);
    }
}

/// Finite differences of the noisy loss, at the largest element of each gradient. DoRA's norm is
/// a constant to its backward, so there only what stands beside it is looked at.
#[test]
fn noisy_gradients_equal_finite_differences() {
    for config in kinds() {
        let mut decoder = trained(&config);
        let noise = noise(2);
        let (_, gradients_by_name) = gradients(&mut decoder, false, &noise);
        for (name, parameter) in decoder.trainable() {
            if config.use_dora && !name.contains("magnitude") {
                continue;
            }
            let gradient = &gradients_by_name[&name];
            let index = (0..gradient.len())
                .max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs()))
                .unwrap();
            let mut loss_at = |change: f32| {
                let original = values(&parameter);
                let mut moved = original.clone();
                moved[index] += change;
                let set = |values: Vec<f32>| {
                    let values = Tensor::from_vec(values, parameter.shape(), &Device::Cpu).unwrap();
                    parameter.slice_set(&values, 0, 0).unwrap();
                };
                set(moved);
                let loss = gradients(&mut decoder, false, &noise).0;
                set(original);
                loss
            };
            let step = 1e-3;
            let mut slope = |step: f32| (loss_at(step) - loss_at(-step)) / f64::from(2.0 * step);
            let numeric = (4.0 * slope(step) - slope(2.0 * step)) / 3.0;
            let error = (numeric - f64::from(gradient[index])).abs() / numeric.abs().max(0.05);
            assert!(
                error < 0.02,
                "{name}[{index}]: {} by backward, {numeric} by differences",
                gradient[index]
            );
        }
    }
}

#[test]
fn every_kind_resumes_bit_for_bit() {
    for config in kinds() {
        resumes(&|| attached(&config), &options());
    }
}

/// Weights are quantised anew when a run goes on, to the same bits.
#[test]
fn an_adapter_beside_quantised_weights_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("model");
    let base = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    base.save_folder(&place, DType::F32, None).unwrap();
    for weights in [WeightType::Nf4, WeightType::Int8] {
        for config in [lora(), kinds().remove(1)] {
            let load = || {
                let mut decoder =
                    Decoder::load(&place, weights, &Device::Cpu, &mut |_| ()).unwrap();
                decoder.attach_lora(&config, 5).unwrap();
                decoder
            };
            resumes(&load, &options());
        }
    }
    let pissa = LoraConfig {
        init_lora_weights: LoraInit::Pissa,
        ..lora()
    };
    let mut decoder = Decoder::load(&place, WeightType::Nf4, &Device::Cpu, &mut |_| ()).unwrap();
    let refused = decoder.attach_lora(&pissa, 5).unwrap_err().to_string();
    assert!(refused.contains("float32"), "{refused}");
}

#[test]
fn every_optimizer_resumes_bit_for_bit() {
    // An embedding of 4800 elements: enough for 8 bits.
    let large = ModelSpec {
        vocab_size: 300,
        ..spec()
    };
    for optimizer in [
        OptimizerKind::AdamW,
        OptimizerKind::AdamW8bit,
        OptimizerKind::Adafactor,
        OptimizerKind::Lion,
        OptimizerKind::Sgd,
    ] {
        let options = TrainOptions {
            optimizer,
            learning_rate: 5e-3,
            ..options()
        };
        let whole = || {
            let mut decoder = Decoder::random(&large, 3, &Device::Cpu).unwrap();
            decoder.make_trainable().unwrap();
            decoder
        };
        resumes(&whole, &options);
    }
}

fn resumes(make: &dyn Fn() -> Decoder, options: &TrainOptions) {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = make();
    let before = bits(&whole);
    assert_eq!(
        run(&mut whole, options, folder.path(), false),
        Outcome::Finished
    );
    assert_ne!(bits(&whole), before);
    let folder = tempfile::tempdir().unwrap();
    let resumed = loop {
        let mut fresh = make();
        if run(&mut fresh, options, folder.path(), true) == Outcome::Finished {
            break fresh;
        }
    };
    assert_eq!(bits(&resumed), bits(&whole));
    let batch = Batch::from_samples(&samples(4, 3));
    assert_eq!(
        resumed.token_losses(&batch).unwrap(),
        whole.token_losses(&batch).unwrap()
    );
}

#[test]
fn the_number_of_threads_does_not_show() {
    let bits_with = |threads: usize, work: &(dyn Fn() -> Vec<u32> + Sync)| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(work)
    };
    for config in kinds() {
        let train = || bits(&trained(&config));
        assert_eq!(bits_with(1, &train), bits_with(3, &train));
    }
    for optimizer in [OptimizerKind::AdamW8bit, OptimizerKind::Adafactor] {
        let train = || {
            let large = ModelSpec {
                vocab_size: 300,
                ..spec()
            };
            let mut decoder = Decoder::random(&large, 3, &Device::Cpu).unwrap();
            decoder.make_trainable().unwrap();
            let options = TrainOptions {
                optimizer,
                ..options()
            };
            let folder = tempfile::tempdir().unwrap();
            run(&mut decoder, &options, folder.path(), false);
            bits(&decoder)
        };
        assert_eq!(bits_with(1, &train), bits_with(3, &train));
    }
}

/// A run with another adapter or optimiser is another run.
#[test]
fn a_checkpoint_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(&mut attached(&lora()), &options(), folder.path(), true);
    let other = LoraConfig {
        lora_dropout: 0.1,
        ..lora()
    };
    let lion = TrainOptions {
        optimizer: OptimizerKind::Lion,
        ..options()
    };
    for (config, options) in [(other, options()), (lora(), lion)] {
        let refused = train(
            &mut attached(&config),
            &samples(17, 1),
            &[],
            &options,
            folder.path(),
            &Control::default(),
            &mut |_, _| {},
        );
        assert!(matches!(refused, Err(Error::CheckpointMismatch { .. })));
    }
}

/// A fresh adapter of any kind computes what the model did, and dropping it brings that back.
#[test]
fn a_fresh_adapter_changes_nothing() {
    let batch = Batch::from_samples(&samples(4, 3));
    let losses = |decoder: &Decoder| decoder.token_losses(&batch).unwrap();
    let before = losses(&Decoder::random(&spec(), 3, &Device::Cpu).unwrap());
    for config in kinds() {
        let mut decoder = trained(&config);
        for config in [config, lora()] {
            decoder.attach_lora(&config, 1).unwrap();
            for (a, b) in losses(&decoder).iter().zip(&before) {
                assert!((a - b).abs() < 1e-5, "{config:?}: {a} and {b}");
            }
        }
    }
}

#[test]
fn an_adapter_that_means_nothing_is_refused() {
    let mut decoder = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    let mut refused = |change: &dyn Fn(&mut LoraConfig)| {
        let mut config = lora();
        change(&mut config);
        decoder.attach_lora(&config, 1).unwrap_err().to_string()
    };
    let error = refused(&|config| config.modules_to_save = vec!["norm".into()]);
    assert!(error.contains("embed_tokens"), "{error}");
    let error = refused(&|config| config.target_modules = TargetModules::Pattern("(".into()));
    assert!(error.contains("regular expression"), "{error}");
    let error = refused(&|config| config.rank_pattern = vec![("q_proj".into(), 0)]);
    assert!(error.contains("rank"), "{error}");
    let error = refused(&|config| {
        config.use_dora = true;
        config.init_lora_weights = LoraInit::Pissa;
    });
    assert!(error.contains("PiSSA"), "{error}");
    let error = refused(&|config| {
        config.r = 20;
        config.init_lora_weights = LoraInit::Pissa;
    });
    assert!(error.contains("rank 20"), "{error}");
}
