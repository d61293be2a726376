//! Whole steps on a device.

use attune_data::{Conversation, Role, Sample, Tokenizer, Turn};
use attune_engine::{
    Control, DType, Decoder, Device, LoraConfig, TrainEvent, TrainOptions, check_device, train,
};
use attune_kernels::{AdamW, Moments8bit, Remainders, adamw8bit};
use attune_studio::starter::MODEL_FILES;
use attune_studio::starter::dataset::SampleDataset;
use candle_core::Tensor;

/// What `attune doctor` runs.
pub fn the_check_agrees(device: &Device) {
    let check = check_device(device).unwrap();
    assert!(check.agrees, "{check:?}");
}

/// What a GPU cannot do yet fails with a word, and not with other numbers.
pub fn what_is_missing_is_refused_by_name(device: &Device) {
    let mut parameter = Tensor::ones((64, 64), DType::F32, device).unwrap();
    let gradient = parameter.clone();
    let options = AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        step: 1,
        gradient_scale: 1.0,
    };
    let mut moments = Moments8bit::zeros(64 * 64);
    let refused = adamw8bit(&mut parameter, &mut moments, &gradient, &options);
    assert!(refused.unwrap_err().to_string().contains("8-bit AdamW"));
    let refused = Remainders::split(&parameter).unwrap_err();
    assert!(refused.to_string().contains("bf16 weights"));
}

/// The bundled model on the bundled data: the losses of the CPU, step by step, and falling.
pub fn the_starter_model_learns_as_on_the_processor(device: &Device) {
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
        learning_rate: 2e-3,
        gradient_clip: 1.0,
        ..TrainOptions::default()
    };
    let losses = |device: &Device| {
        let mut decoder = Decoder::load(folder.path(), DType::F32, device, &mut |_| ()).unwrap();
        decoder.attach_lora(&LoraConfig::default(), 1).unwrap();
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
    };
    let (expected, computed) = (losses(&Device::Cpu), losses(device));
    assert_eq!(computed.len(), 12);
    for (step, (computed, expected)) in computed.iter().zip(&expected).enumerate() {
        assert!(
            (computed - expected).abs() < 1e-2 * expected.max(0.1),
            "step {step}: {computed} where the CPU has {expected}"
        );
    }
    assert!(computed[11] < computed[0]);
}
