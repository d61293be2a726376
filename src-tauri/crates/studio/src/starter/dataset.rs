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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::datasets::hex;
    use crate::starter::clock::Clock;
    use crate::starter::world::{NAMES, PRODUCTS, Product};
    use serde_json::Value;
    use sha2::{Digest, Sha256};

    fn all() -> Vec<Row> {
        let SampleDataset { train, held_out } = SampleDataset::generate();
        train.into_iter().chain(held_out).collect()
    }

    /// The bundled model's card names results on these very rows.
    #[test]
    fn the_rows_are_the_same_on_every_machine() {
        let data = SampleDataset::generate();
        let hash = |rows: &[Row]| hex(&Sha256::digest(jsonl(rows)));
        assert_eq!(
            hash(&data.train),
            "ea8f5a088e0cec085bc4c1f6f1cbe6fb2637a99892e21dfb349e111f3e3dd4d7"
        );
        assert_eq!(
            hash(&data.held_out),
            "ae8766f18b61241871ad9ca6fc2911c1b99f682f802b7622b2a98b251a017931"
        );
    }

    #[test]
    fn no_instruction_occurs_twice_so_none_is_both_trained_and_measured() {
        let rows = all();
        assert_eq!(rows.len(), TRAIN_ROWS + HELD_OUT_ROWS);
        let different: HashSet<&str> = rows.iter().map(|row| row.instruction.as_str()).collect();
        assert_eq!(different.len(), rows.len());
    }

    /// Exact match compares bytes, so an order must have one rendering: keys in their order,
    /// nothing empty, no space outside strings.
    #[test]
    fn an_answer_is_the_only_rendering_of_its_order() {
        for row in all() {
            let answer: Value = serde_json::from_str(&row.output).unwrap();
            assert_eq!(answer.to_string(), row.output);
            let keys: Vec<&str> = keys(&answer);
            assert!(
                in_order(&keys, &["items", "name", "pickup"]),
                "{}",
                row.output
            );
            for item in answer["items"].as_array().unwrap() {
                assert!(in_order(
                    &self::keys(item),
                    &["count", "item", "size", "extras"]
                ));
                assert!(item["count"].as_u64().unwrap() > 0);
                assert_ne!(item.get("extras"), Some(&Value::Array(Vec::new())));
            }
        }
    }

    /// An answer that the words do not hold could not be learned, only guessed.
    #[test]
    fn everything_an_answer_says_was_said() {
        for Row {
            instruction,
            output,
        } in all()
        {
            let said = |what: &str| instruction.to_lowercase().contains(&what.to_lowercase());
            let answer: Value = serde_json::from_str(&output).unwrap();
            for item in answer["items"].as_array().unwrap() {
                let name = item["item"].as_str().unwrap();
                let Product { plural, .. } = PRODUCTS
                    .iter()
                    .find(|product| product.name == name)
                    .unwrap();
                assert!(said(name) || said(plural), "{instruction} {output}");
                for extra in item["extras"].as_array().into_iter().flatten() {
                    let extra = extra.as_str().unwrap();
                    assert!(
                        said(extra.trim_start_matches("no ")),
                        "{instruction} {output}"
                    );
                }
            }
            if let Some(name) = answer["name"].as_str() {
                assert!(
                    NAMES.contains(&name) && said(name),
                    "{instruction} {output}"
                );
            }
            if let Some(time) = answer["pickup"].as_str() {
                let time = Clock::all().find(|clock| clock.written() == time).unwrap();
                assert!(
                    time.ways().iter().any(|way| said(way)),
                    "{instruction} {output}"
                );
            }
        }
    }

    fn keys(object: &Value) -> Vec<&str> {
        object
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    fn in_order(keys: &[&str], order: &[&str]) -> bool {
        let expected: Vec<&str> = order
            .iter()
            .copied()
            .filter(|key| keys.contains(key))
            .collect();
        keys == expected
    }
}
