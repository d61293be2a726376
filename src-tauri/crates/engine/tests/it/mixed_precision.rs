//! Full fine-tuning with bf16 weights and f32 masters, and paged optimisers: what a run leaves, to
//! the bit.

use crate::common::{samples, spec};
use attune_engine::{
    Control, DType, Decoder, Device, Error, ModelSpec, OptimizerKind, Outcome, TrainEvent,
    TrainOptions, TrainedType, train,
};
use std::collections::BTreeMap;
use std::path::Path;

const OPTIMIZERS: [OptimizerKind; 5] = [
    OptimizerKind::AdamW,
    OptimizerKind::AdamW8bit,
    OptimizerKind::Adafactor,
    OptimizerKind::Lion,
    OptimizerKind::Sgd,
];

/// An embedding of 4800 elements: enough for 8 bits.
fn model(trained: TrainedType) -> Decoder {
    let large = ModelSpec {
        vocab_size: 300,
        ..spec()
    };
    let mut decoder = Decoder::random(&large, 3, &Device::Cpu).unwrap();
    decoder.make_trainable_in(trained).unwrap();
    decoder
}

fn options(optimizer: OptimizerKind) -> TrainOptions {
    TrainOptions {
        epochs: 1.5,
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        gradient_clip: 1.0,
        seed: 11,
        optimizer,
        ..TrainOptions::default()
    }
}

/// Trains to the end, a fresh model going on after every step where `pauses`; the files of the last
/// checkpoint.
fn run(
    trained: TrainedType,
    options: &TrainOptions,
    folder: &Path,
    pauses: bool,
) -> BTreeMap<String, Vec<u8>> {
    loop {
        let (mut decoder, control) = (model(trained), Control::default());
        let mut pause = |event, _: &Decoder| {
            if pauses && matches!(event, TrainEvent::Step { .. }) {
                control.pause();
            }
        };
        let data = samples(17, 1);
        let outcome = train(
            &mut decoder,
            &data,
            &[],
            options,
            folder,
            &control,
            &mut pause,
        );
        if outcome.unwrap() == Outcome::Finished {
            break;
        }
    }
    last_files(folder)
}

fn last_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let last = attune_engine::last_checkpoint(folder).unwrap().unwrap();
    let files = std::fs::read_dir(last.folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    });
    files.collect()
}

fn finished(
    trained: TrainedType,
    options: &TrainOptions,
    pauses: bool,
) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    run(trained, options, folder.path(), pauses)
}

#[test]
fn bf16_with_masters_resumes_bit_for_bit() {
    for optimizer in OPTIMIZERS {
        let options = options(optimizer);
        let whole = finished(TrainedType::Bf16, &options, false);
        assert!(
            finished(TrainedType::Bf16, &options, true) == whole,
            "{optimizer:?}"
        );
        let plain = finished(TrainedType::F32, &options, false);
        assert!(plain["model.safetensors"] != whole["model.safetensors"]);
    }
}

/// The checkpoint holds the f32 masters, which rounded are what was computed with.
#[test]
fn a_checkpoint_holds_the_masters() {
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = model(TrainedType::Bf16);
    let options = options(OptimizerKind::AdamW);
    let (data, control) = (samples(17, 1), Control::default());
    train(
        &mut decoder,
        &data,
        &[],
        &options,
        folder.path(),
        &control,
        &mut |_, _| {},
    )
    .unwrap();
    let last = attune_engine::last_checkpoint(folder.path())
        .unwrap()
        .unwrap();
    let stored =
        candle_core::safetensors::load(last.folder.join("model.safetensors"), &Device::Cpu)
            .unwrap();
    let mut rounded = 0;
    for (name, value) in decoder.trainable() {
        let master = &stored[&name];
        assert_eq!(master.dtype(), DType::F32, "{name}");
        let expected = if value.rank() == 2 {
            DType::BF16
        } else {
            DType::F32
        };
        assert_eq!(value.dtype(), expected, "{name}");
        let values = |x: &candle_core::Tensor| -> Vec<f32> {
            let x = x.to_dtype(DType::F32).unwrap();
            x.flatten_all().unwrap().to_vec1().unwrap()
        };
        let again = master.to_dtype(value.dtype()).unwrap();
        assert_eq!(values(&again), values(&value), "{name}");
        rounded += usize::from(values(master) != values(&value));
    }
    assert!(rounded > 10);
    // It loads as any model, and an adapter beside it ends the training of the whole.
    let loaded = Decoder::load(&last.folder, DType::F32, &Device::Cpu, &mut |_| {}).unwrap();
    assert_eq!(loaded.trained_type(), TrainedType::F32);
    decoder.attach_lora(&crate::common::lora(), 1).unwrap();
    assert_eq!(decoder.trained_type(), TrainedType::F32);
    // A run in f32 is another run.
    let mut other = model(TrainedType::F32);
    let refused = train(
        &mut other,
        &data,
        &[],
        &options,
        folder.path(),
        &control,
        &mut |_, _| {},
    );
    assert!(matches!(refused, Err(Error::CheckpointMismatch { .. })));
}
/// Paged or not, whole or interrupted, from one to the other: the same files.
#[test]
fn a_paged_optimizer_changes_no_bit() {
    for (index, optimizer) in OPTIMIZERS.into_iter().enumerate() {
        let trained = [TrainedType::F32, TrainedType::Bf16][index % 2];
        let plain = options(optimizer);
        let paged = TrainOptions {
            paged_optimizer: true,
            ..plain.clone()
        };
        let expected = finished(trained, &plain, false);
        assert!(finished(trained, &paged, true) == expected, "{optimizer:?}");
        // Begun in memory, ended from a file.
        let folder = tempfile::tempdir().unwrap();
        let (mut decoder, control) = (model(trained), Control::default());
        let mut pause = |event, _: &Decoder| {
            if matches!(event, TrainEvent::Step { step: 2, .. }) {
                assert_eq!(unnamed_files(folder.path()), 0);
                control.pause();
            }
        };
        let (data, place) = (samples(17, 1), folder.path());
        train(
            &mut decoder,
            &data,
            &[],
            &plain,
            place,
            &control,
            &mut pause,
        )
        .unwrap();
        let control = Control::default();
        let mut look = |event, _: &Decoder| {
            if matches!(event, TrainEvent::Step { .. }) {
                let expected = usize::from(cfg!(target_os = "linux"));
                assert_eq!(unnamed_files(folder.path()), expected);
            }
        };
        train(&mut decoder, &data, &[], &paged, place, &control, &mut look).unwrap();
        assert!(last_files(place) == expected, "{optimizer:?}");
    }
}

/// Files in a folder that this process holds open and no name leads to; where the system tells.
fn unnamed_files(folder: &Path) -> usize {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let gone =
        |link: &Path| link.starts_with(folder) && link.to_string_lossy().ends_with("(deleted)");
    links.filter(|link| gone(link)).count()
}
