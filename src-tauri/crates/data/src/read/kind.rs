//! The type of a JSON column, learnt from all of its values.

use arrow::datatypes::{DataType, Field, Fields};
use serde_json::{Map, Value};

/// Keys of an object inside a row above which they are data rather than names.
const KEYS: usize = 256;

/// What the values seen so far have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// No value yet.
    Null,
    Bool,
    Integer,
    Float,
    Text,
    List(Box<Kind>),
    Object(Vec<(String, Kind)>),
    /// Values that have nothing in common; kept as JSON text.
    Mixed,
}

impl Kind {
    /// Widens the type so that `value` fits.
    pub(super) fn widen(&mut self, value: &Value) {
        match (&mut *self, value) {
            (_, Value::Null)
            | (Self::Mixed, _)
            | (Self::Text, Value::String(_))
            | (Self::Bool, Value::Bool(_)) => {}
            (Self::Integer | Self::Float, Value::Number(number)) => {
                if *self != Self::number(number) {
                    *self = if Self::number(number) == Self::Mixed {
                        Self::Mixed
                    } else {
                        Self::Float
                    };
                }
            }
            (Self::List(inner), Value::Array(values)) => {
                for value in values {
                    inner.widen(value);
                }
            }
            (Self::Object(fields), Value::Object(map)) => {
                widen_fields(fields, map);
                if fields.len() > KEYS {
                    *self = Self::Mixed;
                }
            }
            (Self::Null, value) => *self = Self::of(value),
            _ => *self = Self::Mixed,
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) => Self::number(number),
            Value::String(_) => Self::Text,
            Value::Array(_) => {
                let mut list = Self::List(Box::new(Self::Null));
                list.widen(value);
                list
            }
            Value::Object(_) => {
                let mut object = Self::Object(Vec::new());
                object.widen(value);
                object
            }
        }
    }

    /// Whole numbers beyond 64 bits with a sign would lose digits as any number.
    fn number(number: &serde_json::Number) -> Self {
        if number.is_i64() {
            Self::Integer
        } else if number.is_u64() {
            Self::Mixed
        } else {
            Self::Float
        }
    }

    /// The Arrow type that holds these values. Arrow has no object without fields.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Null | Self::Text | Self::Mixed => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::List(inner) => DataType::List(Field::new("item", inner.data_type(), true).into()),
            Self::Object(fields) if fields.is_empty() => DataType::Utf8,
            Self::Object(fields) => DataType::Struct(arrow_fields(fields)),
        }
    }
}

/// Widens the types of an object's fields, in the order in which they first appear.
pub(super) fn widen_fields(fields: &mut Vec<(String, Kind)>, map: &Map<String, Value>) {
    for (index, (key, value)) in map.iter().enumerate() {
        // Most objects of a column have the same keys in the same order.
        let known = match fields.get(index) {
            Some((name, _)) if name == key => Some(index),
            _ => fields.iter().position(|(name, _)| name == key),
        };
        match known {
            Some(index) => fields[index].1.widen(value),
            None => fields.push((key.clone(), Kind::of(value))),
        }
    }
}

/// The Arrow fields of these columns.
pub(super) fn arrow_fields(fields: &[(String, Kind)]) -> Fields {
    fields
        .iter()
        .map(|(name, kind)| Field::new(name, kind.data_type(), true))
        .collect()
}

/// Turns `value` into what its column's type holds: where that is text, other values become JSON.
pub(super) fn fit(value: &mut Value, data_type: &DataType) {
    match (data_type, &mut *value) {
        (_, Value::Null) | (DataType::Utf8, Value::String(_)) => {}
        (DataType::Utf8, other) => *value = Value::String(other.to_string()),
        (DataType::List(field), Value::Array(values)) => {
            for value in values {
                fit(value, field.data_type());
            }
        }
        (DataType::Struct(fields), Value::Object(map)) => fit_fields(map, fields),
        _ => {}
    }
}

/// [`fit`] for each field of a row.
pub(super) fn fit_fields(map: &mut Map<String, Value>, fields: &Fields) {
    for field in fields {
        if let Some(value) = map.get_mut(field.name()) {
            fit(value, field.data_type());
        }
    }
}
