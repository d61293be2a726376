//! What a column holds.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use crate::cell;

/// Values shown of a column, and characters of each.
const EXAMPLES: usize = 3;
const EXAMPLE_CHARACTERS: usize = 200;

/// A column of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: ColumnKind,
    /// The first values that differ, shortened.
    pub examples: Vec<String>,
    /// Rows in which it holds nothing: null, blank text or an empty list.
    pub empty: u64,
}

/// What the values of a column are, in a user's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Text, also where a CSV file holds numbers.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// True or false.
    Boolean,
    /// Lists.
    List,
    /// Objects.
    Object,
    /// Dates, decimals, bytes and others.
    Other,
}

impl Column {
    pub(super) fn new(field: &Field) -> Self {
        let kind = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
            DataType::Boolean => ColumnKind::Boolean,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                ColumnKind::List
            }
            DataType::Struct(_) | DataType::Map(..) => ColumnKind::Object,
            number if number.is_integer() => ColumnKind::Integer,
            number if number.is_floating() => ColumnKind::Number,
            _ => ColumnKind::Other,
        };
        Self {
            name: field.name().clone(),
            kind,
            examples: Vec::new(),
            empty: 0,
        }
    }

    pub(super) fn look_at(&mut self, array: &ArrayRef) {
        for row in 0..array.len() {
            if cell::is_empty(array, row) {
                self.empty += 1;
            } else if self.examples.len() < EXAMPLES {
                let example = match cell::value(array, row) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                let example: String = example.chars().take(EXAMPLE_CHARACTERS).collect();
                if !self.examples.contains(&example) {
                    self.examples.push(example);
                }
            }
        }
    }
}
