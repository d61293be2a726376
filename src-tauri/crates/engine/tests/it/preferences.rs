//! Runs that learn preferences.

use crate::common::{lora, samples, spec};
use attune_data::{PreferencePair, RatedSample};
use attune_engine::{
    Control, Decoder, Device, Error, Kto, KtoOptions, LoraConfig, LoraInit, Objective, Outcome,
    Preference, PreferenceLoss, PreferenceOptions, TrainEvent, TrainOptions, train_objective,
};
use std::path::{Path, PathBuf};

/// What is trained in which way.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Full,
    Lora,
    /// With the embedding trained whole, and dropout.
    Whole,
    Pissa,
}

fn decoder(way: Way) -> Decoder {
    let mut decoder = Decoder::random(&spec(), 3, &Device::Cpu).unwrap();
    let plain = lora();
    let config = match way {
        Way::Full => {
            decoder.make_trainable().unwrap();
            return decoder;
        }
        Way::Lora => plain,
        Way::Whole => LoraConfig {
            modules_to_save: vec!["embed_tokens".into()],
            lora_dropout: 0.2,
            ..plain
        },
        Way::Pissa => LoraConfig {
            init_lora_weights: LoraInit::Pissa,
            ..plain
        },
    };
    decoder.attach_lora(&config, 5).unwrap();
    decoder
}

/// The better answer counts on in steps of seven, the worse one stands still.
fn pairs(count: usize, seed: u64) -> Vec<PreferencePair> {
    let pairs = samples(count, seed).into_iter().map(|chosen| {
        let mut rejected = chosen.clone();
        let first = rejected.tokens[0];
        let answers = rejected.tokens.iter_mut().zip(&rejected.loss_mask);
        for (token, learnt) in answers {
            if *learnt {
                *token = first;
            }
        }
        PreferencePair { chosen, rejected }
    });
    pairs.collect()
}

fn rated(count: usize, seed: u64) -> Vec<RatedSample> {
    let pairs = pairs(count, seed).into_iter().enumerate();
    let rated = pairs.map(|(index, pair)| RatedSample {
        desirable: index % 3 != 0,
        sample: if index % 3 == 0 {
            pair.rejected
        } else {
            pair.chosen
        },
    });
    rated.collect()
}

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 3.0,
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 2e-2,
        max_length: 32,
        seed: 11,
        ..TrainOptions::default()
    }
}

/// A loss over pairs, or KTO.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Pairs(PreferenceLoss),
    Kto,
}

fn run(
    decoder: &mut Decoder,
    loss: Loss,
    options: &TrainOptions,
    folder: &Path,
    pauses: bool,
) -> Result<(Outcome, Vec<TrainEvent>), Error> {
    let (pairs, held_out) = (pairs(11, 1), pairs(3, 2));
    let (rated, rated_held_out) = (rated(11, 1), rated(4, 2));
    let mut preference;
    let mut kto;
    let objective: &mut dyn Objective = match loss {
        Loss::Pairs(loss_type) => {
            preference = Preference::new(&pairs, &held_out, PreferenceOptions::new(loss_type));
            &mut preference
        }
        Loss::Kto => {
            kto = Kto::new(&rated, &rated_held_out, KtoOptions::default());
            &mut kto
        }
    };
    let control = Control::default();
    let mut events = Vec::new();
    let outcome = train_objective(
        decoder,
        objective,
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
    outcome.map(|outcome| (outcome, events))
}

fn bits(decoder: &Decoder) -> Vec<u32> {
    let values = decoder.trainable();
    values
        .values()
        .flat_map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .map(f32::to_bits)
        .collect()
}

/// All that steps and evaluations say but the clock.
fn told(events: &[TrainEvent]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match event {
        TrainEvent::Step {
            step,
            loss,
            grad_norm,
            metrics,
            ..
        } => Some(format!("{step} {loss} {grad_norm} {metrics:?}")),
        TrainEvent::Evaluation {
            step,
            loss,
            metrics,
            ..
        } => Some(format!("{step} {loss} {metrics:?}")),
        _ => None,
    });
    told.collect()
}

fn reference_file(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("reference-")
    })
}

/// Each loss tells the answers further apart after a while, and says so of the held-out ones too.
#[test]
fn preferences_are_learnt() {
    for loss in [
        Loss::Pairs(PreferenceLoss::Dpo),
        Loss::Pairs(PreferenceLoss::KtoPair),
        Loss::Pairs(PreferenceLoss::Simpo),
        Loss::Pairs(PreferenceLoss::Orpo),
        Loss::Kto,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions {
            epochs: 15.0,
            ..options()
        };
        let (_, events) = run(
            &mut decoder(Way::Lora),
            loss,
            &options,
            folder.path(),
            false,
        )
        .unwrap();
        let margins: Vec<f64> = events
            .iter()
            .filter_map(|event| match event {
                // A step of KTO may see answers of one kind only.
                TrainEvent::Step { metrics, .. } => metrics.get("rewards/margins").copied(),
                _ => None,
            })
            .collect();
        let last = &margins[margins.len() - 3..];
        let gain = last.iter().sum::<f64>() / 3.0 - margins[0];
        assert!(gain > 0.02, "{loss:?}: {margins:?}");
        let held_out = events.iter().any(|event| {
            matches!(event, TrainEvent::Evaluation { metrics, .. } if metrics.contains_key("rewards/margins"))
        });
        assert!(held_out);
    }
}

/// Pausing at every single step and going on in a fresh model gives the same bits as no pause:
/// what was known before the first step is read again.
#[test]
fn a_resumed_preference_run_equals_an_uninterrupted_one_bit_for_bit() {
    for (way, loss) in [
        (Way::Lora, Loss::Pairs(PreferenceLoss::Dpo)),
        (Way::Whole, Loss::Pairs(PreferenceLoss::KtoPair)),
        (Way::Pissa, Loss::Pairs(PreferenceLoss::Ipo)),
        (Way::Full, Loss::Pairs(PreferenceLoss::Orpo)),
        (Way::Full, Loss::Pairs(PreferenceLoss::Hinge)),
        (Way::Lora, Loss::Kto),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = decoder(way);
        let (_, whole_events) = run(&mut whole, loss, &options(), folder.path(), false).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let mut events = Vec::new();
        let resumed = loop {
            let mut fresh = decoder(way);
            let (outcome, more) = run(&mut fresh, loss, &options(), folder.path(), true).unwrap();
            events.extend(more);
            if outcome == Outcome::Finished {
                break fresh;
            }
        };
        assert_eq!(told(&events), told(&whole_events), "{loss:?}");
        assert_eq!(bits(&resumed), bits(&whole), "{loss:?}");
    }
}

/// A lost file is computed anew where the weights before the run are still at hand, and missed by
/// name where they are not.
#[test]
fn what_was_known_before_the_run_is_kept_beside_it() {
    let loss = Loss::Pairs(PreferenceLoss::Dpo);
    for way in [Way::Lora, Way::Whole, Way::Pissa, Way::Full] {
        let folder = tempfile::tempdir().unwrap();
        let paused = run(&mut decoder(way), loss, &options(), folder.path(), true).unwrap();
        assert_eq!(paused.0, Outcome::Paused);
        let path = reference_file(folder.path()).unwrap();
        let before = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let again = run(&mut decoder(way), loss, &options(), folder.path(), true);
        if matches!(way, Way::Lora | Way::Whole) {
            again.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), before);
        } else {
            let refused = again.unwrap_err();
            assert!(
                matches!(refused, Error::CheckpointMismatch { .. }),
                "{refused}"
            );
            assert!(refused.to_string().contains("reference-"));
        }
    }
    // A loss without a reference leaves no file.
    let folder = tempfile::tempdir().unwrap();
    let orpo = Loss::Pairs(PreferenceLoss::Orpo);
    run(
        &mut decoder(Way::Lora),
        orpo,
        &options(),
        folder.path(),
        true,
    )
    .unwrap();
    assert_eq!(reference_file(folder.path()), None);
}

/// An end asked for while the reference is computed leaves nothing half done.
#[test]
fn a_run_can_be_paused_before_its_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::default();
    control.pause();
    let pairs = pairs(5, 1);
    let options_dpo = PreferenceOptions::new(PreferenceLoss::Dpo);
    let outcome = train_objective(
        &mut decoder(Way::Lora),
        &mut Preference::new(&pairs, &[], options_dpo.clone()),
        &options(),
        folder.path(),
        &control,
        &mut |_, _| (),
    );
    assert_eq!(outcome.unwrap(), Outcome::Paused);
    assert_eq!(reference_file(folder.path()), None);

    let mut empty = pairs.clone();
    empty[2].rejected.loss_mask.fill(false);
    let refused = train_objective(
        &mut decoder(Way::Lora),
        &mut Preference::new(&empty, &[], options_dpo),
        &options(),
        folder.path(),
        &Control::default(),
        &mut |_, _| (),
    );
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("pair 3"), "{refused}");
}
