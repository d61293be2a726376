//! The bytes and rows that come with the program.

use super::Bundle;
use crate::starter::dataset::{SampleDataset, jsonl};
use crate::starter::{DEMO_CONFIG, MODEL_FILES, PROMPT};

/// The bundled model and its data.
pub(super) fn bundle() -> Bundle {
    let SampleDataset { train, held_out } = SampleDataset::generate();
    Bundle {
        model: "starter",
        files: MODEL_FILES.to_vec(),
        dataset: "orders",
        train: jsonl(&train),
        held_out: jsonl(&held_out),
        prompt: PROMPT.to_owned(),
        settings: DEMO_CONFIG,
    }
}
