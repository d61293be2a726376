//! Whole steps on a device.

use attune_data::{Conversation, Role, Sample, Tokenizer, Turn};
use attune_engine::{
    Control, DType, Decoder, Device, GpuBackendKind, LoraConfig, OptimizerKind, TrainEvent,
    TrainOptions, TrainedType, check_device, train,
};
use attune_kernels::{by_compositions, dispatch_limit};
use attune_studio::starter::MODEL_FILES;
use attune_studio::starter::dataset::SampleDataset;
use candle_core::Tensor;
use std::time::Duration;

/// What `attune doctor` runs.
pub fn the_check_agrees(device: &Device) {
    let check = check_device(device).unwrap();
    assert!(check.agrees, "{check:?}");
}

/// Only a Mac's GPU is given its work in pieces; of longer ones each is larger.
pub fn a_dispatch_takes_the_time_asked_for(device: &Device) {
    let limit = |milliseconds| {
        let longest = Duration::from_millis(milliseconds);
        if device.is_metal() {
            GpuBackendKind::Metal.open_within(longest).unwrap();
        } else {
            GpuBackendKind::Cuda.open_within(longest).unwrap();
        }
        dispatch_limit(device)
    };
    let (short, long) = (limit(100), limit(400));
    if device.is_metal() {
        assert!(long.abs_diff(4 * short) <= 4, "{short}, {long}");
    } else {
        assert_eq!((short, long), (u64::MAX, u64::MAX));
    }
    limit(50);
}

/// Two threads take turns at one tensor, and a third, which never computed, gives back what they
/// made. A job trains on one thread, its model was loaded on another and is dropped on a third.
pub fn threads_share_it(device: &Device) {
    let on_another = |value: Tensor| {
        let doubled = std::thread::spawn(move || (value * 2.0).unwrap());
        doubled.join().unwrap()
    };
    let mut value = Tensor::ones((1024, 1024), DType::F32, device).unwrap();
    for _ in 0..20 {
        value = on_another(value);
    }
    let kept = value.clone();
    std::thread::spawn(move || drop(value)).join().unwrap();
    let sum = kept.sum_all().unwrap().to_scalar::<f32>().unwrap();
    std::thread::spawn(move || drop(kept)).join().unwrap();
    assert_eq!(sum, 1024.0 * 1024.0 * f32::powi(2.0, 20));
    // An error of giving back would come out here.
    let next = Tensor::ones(4, DType::F32, device).unwrap();
    assert_eq!(next.to_vec1::<f32>().unwrap(), [1.0; 4]);
}

/// The bundled model on the bundled data: the losses of the CPU, step by step, and falling.
pub fn the_starter_model_learns_as_on_the_processor(device: &Device) {
    let options = TrainOptions {
        learning_rate: 2e-3,
        ..TrainOptions::default()
    };
    let run = |device: &Device| {
        losses(device, &options, |decoder| {
            decoder.attach_lora(&LoraConfig::default(), 1).unwrap();
        })
    };
    assert_learns(&run(device), &run(&Device::Cpu));
}

/// Every weight in bf16 with f32 masters, by AdamW with moments in 8 bits: both go through the
/// CPU. For the CPU itself, as a device without kernels of its own would.
pub fn all_of_it_learns_in_few_bits(device: &Device) {
    let options = TrainOptions {
        learning_rate: 2e-4,
        optimizer: OptimizerKind::AdamW8bit,
        ..TrainOptions::default()
    };
    let run = |device: &Device| {
        losses(device, &options, |decoder| {
            decoder.make_trainable_in(TrainedType::Bf16).unwrap();
        })
    };
    let computed = if device.is_cpu() {
        by_compositions(|| run(device))
    } else {
        run(device)
    };
    assert_learns(&computed, &run(&Device::Cpu));
}

fn assert_learns(computed: &[f64], expected: &[f64]) {
    assert_eq!((computed.len(), expected.len()), (12, 12));
    for (step, (computed, expected)) in computed.iter().zip(expected).enumerate() {
        assert!(
            (computed - expected).abs() < 1e-2 * expected.max(0.1),
            "step {step}: {computed} where the CPU has {expected}"
        );
    }
    assert!(computed[11] < computed[0]);
}

/// The loss of each of 12 steps over 16 of the bundled conversations.
fn losses(device: &Device, options: &TrainOptions, prepare: impl Fn(&mut Decoder)) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in MODEL_FILES {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    let rows = SampleDataset::generate().train;
    let samples: Vec<Sample> = rows
        .into_iter()
        .take(16)
        .map(|row| {
            let turns = vec![
                Turn::new(Role::User, row.instruction),
                Turn::new(Role::Assistant, row.output),
            ];
            tokenizer.sample(&Conversation { turns }, 512).unwrap()
        })
        .collect();
    let options = TrainOptions {
        epochs: 3.0,
        batch_size: 4,
        gradient_clip: 1.0,
        ..options.clone()
    };
    let mut decoder = Decoder::load(folder.path(), DType::F32, device, &mut |_| ()).unwrap();
    prepare(&mut decoder);
    let checkpoints = tempfile::tempdir().unwrap();
    let mut losses = Vec::new();
    train(
        &mut decoder,
        &samples,
        &[],
        &options,
        checkpoints.path(),
        &Control::default(),
        &mut |event, _| {
            if let TrainEvent::Step { loss, .. } = event {
                losses.push(loss);
            }
        },
    )
    .unwrap();
    losses
}
