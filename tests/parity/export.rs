//! What Attune writes, others read.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use attune_data::Batch;
use attune_engine::{DType, Decoder, Device};
use candle_core::Tensor;

use crate::fixture::{FAMILIES, Fixture};
use crate::subject::{self, Adapter};
use crate::{TOLERANCE, difference};

/// A trained adapter written as PEFT's and merged, beside what Attune computes with it.
struct Exported {
    folder: tempfile::TempDir,
    batch: Batch,
    logits: Tensor,
}

impl Exported {
    fn new(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut decoder = subject::adapted(fixture, Adapter::Recorded);
        subject::trained(
            &mut decoder,
            fixture,
            fixture.expected.training["lora"].learning_rate,
        );
        decoder
            .save_adapter(&folder.path().join("adapter"))
            .unwrap();
        decoder
            .save_folder(
                &folder.path().join("merged"),
                DType::F32,
                Some(&fixture.model()),
            )
            .unwrap();
        decoder
            .save_folder(&folder.path().join("merged-by-spec"), DType::F32, None)
            .unwrap();
        let batch = Batch::from_samples(&fixture.samples()[..1]);
        let logits = decoder.logits(&batch).unwrap();
        Self {
            folder,
            batch,
            logits,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn assert_same_logits(&self, decoder: &Decoder) {
        let found = decoder.logits(&self.batch).unwrap();
        assert!(difference::of_tensors(&found, &self.logits) <= TOLERANCE);
    }

    /// Lays out what `check_export.py` asks for.
    fn prepare_check(&self, model: &Path) {
        let tokens = serde_json::to_vec(&self.batch.tokens).unwrap();
        std::fs::write(self.path("tokens.json"), tokens).unwrap();
        self.logits
            .save_safetensors("logits", self.path("logits.safetensors"))
            .unwrap();
        std::fs::create_dir(self.path("base")).unwrap();
        for entry in std::fs::read_dir(model).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), self.path("base").join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn attune_reads_back_what_it_wrote() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let exported = Exported::new(&fixture);
        exported.assert_same_logits(&subject::adapted(
            &fixture,
            Adapter::In(&exported.path("adapter")),
        ));
        for merged in ["merged", "merged-by-spec"] {
            let decoder = Decoder::load(
                &exported.path(merged),
                DType::F32,
                &Device::Cpu,
                &mut |_| (),
            );
            exported.assert_same_logits(&decoder.unwrap());
        }
    }
}

/// Runs where `ATTUNE_PYTHON` names a Python that has the packages of `requirements.txt`.
#[test]
fn transformers_and_peft_read_what_attune_wrote() {
    let Some(python) = std::env::var_os("ATTUNE_PYTHON") else {
        say("Left out: reading exports with PEFT. Set ATTUNE_PYTHON to a Python that has it.\n");
        return;
    };
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let exported = Exported::new(&fixture);
        exported.prepare_check(&fixture.model());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/check_export.py");
        let output = Command::new(&python)
            .arg(script)
            .arg(exported.folder.path())
            .output()
            .unwrap();
        let (printed, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{family}: {printed}{errors}");
        say(&format!("{family}, exported: {printed}"));
    }
}

/// Seen without --nocapture, unlike what `println!` prints.
fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
