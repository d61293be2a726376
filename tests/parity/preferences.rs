//! Losses over preferences are TRL's, alone and through a model.
//!
//! `preferences.py` has recorded them; how to record anew: the head of that file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use attune_data::{PreferencePair, RatedSample, Sample};
use attune_engine::{
    Control, Decoder, Kto, KtoOptions, Objective, Outcome, PairLogProbabilities, Preference,
    PreferenceLoss, PreferenceOptions, Preparation, StepContext, TrainEvent, TrainOptions,
    kto_loss, preference_losses, train_objective,
};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

use crate::fixture::{Fixture, Options};
use crate::table::Table;
use crate::{TOLERANCE, difference, subject};

/// One recorded loss.
#[derive(Deserialize)]
struct Case {
    loss_type: String,
    family: String,
    full: bool,
    settings: Settings,
    /// Losses and slopes at given log-probabilities.
    alone: BTreeMap<String, Alone>,
    data: Vec<Answers>,
    loss: f64,
    metrics: BTreeMap<String, f64>,
    learning_rate: f64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Settings {
    beta: f64,
    label_smoothing: f64,
    simpo_gamma: f64,
    cpo_alpha: f64,
    desirable_weight: f64,
    undesirable_weight: f64,
}

#[derive(Deserialize)]
struct Alone {
    chosen: Vec<f64>,
    rejected: Vec<f64>,
    reference_chosen: Vec<f64>,
    reference_rejected: Vec<f64>,
    losses: Vec<f64>,
    chosen_slopes: Vec<f64>,
    rejected_slopes: Vec<f64>,
}

/// A prompt with two answers, or with one that was rated.
#[derive(Deserialize)]
struct Answers {
    prompt: Vec<u32>,
    #[serde(default)]
    chosen: Vec<u32>,
    #[serde(default)]
    rejected: Vec<u32>,
    #[serde(default)]
    answer: Vec<u32>,
    #[serde(default)]
    desirable: bool,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    grad_norm: f64,
    metrics: BTreeMap<String, f64>,
}

impl Answers {
    fn sample(&self, answer: &[u32]) -> Sample {
        Sample {
            tokens: [&self.prompt, answer].concat(),
            loss_mask: [vec![false; self.prompt.len()], vec![true; answer.len()]].concat(),
        }
    }

    fn pair(&self) -> PreferencePair {
        PreferencePair {
            chosen: self.sample(&self.chosen),
            rejected: self.sample(&self.rejected),
        }
    }

    fn rated(&self) -> RatedSample {
        RatedSample {
            sample: self.sample(&self.answer),
            desirable: self.desirable,
        }
    }
}

impl Case {
    fn decoder(&self) -> Decoder {
        let fixture = Fixture::load(&self.family);
        let mut decoder = subject::base(&fixture);
        if self.full {
            decoder.make_trainable().unwrap();
        } else {
            decoder.load_adapter(&fixture.adapter()).unwrap();
        }
        decoder
    }

    fn preference(&self) -> PreferenceOptions {
        let settings = &self.settings;
        let name = Value::String(self.loss_type.clone());
        let loss_type: PreferenceLoss = serde_json::from_value(name).unwrap();
        PreferenceOptions {
            loss_type,
            beta: settings.beta,
            label_smoothing: settings.label_smoothing,
            simpo_gamma: settings.simpo_gamma,
            cpo_alpha: settings.cpo_alpha,
        }
    }

    fn kto(&self) -> KtoOptions {
        KtoOptions {
            beta: self.settings.beta,
            desirable_weight: self.settings.desirable_weight,
            undesirable_weight: self.settings.undesirable_weight,
        }
    }

    /// Runs `work` with the objective over the recorded data.
    fn with_objective<T>(&self, work: impl FnOnce(&mut dyn Objective) -> T) -> T {
        if self.loss_type == "kto" {
            let data: Vec<RatedSample> = self.data.iter().map(Answers::rated).collect();
            return work(&mut Kto::new(&data, &data[..4], self.kto()));
        }
        let data: Vec<PreferencePair> = self.data.iter().map(Answers::pair).collect();
        work(&mut Preference::new(&data, &data[..4], self.preference()))
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/preferences")
}

/// The recorded settings, and the cases by name.
fn recordings() -> (Options, BTreeMap<String, Case>) {
    let json = std::fs::read(fixtures().join("expected.json")).unwrap();
    let mut entries: BTreeMap<String, Value> = serde_json::from_slice(&json).unwrap();
    entries.remove("versions");
    let options = serde_json::from_value(entries.remove("options").unwrap()).unwrap();
    let case = |(name, case)| (name, serde_json::from_value(case).unwrap());
    (options, entries.into_iter().map(case).collect())
}

fn named(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let named = tensors.iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
        Some((name.to_owned(), tensor.clone()))
    });
    named.collect()
}

/// TRL's losses and slopes at given log-probabilities, in f64 on both sides.
#[test]
fn every_loss_alone_is_trls() {
    for (name, case) in recordings().1 {
        for (kind, recorded) in &case.alone {
            let (mut losses, mut chosen, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
            if case.loss_type == "kto" {
                let kl: f64 = kind.parse().unwrap();
                let options = case.kto();
                let sides = [
                    (&recorded.chosen, &recorded.reference_chosen, true),
                    (&recorded.rejected, &recorded.reference_rejected, false),
                ];
                for (policy, before, desirable) in sides {
                    for (policy, before) in policy.iter().zip(before) {
                        let found = kto_loss(&options, policy - before, desirable, kl);
                        losses.push(found.loss);
                        let slopes = if desirable {
                            &mut chosen
                        } else {
                            &mut rejected
                        };
                        slopes.push(found.slope);
                    }
                }
            } else {
                let options = case.preference();
                let measured = options.loss_type.needs_reference();
                let before = |value: f64| if measured { value } else { 0.0 };
                let pairs: Vec<PairLogProbabilities> = (0..recorded.chosen.len())
                    .map(|index| PairLogProbabilities {
                        chosen: recorded.chosen[index],
                        rejected: recorded.rejected[index],
                        reference_chosen: before(recorded.reference_chosen[index]),
                        reference_rejected: before(recorded.reference_rejected[index]),
                    })
                    .collect();
                for found in preference_losses(&options, &pairs) {
                    losses.push(found.loss);
                    chosen.push(found.chosen_slope);
                    rejected.push(found.rejected_slope);
                }
            }
            for (found, expected) in [
                (&losses, &recorded.losses),
                (&chosen, &recorded.chosen_slopes),
                (&rejected, &recorded.rejected_slopes),
            ] {
                let apart = difference::of_values(found, expected);
                assert!(apart < 1e-9, "{name}, {kind}: {apart:.1e}");
            }
        }
    }
}

/// The recorded training's settings for a step of four samples in two micro-batches.
fn options(case: &Case, recorded: &Options) -> TrainOptions {
    TrainOptions {
        evaluation_epochs: 0.0,
        ..subject::options(recorded, case.data.len(), case.learning_rate)
    }
}

/// Through the model: loss, what is logged, gradients, and a training by the loop users run.
#[test]
fn every_loss_through_a_model_is_trls() {
    let mut table = Table::default();
    let (recorded, cases) = recordings();
    for (name, case) in &cases {
        table.row(&format!("{name} ({})", case.family));
        let path = fixtures().join(format!("{name}.safetensors"));
        let tensors: BTreeMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu)
            .unwrap()
            .into_iter()
            .collect();
        let options = options(case, &recorded);

        for (micro_batches, columns) in [
            (vec![vec![0, 1, 2, 3]], ["loss", "metrics", "gradients"]),
            (
                vec![vec![0], vec![1, 2, 3]],
                ["divided: loss", "divided: metrics", "divided: gradients"],
            ),
        ] {
            let mut decoder = case.decoder();
            let folder = tempfile::tempdir().unwrap();
            let found = case.with_objective(|objective| {
                let preparation = Preparation {
                    checkpoints: folder.path(),
                    fresh: true,
                    weights: "",
                    options: &options,
                    control: &Control::default(),
                };
                assert!(objective.prepare(&mut decoder, &preparation).unwrap());
                let context = StepContext {
                    step: 1,
                    options: &options,
                };
                objective
                    .step(&mut decoder, &micro_batches, &context)
                    .unwrap()
            });
            table.add(
                columns[0],
                difference::of_values(&[found.loss], &[case.loss]),
            );
            table.add(columns[1], metrics_apart(&found.metrics, &case.metrics));
            let gradients = decoder.gradients();
            let expected = named(&tensors, "gradient");
            table.add(columns[2], difference::of_named(&gradients, &expected));
        }

        let mut decoder = case.decoder();
        let folder = tempfile::tempdir().unwrap();
        let mut steps = Vec::new();
        let outcome = case.with_objective(|objective| {
            train_objective(
                &mut decoder,
                objective,
                &options,
                folder.path(),
                &Control::default(),
                &mut |event, _| {
                    if let TrainEvent::Step {
                        loss,
                        grad_norm,
                        metrics,
                        ..
                    } = event
                    {
                        steps.push((loss, grad_norm, metrics));
                    }
                },
            )
        });
        assert_eq!(outcome.unwrap(), Outcome::Finished);
        let losses: Vec<f64> = steps.iter().map(|step| step.0).collect();
        let norms: Vec<f64> = steps.iter().map(|step| step.1).collect();
        let of = |number: fn(&Step) -> f64| case.steps.iter().map(number).collect::<Vec<f64>>();
        table.add(
            "8 steps: losses",
            difference::of_values(&losses, &of(|step| step.loss)),
        );
        table.add(
            "8 steps: norms",
            difference::of_values(&norms, &of(|step| step.grad_norm)),
        );
        let last = &steps.last().unwrap().2;
        let expected = &case.steps.last().unwrap().metrics;
        table.add("8 steps: metrics", metrics_apart(last, expected));
        let expected = named(&tensors, "trained");
        table.add(
            "8 steps: weights",
            difference::of_named(&decoder.trainable(), &expected),
        );
    }
    std::io::stdout()
        .write_all(
            format!(
                "\nPreferences, largest |a − b| / max|b|, Attune beside TRL:\n\n{}\n",
                table.markdown()
            )
            .as_bytes(),
        )
        .unwrap();
    assert_eq!(table.beyond(TOLERANCE), Vec::<String>::new());
}

/// Rewards are small differences of large log-probabilities: they are judged by the latter. Where a
/// model is its own reference, every reward is zero, and which of two is the larger is rounding's.
fn metrics_apart(found: &BTreeMap<String, f64>, expected: &BTreeMap<String, f64>) -> f64 {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let tied = expected.get("rewards/margins") == Some(&0.0);
    let values = |metrics: &BTreeMap<String, f64>| -> Vec<f64> {
        let told = metrics
            .iter()
            .filter(|(name, _)| !tied || *name != "rewards/accuracies");
        told.map(|(_, value)| *value).collect()
    };
    difference::of_values(&values(found), &values(expected))
}
