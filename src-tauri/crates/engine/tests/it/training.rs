//! Runs as a whole: what they learn, and that an interrupted one loses nothing.

use crate::common::{decoder, samples};
use attune_engine::{
    Control, Decoder, Error, Outcome, Schedule, TrainEvent, TrainOptions, best_checkpoint,
    last_checkpoint, train,
};
use std::path::Path;

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 4.0,
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 2e-2,
        warmup_epochs: 0.5,
        weight_decay: 0.01,
        gradient_clip: 1.0,
        max_length: 16,
        seed: 11,
        ..TrainOptions::default()
    }
}

/// Runs to the end or to what `steer` asks for.
fn run(
    decoder: &mut Decoder,
    options: &TrainOptions,
    folder: &Path,
    steer: impl Fn(&TrainEvent, &Control),
) -> (Outcome, Vec<TrainEvent>) {
    let control = Control::default();
    let mut events = Vec::new();
    let outcome = train(
        decoder,
        &samples(17, 1),
        &samples(3, 2),
        options,
        folder,
        &control,
        &mut |event, _| {
            steer(&event, &control);
            events.push(event);
        },
    );
    (outcome.unwrap(), events)
}

fn bits(decoder: &Decoder) -> Vec<u32> {
    let values = decoder.trainable();
    values
        .values()
        .flat_map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .map(f32::to_bits)
        .collect()
}

fn losses(events: &[TrainEvent]) -> Vec<(u64, f64)> {
    let losses = events.iter().filter_map(|event| match event {
        TrainEvent::Step { step, loss, .. } => Some((*step, *loss)),
        _ => None,
    });
    losses.collect()
}

#[test]
fn the_loss_falls() {
    for full in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions {
            epochs: 12.0,
            ..options()
        };
        let (outcome, events) = run(&mut decoder(full), &options, folder.path(), |_, _| {});
        assert_eq!(outcome, Outcome::Finished);
        let losses = losses(&events);
        assert_eq!(losses.len(), 12 * 5);
        let (first, last) = (losses[0].1, losses[losses.len() - 1].1);
        let gain = if full { 1.0 } else { 0.2 };
        assert!(last < first - gain, "full {full}: {first} to {last}");
    }
}

/// Pausing at every single step and going on in a fresh model gives the same bits as no pause.
#[test]
fn resumed_equals_uninterrupted_bit_for_bit() {
    for (full, packing) in [(true, false), (false, true), (false, false)] {
        let options = TrainOptions {
            packing,
            ..options()
        };
        let folder = tempfile::tempdir().unwrap();
        let mut whole = decoder(full);
        let (_, whole_events) = run(&mut whole, &options, folder.path(), |_, _| {});

        let folder = tempfile::tempdir().unwrap();
        let mut events = Vec::new();
        let resumed = loop {
            let mut fresh = decoder(full);
            let (outcome, more) = run(&mut fresh, &options, folder.path(), |event, control| {
                if matches!(event, TrainEvent::Step { .. }) {
                    control.pause();
                }
            });
            events.extend(more);
            if outcome == Outcome::Finished {
                break fresh;
            }
            assert_eq!(outcome, Outcome::Paused);
        };
        assert_eq!(losses(&events), losses(&whole_events));
        assert_eq!(bits(&resumed), bits(&whole));
    }
}

#[test]
fn stopping_keeps_what_was_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let mut stopped = decoder(false);
    let (outcome, events) = run(&mut stopped, &options(), folder.path(), |event, control| {
        if matches!(event, TrainEvent::Step { step: 3, .. }) {
            control.stop();
        }
    });
    assert_eq!(outcome, Outcome::Stopped);
    assert!(matches!(
        events.last(),
        Some(TrainEvent::Stopped { step: 3, .. })
    ));
    let info = last_checkpoint(folder.path()).unwrap().unwrap();
    assert_eq!(info.step, 3);
    let mut loaded = decoder(false);
    loaded.load_adapter(&info.folder).unwrap();
    assert_eq!(bits(&loaded), bits(&stopped));
}

#[test]
fn early_stopping_ends_and_the_best_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    // A rate at which the validation loss soon rises.
    let options = TrainOptions {
        epochs: 200.0,
        learning_rate: 0.5,
        schedule: Schedule::Constant,
        gradient_clip: 0.0,
        early_stopping_patience: 3,
        ..options()
    };
    let (outcome, events) = run(&mut decoder(false), &options, folder.path(), |_, _| {});
    assert_eq!(outcome, Outcome::StoppedEarly);
    let evaluations: Vec<(u64, f64)> = events
        .iter()
        .filter_map(|event| match event {
            TrainEvent::Evaluation { step, loss, .. } => Some((*step, *loss)),
            _ => None,
        })
        .collect();
    let lowest = evaluations
        .iter()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap();
    let best = best_checkpoint(folder.path()).unwrap().unwrap();
    assert_eq!((best.step, best.best_loss), (lowest.0, Some(lowest.1)));
    assert_eq!(
        evaluations.len(),
        3 + evaluations.iter().position(|one| one == lowest).unwrap() + 1
    );
    // Only what the two pointers name is left.
    let folders = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 2);
}

#[test]
fn a_checkpoint_of_other_data_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    run(
        &mut decoder(false),
        &options(),
        folder.path(),
        |_, control| control.pause(),
    );
    let before = last_checkpoint(folder.path()).unwrap();
    let other = samples(9, 5);
    let refused = train(
        &mut decoder(false),
        &other,
        &[],
        &options(),
        folder.path(),
        &Control::default(),
        &mut |_, _| {},
    );
    assert!(matches!(refused, Err(Error::CheckpointMismatch { .. })));
    assert_eq!(last_checkpoint(folder.path()).unwrap(), before);
}

#[test]
fn a_run_that_cannot_learn_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut masked = samples(4, 1);
    masked
        .iter_mut()
        .for_each(|sample| sample.loss_mask.fill(false));
    let refused = train(
        &mut decoder(false),
        &masked,
        &[],
        &options(),
        folder.path(),
        &Control::default(),
        &mut |_, _| {},
    );
    assert!(matches!(refused, Err(Error::NothingToTrain(_))));
}
