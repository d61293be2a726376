//! One value of a record batch, whatever Arrow type holds it.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

/// The value as text; `None` where it is null or the column does not exist. Numbers and dates are
/// written out, lists and structs as JSON.
pub(crate) fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    match value(batch.column_by_name(column)?, row) {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The value as JSON.
pub(crate) fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let pairs = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| (field.name().clone(), value(column, row)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        _ => other(array, row),
    }
}

fn list(values: &dyn Array) -> Value {
    (0..values.len())
        .map(|index| value(values, index))
        .collect()
}

/// Numbers as JSON numbers; dates, decimals, maps and dictionaries as Arrow prints them.
fn other(array: &dyn Array, row: usize) -> Value {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default());
    let text = formatter
        .map(|formatter| formatter.value(row).to_string())
        .unwrap_or_default();
    let number = array.data_type().is_integer() || array.data_type().is_floating();
    match serde_json::from_str(&text) {
        Ok(value @ Value::Number(_)) if number => value,
        _ => Value::String(text),
    }
}

/// Whether the cell holds nothing: null, blank text or an empty list.
pub(crate) fn is_empty(array: &dyn Array, row: usize) -> bool {
    match array.data_type() {
        _ if array.is_null(row) => true,
        DataType::Utf8 => array.as_string::<i32>().value(row).trim().is_empty(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).trim().is_empty(),
        DataType::Utf8View => array.as_string_view().value(row).trim().is_empty(),
        DataType::List(_) => array.as_list::<i32>().value_length(row) == 0,
        DataType::LargeList(_) => array.as_list::<i64>().value_length(row) == 0,
        _ => false,
    }
}
