//! Runs that learn labels of texts.

use crate::common::{lora, samples, spec};
use attune_data::{Label, LabelledSample};
use attune_engine::{
    Control, Decoder, Device, Outcome, ProblemType, SequenceHead, SequenceLabels, TrainEvent,
    TrainOptions, train_objective,
};
use std::collections::BTreeMap;
use std::path::Path;

/// A model that tells three kinds of texts apart.
fn classifier(full: bool) -> Decoder {
    let mut decoder = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    let head = SequenceHead::new(ProblemType::SingleLabelClassification, ["a", "b", "c"]);
    decoder.attach_sequence_head(head, 9).unwrap();
    if full {
        decoder.make_trainable().unwrap();
    } else {
        decoder.attach_lora(&lora(), 5).unwrap();
    }
    decoder
}

/// The label follows from the first token.
fn texts(count: usize, seed: u64) -> Vec<LabelledSample> {
    let texts = samples(count, seed)
        .into_iter()
        .map(|sample| LabelledSample {
            label: Label::Class(sample.tokens[0] as usize % 3),
            tokens: sample.tokens,
        });
    texts.collect()
}

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 4.0,
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 2e-2,
        max_length: 16,
        seed: 11,
        ..TrainOptions::default()
    }
}

fn run(
    decoder: &mut Decoder,
    options: &TrainOptions,
    folder: &Path,
    pauses: bool,
) -> (Outcome, Vec<TrainEvent>) {
    let control = Control::default();
    let mut events = Vec::new();
    let (train, validation) = (texts(17, 1), texts(5, 2));
    let outcome = train_objective(
        decoder,
        &mut SequenceLabels::new(&train, &validation),
        options,
        folder,
        &control,
        &mut |event, _| {
            if pauses && matches!(event, TrainEvent::Step { .. }) {
                control.pause();
            }
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

/// Loss and metrics of each step.
fn steps(events: &[TrainEvent]) -> Vec<(u64, f64, BTreeMap<String, f64>)> {
    let steps = events.iter().filter_map(|event| match event {
        TrainEvent::Step {
            step,
            loss,
            metrics,
            ..
        } => Some((*step, *loss, metrics.clone())),
        _ => None,
    });
    steps.collect()
}

#[test]
fn labels_are_learnt_and_their_accuracy_told() {
    for full in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions {
            epochs: 40.0,
            ..options()
        };
        let (_, events) = run(&mut classifier(full), &options, folder.path(), false);
        let steps = steps(&events);
        let last = &steps[steps.len() - 5..];
        let mean = last.iter().map(|(_, loss, _)| loss).sum::<f64>() / 5.0;
        let right = last
            .iter()
            .map(|(.., metrics)| metrics["accuracy"])
            .sum::<f64>()
            / 5.0;
        assert!(steps[0].1 > 1.0, "{}", steps[0].1);
        assert!(mean < 0.2 && right > 0.9, "full {full}: {mean}, {right}");
        let measured = events.iter().any(|event| {
            matches!(event, TrainEvent::Evaluation { metrics, .. } if metrics.contains_key("accuracy"))
        });
        assert!(measured);
    }
}

/// Pausing at every single step and going on in a fresh model gives the same bits as no pause.
#[test]
fn a_resumed_classifier_equals_an_uninterrupted_one_bit_for_bit() {
    for full in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = classifier(full);
        let (_, whole_events) = run(&mut whole, &options(), folder.path(), false);

        let folder = tempfile::tempdir().unwrap();
        let mut events = Vec::new();
        let resumed = loop {
            let mut fresh = classifier(full);
            let (outcome, more) = run(&mut fresh, &options(), folder.path(), true);
            events.extend(more);
            if outcome == Outcome::Finished {
                break fresh;
            }
        };
        assert_eq!(steps(&events), steps(&whole_events));
        assert_eq!(bits(&resumed), bits(&whole));
    }
}
