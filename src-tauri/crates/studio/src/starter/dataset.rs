//! The sample dataset: orders in plain English and the JSON that says the same.

use std::collections::HashSet;

use serde::Serialize;

use super::draw::Draw;
use super::order::Order;
use super::phrasing;

/// Rows to tune on.
pub const TRAIN_ROWS: usize = 480;
/// Rows kept back, to measure on.
pub const HELD_OUT_ROWS: usize = 120;
/// Everything the generator writes follows from this number.
pub const SEED: u64 = 20_260;

/// A question and its only right answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The order in plain English.
    pub instruction: String,
    /// The order as compact JSON.
    pub output: String,
}

/// The sample dataset. No instruction occurs twice.
pub struct SampleDataset {
    /// [`TRAIN_ROWS`] rows.
    pub train: Vec<Row>,
    /// [`HELD_OUT_ROWS`] rows.
    pub held_out: Vec<Row>,
}

impl SampleDataset {
    /// The dataset of [`SEED`].
    pub fn generate() -> Self {
        let mut draw = Draw::new(SEED, 0);
        let mut seen = HashSet::new();
        let mut train = Vec::new();
        while train.len() < TRAIN_ROWS + HELD_OUT_ROWS {
            let order = Order::draw(&mut draw);
            let instruction = phrasing::say(&order, &mut draw);
            // A very short order would turn up in the corpus by chance.
            if instruction.len() >= 28 && seen.insert(instruction.clone()) {
                train.push(Row {
                    instruction,
                    output: order.json(),
                });
            }
        }
        let held_out = train.split_off(TRAIN_ROWS);
        Self { train, held_out }
    }
}

/// One JSON object a line.
pub fn jsonl(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row).unwrap_or_default());
        text.push('\n');
    }
    text
}
