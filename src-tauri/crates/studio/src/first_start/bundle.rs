//! The bytes and rows that come with the program.

use super::Bundle;
use crate::error::{Error, Result};
use crate::starter::dataset::{SampleDataset, jsonl};

/// Files of the starter model by name; empty until `make starter-model` has trained it.
const MODEL: &[(&str, &[u8])] = &[];

/// The bundled model and its data.
pub(super) fn bundle() -> Result<Bundle> {
    if MODEL.is_empty() {
        return Err(
            Error::new("starter-missing", "this build brings no starter model")
                .with_remedy("Add a model folder with `attune models add`."),
        );
    }
    let data = SampleDataset::generate();
    Ok(Bundle {
        model: "attune-starter",
        files: MODEL.to_vec(),
        dataset: "orders",
        train: jsonl(&data.train),
        prompt: data
            .held_out
            .first()
            .map(|row| row.instruction.clone())
            .unwrap_or_default(),
        held_out: jsonl(&data.held_out),
        settings: include_str!("../../assets/starter/demo.yaml"),
    })
}
