//! Classification and regression heads compute what transformers and PEFT compute.
//!
//! `heads.py` has recorded them; how to record anew: the head of that file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use attune_data::{Batch, Label, LabelledSample};
use attune_engine::{
    Control, DType, Decoder, Error, LoraConfig, ModelSpec, Objective, Outcome, ProblemType,
    SequenceHead, SequenceLabels, StepContext, TrainEvent, TrainOptions, train_objective,
};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Options, Training};
use crate::table::Table;
use crate::{TOLERANCE, difference, subject};

/// Every head there is a recording of.
const HEADS: [&str; 5] = ["classes", "binary", "topics", "grade", "position"];

/// One head's checkpoint, adapter and expected values.
struct Recording {
    folder: PathBuf,
    expected: Expected,
    tensors: BTreeMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    family: String,
    problem_type: ProblemType,
    labels: Vec<String>,
    samples: Vec<RecordedText>,
    data: Vec<RecordedText>,
    loss: f64,
    lora_loss: f64,
    options: Options,
    training: BTreeMap<String, Training>,
}

/// A text as the recordings have it.
#[derive(Deserialize)]
struct RecordedText {
    tokens: Vec<u32>,
    label: Value,
}

impl RecordedText {
    fn sample(&self) -> LabelledSample {
        let label = match &self.label {
            Value::Array(values) => {
                let values = values.iter().map(|value| value.as_f64().unwrap() as f32);
                Label::Values(values.collect())
            }
            class => Label::Class(class.as_u64().unwrap() as usize),
        };
        LabelledSample {
            tokens: self.tokens.clone(),
            label,
        }
    }
}

impl Recording {
    fn load(head: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("parity/fixtures/heads")
            .join(head);
        let json = std::fs::read(folder.join("expected.json")).unwrap();
        let tensors =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu);
        Self {
            expected: serde_json::from_slice(&json).unwrap(),
            tensors: tensors.unwrap().into_iter().collect(),
            folder,
        }
    }

    fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    fn decoder(&self) -> Decoder {
        Decoder::load(&self.model(), DType::F32, &Device::Cpu, &mut |_| ()).unwrap()
    }

    /// With all weights trainable, or with the adapter PEFT wrote.
    fn trainable(&self, kind: &str) -> Decoder {
        let mut decoder = self.decoder();
        if kind == "lora" {
            decoder.load_adapter(&self.folder.join("adapter")).unwrap();
        } else {
            decoder.make_trainable().unwrap();
        }
        decoder
    }

    fn samples(&self) -> Vec<LabelledSample> {
        let samples = &self.expected.samples;
        samples.iter().map(RecordedText::sample).collect()
    }

    fn data(&self) -> Vec<LabelledSample> {
        let data = &self.expected.data;
        data.iter().map(RecordedText::sample).collect()
    }

    fn named(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let named = self.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name.to_owned(), tensor.clone()))
        });
        named.collect()
    }
}

fn scores(decoder: &Decoder, samples: &[LabelledSample]) -> Tensor {
    let texts = samples.iter().map(|sample| sample.tokens.as_slice());
    decoder.label_scores(&Batch::from_texts(texts)).unwrap()
}

/// The loss over all samples, in micro-batches of these sizes, and its gradients.
fn loss_and_gradients(
    decoder: &mut Decoder,
    samples: &[LabelledSample],
    micro_batches: &[Vec<usize>],
    recompute: bool,
) -> (f64, BTreeMap<String, Tensor>) {
    decoder.clear_gradients().unwrap();
    let options = TrainOptions {
        gradient_checkpointing: recompute,
        ..TrainOptions::default()
    };
    let context = StepContext {
        step: 1,
        options: &options,
    };
    let objective = SequenceLabels::new(samples, &[]);
    let found = objective.step(decoder, micro_batches, &context).unwrap();
    let gradients = decoder.gradients().into_iter();
    let copied = gradients.map(|(name, gradient)| (name, gradient.copy().unwrap()));
    (found.loss, copied.collect())
}

/// Every number of every head, in one table that is printed whether or not it passes.
#[test]
fn every_head_computes_what_transformers_and_peft_compute() {
    let mut table = Table::default();
    for head in HEADS {
        let recording = Recording::load(head);
        let expected = &recording.expected;
        let problem = expected.problem_type.name();
        table.row(&format!(
            "{problem} of {} ({})",
            expected.labels.len(),
            expected.family
        ));
        let samples = recording.samples();
        for (kind, prefix, loss, columns) in [
            ("full", "", expected.loss, ["scores", "loss", "gradients"]),
            (
                "lora",
                "lora.",
                expected.lora_loss,
                ["LoRA scores", "LoRA loss", "LoRA gradients"],
            ),
        ] {
            let mut decoder = recording.trainable(kind);
            let recorded = &recording.tensors[&format!("{prefix}scores.all")];
            let apart = difference::of_tensors(&scores(&decoder, &samples), recorded);
            table.add(columns[0], apart);
            let (found, gradients) =
                loss_and_gradients(&mut decoder, &samples, &[vec![0, 1, 2]], false);
            table.add(columns[1], difference::of_values(&[found], &[loss]));
            let recorded = recording.named(&format!("{prefix}gradient"));
            table.add(columns[2], difference::of_named(&gradients, &recorded));
        }
        for (kind, recorded) in &expected.training {
            training(&recording, kind, recorded, &mut table);
        }
    }
    say(&format!(
        "\nHeads, largest |a − b| / max|b|, Attune beside transformers and PEFT:\n\n{}\n",
        table.markdown()
    ));
    assert_eq!(table.beyond(TOLERANCE), Vec::<String>::new());
}

/// Twenty optimiser steps through the loop that users run.
fn training(recording: &Recording, kind: &str, recorded: &Training, table: &mut Table) {
    let columns = if kind == "lora" {
        [
            "20 LoRA steps: losses",
            "20 LoRA steps: norms",
            "20 LoRA steps: weights",
        ]
    } else {
        [
            "20 full steps: losses",
            "20 full steps: norms",
            "20 full steps: weights",
        ]
    };
    let data = recording.data();
    let options = subject::options(
        &recording.expected.options,
        data.len(),
        recorded.learning_rate,
    );
    let mut decoder = recording.trainable(kind);
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let outcome = train_objective(
        &mut decoder,
        &mut SequenceLabels::new(&data, &[]),
        &options,
        folder.path(),
        &Control::default(),
        &mut |event, _| {
            if let TrainEvent::Step {
                loss, grad_norm, ..
            } = event
            {
                losses.push(loss);
                norms.push(grad_norm);
            }
        },
    );
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let of = |number: fn(&crate::fixture::Step) -> f64| {
        recorded.steps.iter().map(number).collect::<Vec<f64>>()
    };
    table.add(
        columns[0],
        difference::of_values(&losses, &of(|step| step.loss)),
    );
    table.add(
        columns[1],
        difference::of_values(&norms, &of(|step| step.grad_norm)),
    );
    let weights = recording.named(&format!("{kind}.trained"));
    table.add(
        columns[2],
        difference::of_named(&decoder.trainable(), &weights),
    );
}

/// Texts weigh the same however a step is divided, and recomputing changes no bit.
#[test]
fn micro_batches_and_recomputing_change_nothing() {
    for head in HEADS {
        let recording = Recording::load(head);
        let samples = recording.data();
        for kind in ["full", "lora"] {
            let mut decoder = recording.trainable(kind);
            let whole = [(0..6).collect()];
            let (loss, gradients) = loss_and_gradients(&mut decoder, &samples, &whole, false);
            let parts = [vec![0], vec![1, 2, 3], vec![4, 5]];
            let (parted, of_parts) = loss_and_gradients(&mut decoder, &samples, &parts, false);
            assert!(
                difference::of_values(&[parted], &[loss]) <= TOLERANCE,
                "{head}"
            );
            let apart = difference::of_named(&of_parts, &gradients);
            assert!(apart <= TOLERANCE, "{head}: {apart}");
            let (again, recomputed) = loss_and_gradients(&mut decoder, &samples, &whole, true);
            assert_eq!(again.to_bits(), loss.to_bits());
            assert_eq!(difference::of_named(&recomputed, &gradients), 0.0);
        }
    }
}

/// A classifier made of a language model, its adapter written by Attune, and both merged.
fn export(recording: &Recording, folder: &Path) {
    let expected = &recording.expected;
    let causal = Fixture::load(&expected.family).model();
    let head = SequenceHead::new(expected.problem_type, expected.labels.clone());
    let mut decoder = Decoder::load(&causal, DType::F32, &Device::Cpu, &mut |_| ()).unwrap();
    decoder.attach_sequence_head(head, 7).unwrap();
    decoder
        .save_folder(&folder.join("base"), DType::F32, Some(&causal))
        .unwrap();
    let config = LoraConfig {
        r: 3,
        ..LoraConfig::default()
    };
    decoder.attach_lora(&config, 5).unwrap();
    let options = TrainOptions {
        learning_rate: 2e-2,
        max_steps: Some(4),
        ..TrainOptions::default()
    };
    let data = recording.data();
    let checkpoints = tempfile::tempdir().unwrap();
    train_objective(
        &mut decoder,
        &mut SequenceLabels::new(&data, &[]),
        &options,
        checkpoints.path(),
        &Control::default(),
        &mut |_, _| (),
    )
    .unwrap();
    decoder.save_adapter(&folder.join("adapter")).unwrap();
    for (name, base) in [("merged", Some(causal.as_path())), ("merged-by-spec", None)] {
        decoder
            .save_folder(&folder.join(name), DType::F32, base)
            .unwrap();
    }
    let text = json!({
        "tokens": data[1].tokens, "labels": expected.labels, "problem_type": expected.problem_type,
    });
    std::fs::write(folder.join("text.json"), text.to_string()).unwrap();
    scores(&decoder, &data[1..2])
        .save_safetensors("scores", folder.join("scores.safetensors"))
        .unwrap();
}

#[test]
fn attune_reads_back_the_classifiers_it_wrote() {
    for head in HEADS {
        let recording = Recording::load(head);
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(head);
        std::fs::create_dir(&place).unwrap();
        export(&recording, &place);
        let expected =
            candle_core::safetensors::load(place.join("scores.safetensors"), &Device::Cpu);
        let expected = &expected.unwrap()["scores"];
        let load = |name: &str| {
            Decoder::load(&place.join(name), DType::F32, &Device::Cpu, &mut |_| ()).unwrap()
        };
        let text = &recording.data()[1..2];
        let mut adapted = load("base");
        adapted.load_adapter(&place.join("adapter")).unwrap();
        for decoder in [adapted, load("merged"), load("merged-by-spec")] {
            let head = decoder.spec().sequence_head.as_ref().unwrap();
            assert_eq!(head.labels, recording.expected.labels);
            assert_eq!(head.problem_type, recording.expected.problem_type);
            let apart = difference::of_tensors(&scores(&decoder, text), expected);
            assert!(apart <= TOLERANCE, "{}: {apart}", place.display());
        }
    }
}

/// Runs where `ATTUNE_PYTHON` names a Python that has the packages of `requirements.txt`.
#[test]
fn transformers_and_peft_read_the_classifiers_attune_wrote() {
    let Some(python) = std::env::var_os("ATTUNE_PYTHON") else {
        say("Left out: reading heads with PEFT. Set ATTUNE_PYTHON to a Python that has it.\n");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let places: Vec<PathBuf> = HEADS.iter().map(|head| folder.path().join(head)).collect();
    for (head, place) in HEADS.iter().zip(&places) {
        std::fs::create_dir(place).unwrap();
        export(&Recording::load(head), place);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/check_heads.py");
    let output = Command::new(&python)
        .arg(script)
        .args(places)
        .output()
        .unwrap();
    let (printed, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    say(&printed);
    assert!(output.status.success(), "{printed}{errors}");
}

/// What a head cannot do is refused by name.
#[test]
fn a_head_refuses_what_does_not_fit() {
    let recording = Recording::load("classes");
    let mut classifier = recording.trainable("lora");
    let samples = recording.samples();
    let tokens = Batch::from_texts([samples[0].tokens.as_slice()]);
    assert!(matches!(
        classifier.logits(&tokens),
        Err(Error::OtherHead { .. })
    ));
    let writer = subject::base(&Fixture::load("llama3"));
    assert!(matches!(
        writer.label_scores(&tokens),
        Err(Error::OtherHead { .. })
    ));
    let adapter = recording.folder.join("adapter");
    let refused = subject::base(&Fixture::load("llama3")).load_adapter(&adapter);
    assert!(matches!(refused, Err(Error::OtherHead { .. })));

    let labelled = |label| {
        vec![LabelledSample {
            tokens: vec![1, 2],
            label,
        }]
    };
    for label in [Label::Class(3), Label::Values(vec![1.0, 0.0, 0.0])] {
        let wrong = labelled(label);
        let folder = tempfile::tempdir().unwrap();
        let refused = train_objective(
            &mut classifier,
            &mut SequenceLabels::new(&wrong, &[]),
            &TrainOptions::default(),
            folder.path(),
            &Control::default(),
            &mut |_, _| (),
        );
        assert!(matches!(refused, Err(Error::BadLabels(_))));
    }
    // transformers has no class for it.
    let granite = Fixture::load("granite").model();
    let mut granite = Decoder::load(&granite, DType::F32, &Device::Cpu, &mut |_| ()).unwrap();
    let head = SequenceHead::new(ProblemType::Regression, ["grade"]);
    let refused = granite
        .attach_sequence_head(head, 1)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("GraniteForCausalLM"), "{refused}");
    // A `config.json` that is silent means two labels.
    let path = recording.model().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for name in ["id2label", "label2id", "problem_type"] {
        config.as_object_mut().unwrap().remove(name);
    }
    let head = ModelSpec::from_json(&config)
        .unwrap()
        .sequence_head
        .unwrap();
    assert_eq!(head.labels, ["LABEL_0", "LABEL_1"]);
    assert_eq!(head.problem_type, ProblemType::SingleLabelClassification);
}

/// Seen without --nocapture, unlike what `println!` prints.
fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
