//! Fields of a `config.json`, read with a reason for each that cannot be.

use super::{Activation, LayerSpec, ModelSpec};
use crate::{Error, Result};
use serde_json::{Map, Value};

/// A `config.json` and what a complaint about it looks like.
pub(super) struct Config<'a> {
    pub(super) fields: &'a Map<String, Value>,
    pub(super) bad: &'a dyn Fn(String) -> Error,
}

impl<'a> Config<'a> {
    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err((self.bad)(format!("`{name}` is {value}, not a number"))),
        }
    }

    /// A number that can be switched off by null, and has a default where it is not named.
    pub(super) fn number_or(&self, name: &str, default: f64) -> Result<Option<f64>> {
        if self.fields.contains_key(name) {
            self.number(name)
        } else {
            Ok(Some(default))
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub(super) fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(size) if (1..=1 << 32).contains(&size) => Ok(Some(size as usize)),
            _ => Err((self.bad)(format!("`{name}` is {value}, not a size"))),
        }
    }

    pub(super) fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?
            .ok_or_else(|| (self.bad)(format!("`{name}` is missing")))
    }

    /// The non-linearity that the field `name` names.
    pub(super) fn activation(&self, name: &str, default: Activation) -> Result<Activation> {
        match self.get(name).and_then(Value::as_str) {
            None => Ok(default),
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            // Three spellings of one formula.
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some(other) => Err(Error::Unsupported {
                what: format!("{name} {other}"),
            }),
        }
    }

    /// A list with an entry for each of `layers` blocks.
    pub(super) fn per_layer(&self, name: &str, layers: usize) -> Result<Option<&'a [Value]>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_array() {
            Some(list) if list.len() == layers => Ok(Some(list)),
            Some(list) => Err((self.bad)(format!(
                "`{name}` names {} layers of {layers}",
                list.len()
            ))),
            None => Err((self.bad)(format!("`{name}` is {value}, not a list"))),
        }
    }

    /// Which blocks have the window `sliding_window`: those `layer_types` says, or `default`.
    pub(super) fn windows(
        &self,
        layers: usize,
        default: impl Fn(usize) -> bool,
    ) -> Result<Vec<bool>> {
        let Some(types) = self.per_layer("layer_types", layers)? else {
            return Ok((0..layers).map(default).collect());
        };
        types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(Error::Unsupported {
                    what: format!("a layer of type {kind}"),
                }),
            })
            .collect()
    }

    /// Refuses what changes the computation of any family and is not computed here.
    pub(super) fn refuse_what_is_not_computed(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::Unsupported { what });
        if let Some(quantised) = self.get("quantization_config") {
            let method = quantised.get("quant_method").and_then(Value::as_str);
            return refuse(format!(
                "a folder of quantised weights ({}; the unquantised model is)",
                method.unwrap_or("quantization_config")
            ));
        }
        ["use_bidirectional_attention", "add_cross_attention"]
            .into_iter()
            .find(|name| self.flag(name, false))
            .map_or(Ok(()), |name| refuse(name.to_owned()))
    }
}

/// `window` in the blocks that `sliding` marks.
pub(super) fn layers_with(window: Option<usize>, sliding: &[bool]) -> Vec<LayerSpec> {
    let layer = |sliding: &bool| LayerSpec {
        window: window.filter(|_| *sliding),
        rope: Some(0),
    };
    sliding.iter().map(layer).collect()
}

/// `layer_types` of a model.
pub(super) fn layer_types(spec: &ModelSpec) -> Value {
    let kind = |layer: &LayerSpec| match layer.window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    spec.layers.iter().map(kind).collect()
}
