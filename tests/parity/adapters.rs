//! Every kind of adapter and every optimiser computes what PEFT, torch, transformers and
//! bitsandbytes compute.
//!
//! `adapter_kinds.py` has recorded them; how to record anew: the head of that file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use attune_data::{Batch, Sample};
use attune_engine::{
    DType, Decoder, LoraConfig, LoraInit, OptimizerKind, TargetModules, TrainOptions,
};
use candle_core::{Device, Tensor};
use serde::Deserialize;

use crate::fixture::{Fixture, Options, RecordedSample, Step};
use crate::table::Table;
use crate::{TOLERANCE, difference, subject};

/// Every kind there is a recording of.
const KINDS: [&str; 11] = [
    "rslora",
    "patterns",
    "dora",
    "dora-rslora-patterns",
    "modules-to-save",
    "tied-modules-to-save",
    "loraplus",
    "dora-loraplus",
    "lion",
    "sgd",
    "adafactor",
];

/// One kind's adapter and expected values.
struct Recording {
    folder: PathBuf,
    expected: Expected,
    tensors: BTreeMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    family: String,
    samples: Vec<RecordedSample>,
    data: Vec<RecordedSample>,
    loss: f64,
    options: Options,
    optimizer: OptimizerKind,
    learning_rate: f64,
    loraplus_lr_ratio: f64,
    momentum: f64,
    steps: Vec<Step>,
}

impl Recording {
    fn load(kind: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("parity/fixtures/adapters")
            .join(kind);
        let json = std::fs::read(folder.join("expected.json")).unwrap();
        let tensors =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu);
        Self {
            expected: serde_json::from_slice(&json).unwrap(),
            tensors: tensors.unwrap().into_iter().collect(),
            folder,
        }
    }

    fn fixture(&self) -> Fixture {
        Fixture::load(&self.expected.family)
    }

    /// The model with the adapter PEFT wrote.
    fn decoder(&self) -> Decoder {
        let mut decoder = subject::base(&self.fixture());
        decoder.load_adapter(&self.folder.join("adapter")).unwrap();
        decoder
    }

    fn samples(&self) -> Vec<Sample> {
        let samples = &self.expected.samples;
        samples.iter().map(RecordedSample::sample).collect()
    }

    fn data(&self) -> Vec<Sample> {
        let data = &self.expected.data;
        data.iter().map(RecordedSample::sample).collect()
    }

    fn logits(&self, prefix: &str) -> Tensor {
        let parts = [0, 1].map(|index| self.tensors[&format!("{prefix}.{index}")].clone());
        Tensor::cat(&parts, 0).unwrap()
    }

    fn named(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let named = self.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name.to_owned(), tensor.clone()))
        });
        named.collect()
    }

    fn options(&self) -> TrainOptions {
        let expected = &self.expected;
        TrainOptions {
            optimizer: expected.optimizer,
            loraplus_lr_ratio: expected.loraplus_lr_ratio,
            momentum: expected.momentum,
            ..subject::options(
                &expected.options,
                expected.data.len(),
                expected.learning_rate,
            )
        }
    }
}

/// Every number of every kind, in one table that is printed whether or not it passes.
#[test]
fn every_adapter_computes_what_peft_computes() {
    let mut table = Table::default();
    for kind in KINDS {
        let recording = Recording::load(kind);
        table.row(&format!("{kind} ({})", recording.expected.family));
        let batch = Batch::from_samples(&recording.samples());
        let mut decoder = recording.decoder();
        table.add(
            "logits",
            difference::of_tensors(
                &decoder.logits(&batch).unwrap(),
                &recording.logits("logits"),
            ),
        );
        let (loss, gradients) =
            subject::loss_and_gradients(&mut decoder, std::slice::from_ref(&batch), false);
        table.add(
            "loss",
            difference::of_values(&[loss], &[recording.expected.loss]),
        );
        table.add(
            "gradients",
            difference::of_named(&gradients, &recording.named("gradient")),
        );
        let mut decoder = recording.decoder();
        let found = subject::run(&mut decoder, &recording.data(), &recording.options());
        let of = |number: fn(&Step) -> f64| {
            let steps = &recording.expected.steps;
            steps.iter().map(number).collect::<Vec<f64>>()
        };
        table.add(
            "20 steps: losses",
            difference::of_values(&found.losses, &of(|step| step.loss)),
        );
        table.add(
            "20 steps: norms",
            difference::of_values(&found.grad_norms, &of(|step| step.grad_norm)),
        );
        assert!(
            difference::of_values(&found.learning_rates, &of(|step| step.learning_rate)) < 1e-12
        );
        table.add(
            "20 steps: weights",
            difference::of_named(&found.weights, &recording.named("trained")),
        );
        table.add(
            "logits after them",
            difference::of_tensors(
                &decoder.logits(&batch).unwrap(),
                &recording.logits("trained-logits"),
            ),
        );
    }
    say(&format!(
        "\nAdapters, largest |a − b| / max|b|, Attune beside PEFT:\n\n{}\n",
        table.markdown()
    ));
    assert_eq!(table.beyond(TOLERANCE), Vec::<String>::new());
}

/// Singular vectors have no sign of their own, and flipping one flips all that follows from it.
fn unsigned(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let unsigned = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.abs().unwrap());
    tensors.iter().map(unsigned).collect()
}

/// PiSSA's start, its training, and the plain adapter it is converted to.
#[test]
fn pissa_starts_learns_and_converts_as_in_peft() {
    let recording = Recording::load("pissa");
    let fixture = recording.fixture();
    let batch = Batch::from_samples(&recording.samples());
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        init_lora_weights: LoraInit::Pissa,
        ..LoraConfig::default()
    };
    let mut decoder =
        Decoder::load(&fixture.model(), DType::F32, &Device::Cpu, &mut |_| ()).unwrap();
    decoder.attach_lora(&config, 1).unwrap();
    let mut table = Table::default();
    table.row("pissa (llama3)");
    let logits = |decoder: &Decoder| decoder.logits(&batch).unwrap();
    table.add(
        "logits",
        difference::of_tensors(&logits(&decoder), &recording.logits("logits")),
    );
    let start = candle_core::safetensors::load(
        recording.folder.join("adapter/adapter_model.safetensors"),
        &Device::Cpu,
    );
    let start = start.unwrap().into_iter().map(|(name, tensor)| {
        let name = name.strip_prefix("base_model.model.").unwrap().to_owned();
        (name, tensor)
    });
    table.add(
        "A and B",
        difference::of_named(&unsigned(&decoder.trainable()), &unsigned(&start.collect())),
    );
    let (loss, gradients) =
        subject::loss_and_gradients(&mut decoder, std::slice::from_ref(&batch), false);
    decoder.clear_gradients().unwrap();
    table.add(
        "loss",
        difference::of_values(&[loss], &[recording.expected.loss]),
    );
    table.add(
        "gradients",
        difference::of_named(
            &unsigned(&gradients),
            &unsigned(&recording.named("gradient")),
        ),
    );
    let found = subject::run(&mut decoder, &recording.data(), &recording.options());
    let losses: Vec<f64> = recording
        .expected
        .steps
        .iter()
        .map(|step| step.loss)
        .collect();
    table.add(
        "20 steps: losses",
        difference::of_values(&found.losses, &losses),
    );
    table.add(
        "20 steps: weights",
        difference::of_named(
            &unsigned(&found.weights),
            &unsigned(&recording.named("trained")),
        ),
    );
    let expected = recording.logits("trained-logits");
    table.add(
        "logits after them",
        difference::of_tensors(&logits(&decoder), &expected),
    );
    let folder = tempfile::tempdir().unwrap();
    decoder.save_adapter(&folder.path().join("ours")).unwrap();
    for (column, adapter) in [
        ("converted by Attune", folder.path().join("ours")),
        ("converted by PEFT", recording.folder.join("converted")),
    ] {
        let mut plain = subject::base(&fixture);
        assert_eq!(plain.load_adapter(&adapter).unwrap().r, 8);
        table.add(column, difference::of_tensors(&logits(&plain), &expected));
    }
    say(&format!("\n{}\n", table.markdown()));
    assert_eq!(table.beyond(TOLERANCE), Vec::<String>::new());
    // Saved without conversion it needs base weights that nobody has.
    let refused = subject::base(&fixture).load_adapter(&recording.folder.join("adapter"));
    assert!(refused.unwrap_err().to_string().contains("pissa"));
}

/// A trained adapter of each kind, written as PEFT's and merged, beside what Attune computes.
fn export(decoder: &Decoder, model: &Path, samples: &[Sample], folder: &Path) {
    std::fs::create_dir_all(folder.join("base")).unwrap();
    for entry in std::fs::read_dir(model).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join("base").join(entry.file_name())).unwrap();
    }
    decoder.save_adapter(&folder.join("adapter")).unwrap();
    decoder
        .save_folder(&folder.join("merged"), DType::F32, Some(model))
        .unwrap();
    decoder
        .save_folder(&folder.join("merged-by-spec"), DType::F32, None)
        .unwrap();
    let batch = Batch::from_samples(&samples[..1]);
    let tokens = serde_json::to_vec(&batch.tokens).unwrap();
    std::fs::write(folder.join("tokens.json"), tokens).unwrap();
    let logits = decoder.logits(&batch).unwrap();
    logits
        .save_safetensors("logits", folder.join("logits.safetensors"))
        .unwrap();
}

/// Adapters that Attune makes itself, a few steps trained.
fn made() -> Vec<(&'static str, LoraConfig)> {
    let plain = LoraConfig {
        r: 3,
        ..LoraConfig::default()
    };
    let everything = LoraConfig {
        use_dora: true,
        use_rslora: true,
        lora_dropout: 0.1,
        target_modules: TargetModules::Pattern(r".*\.(q|k|down)_proj".into()),
        rank_pattern: vec![(r"layers\.0\..*".into(), 2), ("down_proj".into(), 5)],
        alpha_pattern: vec![("q_proj".into(), 5.0)],
        modules_to_save: vec!["embed_tokens".into()],
        ..plain.clone()
    };
    let pissa = LoraConfig {
        init_lora_weights: LoraInit::Pissa,
        rank_pattern: vec![("v_proj".into(), 2)],
        use_rslora: true,
        ..plain.clone()
    };
    vec![
        ("made-plain", plain),
        ("made-pissa", pissa),
        ("made-with-everything", everything),
    ]
}

/// All exports, in one folder each.
fn exports(folder: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for kind in KINDS {
        let recording = Recording::load(kind);
        let mut decoder = recording.decoder();
        subject::run(&mut decoder, &recording.data(), &recording.options());
        let place = folder.join(kind);
        let model = recording.fixture().model();
        export(&decoder, &model, &recording.samples(), &place);
        folders.push(place);
    }
    let recording = Recording::load("rslora");
    for (name, config) in made() {
        for family in ["llama3", "qwen2"] {
            let fixture = Fixture::load(family);
            let mut decoder = subject::base(&fixture);
            decoder.attach_lora(&config, 1).unwrap();
            subject::run(&mut decoder, &recording.data(), &recording.options());
            let place = folder.join(format!("{name}-{family}"));
            export(&decoder, &fixture.model(), &recording.samples(), &place);
            folders.push(place);
        }
    }
    folders
}

/// What was written is read back with the same bits, and merged within rounding. PiSSA's is written
/// as a difference of two adapters, which is computed in another order.
#[test]
fn attune_reads_back_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    for place in exports(folder.path()) {
        let tokens = std::fs::read(place.join("tokens.json")).unwrap();
        let tokens: Vec<u32> = serde_json::from_slice(&tokens).unwrap();
        let loss_mask = vec![true; tokens.len()];
        let batch = Batch::from_samples([&Sample { tokens, loss_mask }]);
        let load = |name: &str| {
            Decoder::load(&place.join(name), DType::F32, &Device::Cpu, &mut |_| ()).unwrap()
        };
        let mut adapted = load("base");
        adapted.load_adapter(&place.join("adapter")).unwrap();
        let logits = place.join("logits.safetensors");
        let logits = &candle_core::safetensors::load(logits, &Device::Cpu).unwrap()["logits"];
        let apart =
            |decoder: &Decoder| difference::of_tensors(&decoder.logits(&batch).unwrap(), logits);
        let what = place.display();
        assert!(apart(&adapted) < 2e-6, "{what}: {}", apart(&adapted));
        for merged in ["merged", "merged-by-spec"] {
            assert!(apart(&load(merged)) <= TOLERANCE, "{what}, {merged}");
        }
        // Another adapter, or none, finds the base as it was.
        let untouched = load("base").logits(&batch).unwrap();
        adapted.attach_lora(&LoraConfig::default(), 1).unwrap();
        let again = adapted.logits(&batch).unwrap();
        // A fresh adapter adds nothing, but in one product with it the sums are rounded otherwise.
        let apart = difference::of_tensors(&again, &untouched);
        assert!(apart < 1e-5, "{what}: {apart}");
    }
}

/// Runs where `ATTUNE_PYTHON` names a Python that has the packages of `requirements.txt`.
#[test]
fn peft_reads_every_kind() {
    let Some(python) = std::env::var_os("ATTUNE_PYTHON") else {
        say("Left out: reading adapters with PEFT. Set ATTUNE_PYTHON to a Python that has it.\n");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/check_export.py");
    let output = Command::new(&python)
        .arg(script)
        .args(exports(folder.path()))
        .output()
        .unwrap();
    let (printed, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    say(&printed);
    assert!(output.status.success(), "{printed}{errors}");
}

/// Seen without --nocapture, unlike what `println!` prints.
fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
