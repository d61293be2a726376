//! The tensors of a GGUF file under the names they have in transformers, and what llama.cpp's
//! converter did to them undone: rows that moved, norms to which one was added, norms of heads and
//! matrices of experts stacked into one.

use crate::parameter::Parameter;
use crate::pieces::cast;
use crate::spec::{MlpKind, NormKind, QkNorm, QkvProjection, READ_HERE, RowOrder, row_order};
use crate::{Error, ModelSpec, Result, WeightType};
use attune_data::{Gguf, TensorInfo, TensorType};
use attune_kernels::{GgmlType, QuantisedMatrix, stored_type};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where a tensor of the model lies.
struct Source {
    /// Its name in the file.
    tensor: String,
    /// Its shape in the file.
    shape: Vec<usize>,
    /// Which part of it along its first dimension, where the model has a tensor for each.
    part: Option<usize>,
    /// What order the rows are in.
    order: Order,
    /// What was added to each element.
    added: f32,
}

/// The order of the rows of a matrix in the file.
#[derive(Clone, Copy)]
enum Order {
    Kept,
    /// The halves of each head of this width interleaved.
    RotaryPairs {
        head_dim: usize,
    },
    /// All queries, all keys, all values of so many heads of this width.
    Together {
        heads: usize,
        head_dim: usize,
    },
}

impl Order {
    /// Where the model's row `row` lies in the file.
    fn place(self, row: usize) -> usize {
        match self {
            Self::Kept => row,
            Self::RotaryPairs { head_dim } => {
                let (head, element) = (row / head_dim, row % head_dim);
                let (half, pair) = (element / (head_dim / 2), element % (head_dim / 2));
                head * head_dim + 2 * pair + half
            }
            Self::Together { heads, head_dim } => {
                let (part, element) = (row / head_dim, row % head_dim);
                let (head, part) = (part / 3, part % 3);
                (part * heads + head) * head_dim + element
            }
        }
    }
}

/// The opened weights of a GGUF file.
pub(crate) struct GgufWeights {
    file: Gguf,
    /// By the names of the model.
    sources: BTreeMap<String, Source>,
}

impl GgufWeights {
    /// Opens a file and checks that it holds exactly what `spec` asks for.
    pub(crate) fn open(path: &Path, spec: &ModelSpec) -> Result<Self> {
        let file = Gguf::open(path)?;
        let order = row_order(&file)?;
        let weights = Self {
            sources: sources(spec, order, are_apart(&file)),
            file,
        };
        weights.check()?;
        Ok(weights)
    }

    fn check(&self) -> Result<()> {
        let folder = || self.file.path().to_owned();
        for source in self.sources.values() {
            let name = || source.tensor.clone();
            let expected = source.shape.clone();
            let found = self.file.tensors().get(&source.tensor);
            let found = found.ok_or_else(|| Error::MissingTensor {
                folder: folder(),
                name: name(),
                expected: expected.clone(),
            })?;
            if found.shape != expected {
                return Err(Error::WrongShape {
                    folder: folder(),
                    name: name(),
                    expected,
                    found: found.shape.clone(),
                });
            }
            if found.kind.block().is_none() || (expected.len() == 1 && found.kind.is_quantised()) {
                let what = format!("the tensor `{}` as {}", source.tensor, found.kind);
                let nearest = if expected.len() == 1 {
                    "F32"
                } else {
                    found.kind.nearest()
                };
                return Err(self.file.unsupported(what, nearest).into());
            }
        }
        let expected: BTreeSet<&str> = self
            .sources
            .values()
            .map(|source| source.tensor.as_str())
            .chain(READ_HERE)
            .collect();
        let mut found = self.file.tensors().keys();
        match found.find(|name| !expected.contains(name.as_str())) {
            Some(name) => Err(Error::UnexpectedTensor {
                folder: folder(),
                name: name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Reads a tensor that `check` has seen, and holds it as `stored` says.
    pub(crate) fn parameter(
        &self,
        spec: &ModelSpec,
        name: String,
        shape: &[usize],
        stored: WeightType,
        device: &Device,
    ) -> Result<Parameter> {
        let (source, tensor) = self.find(&name)?;
        let parameter = self.convert(source, tensor, spec, name, shape, stored, device);
        self.file.give_back(tensor);
        parameter
    }

    fn convert(
        &self,
        source: &Source,
        tensor: &TensorInfo,
        spec: &ModelSpec,
        name: String,
        shape: &[usize],
        stored: WeightType,
        device: &Device,
    ) -> Result<Parameter> {
        let bytes = self.bytes(source, tensor);
        let &[rows, columns] = shape else {
            let value = Tensor::from_raw_buffer(&bytes, dtype(tensor.kind), shape, &Device::Cpu)?;
            let value = value.to_dtype(DType::F32)?.to_device(device)?;
            let value = if source.added == 0.0 {
                value
            } else {
                (value - f64::from(source.added))?
            };
            return Ok(Parameter::frozen(name, value));
        };
        let broken = |error: &candle_core::Error| Error::BrokenWeights {
            path: self.file.path().to_owned(),
            reason: format!("`{}`: {}", source.tensor, super::plain(error)),
        };
        let kept = stored == WeightType::Stored;
        let quantised = match quantised(tensor.kind) {
            Some(kind) => {
                let matrix = QuantisedMatrix::from_ggml(kind, rows, columns, bytes.into_owned());
                let matrix = matrix.map_err(|error| broken(&error))?;
                if kept {
                    return Parameter::quantised(name, matrix, device);
                }
                matrix.dequantise()?
            }
            None => Tensor::from_raw_buffer(&bytes, dtype(tensor.kind), shape, &Device::Cpu)?,
        };
        match stored.quantisation() {
            Some(quantisation) if spec.is_quantised(&name, shape) => {
                let matrix = QuantisedMatrix::quantise(&quantised, quantisation);
                Parameter::quantised(name, matrix.map_err(|error| broken(&error))?, device)
            }
            _ => {
                let dtype = if kept {
                    stored_type(quantised.dtype(), device)
                } else {
                    stored.float_on(device)
                };
                let beyond = |value| Error::BeyondF16 {
                    path: self.file.path().to_owned(),
                    name: source.tensor.clone(),
                    value,
                };
                let value = cast(&quantised, dtype, &beyond)?.to_device(device)?;
                Ok(Parameter::frozen(name, value))
            }
        }
    }

    fn find(&self, name: &str) -> Result<(&Source, &TensorInfo)> {
        let found = self.sources.get(name).and_then(|source| {
            let tensor = self.file.tensors().get(&source.tensor)?;
            Some((source, tensor))
        });
        let missing = || candle_core::Error::Msg(format!("{name} lies nowhere in the file"));
        Ok(found.ok_or_else(missing)?)
    }

    /// The bytes of a tensor of the model, its rows where transformers has them. A row is whole
    /// blocks, so moving it changes no number.
    fn bytes<'a>(&'a self, source: &Source, tensor: &TensorInfo) -> std::borrow::Cow<'a, [u8]> {
        let bytes = self.file.bytes(tensor);
        let rows = tensor.shape[0];
        let width = bytes.len() / rows;
        if let Some(part) = source.part {
            return bytes[part * width..][..width].into();
        }
        if let Order::Kept = source.order {
            return bytes.into();
        }
        let mut moved = Vec::with_capacity(bytes.len());
        for row in 0..rows {
            let place = source.order.place(row);
            moved.extend_from_slice(&bytes[place * width..][..width]);
        }
        moved.into()
    }
}

/// Whether a file has a tensor for each matrix of each expert, as llama.cpp's converter wrote it
/// until April 2024. Since then a block's experts lie in stacks.
fn are_apart(file: &Gguf) -> bool {
    let holds = |end: &str| file.tensors().keys().any(|name| name.ends_with(end));
    holds(".0.weight") && !holds("_exps.weight")
}

/// Where each tensor of a model lies in a file whose converter has left rows in `order` and experts
/// in stacks or `apart`.
fn sources(spec: &ModelSpec, order: RowOrder, apart: bool) -> BTreeMap<String, Source> {
    let mut found = BTreeMap::new();
    let mut put = |name: String, tensor: String, shape: Vec<usize>, order: Order, added: f32| {
        let source = Source {
            tensor,
            shape,
            part: None,
            order,
            added,
        };
        found.insert(name, source);
    };
    let (hidden, head_dim) = (spec.hidden_size, spec.head_dim);
    let table = vec![spec.vocab_size, hidden];
    let embedding = "token_embd.weight".to_owned();
    put(
        spec.embedding_name(),
        embedding,
        table.clone(),
        Order::Kept,
        0.0,
    );
    if !spec.tie_word_embeddings {
        put(
            spec.head_name(),
            "output.weight".into(),
            table,
            Order::Kept,
            0.0,
        );
    }
    // llama.cpp stores what a norm multiplies by.
    let added = if spec.norm == NormKind::RmsPlusOne {
        1.0
    } else {
        0.0
    };
    let mut norms = vec![(spec.final_norm_name().to_owned(), "output_norm".to_owned())];
    let mut stacked = Vec::new();
    for layer in 0..spec.num_hidden_layers {
        let block = |name: &str| format!("blk.{layer}.{name}");
        let places = [
            "attn_norm",
            "post_attention_norm",
            "ffn_norm",
            "post_ffw_norm",
        ];
        for (name, place) in spec.norm_names().into_iter().zip(places) {
            norms.extend(name.map(|name| (spec.in_layer(layer, name), block(place))));
        }
        for (linear, name) in linears(spec) {
            let order = match (order, name) {
                (RowOrder::RotaryPairs, "attn_q" | "attn_k") => Order::RotaryPairs { head_dim },
                (RowOrder::Together, "attn_qkv") => Order::Together {
                    heads: spec.num_attention_heads,
                    head_dim,
                },
                _ => Order::Kept,
            };
            let module = spec.in_layer(layer, linear.name);
            let shape = vec![linear.out, linear.input];
            let weight = format!("{}.weight", block(name));
            put(format!("{module}.weight"), weight, shape, order, 0.0);
            if linear.bias {
                let bias = format!("{}.bias", block(name));
                put(format!("{module}.bias"), bias, vec![linear.out], order, 0.0);
            }
        }
        for (weights, name) in spec
            .qk_norms()
            .into_iter()
            .zip(["attn_q_norm", "attn_k_norm"])
        {
            let tensor = format!("{}.weight", block(name));
            let heads = weights.len();
            for (head, (name, width)) in weights.into_iter().enumerate() {
                let name = format!("{}.weight", spec.in_layer(layer, &name));
                if spec.qk_norm == Some(QkNorm::OwnPerHead) {
                    stacked.push((name, tensor.clone(), vec![heads, width], head));
                } else {
                    put(name, tensor.clone(), vec![width], Order::Kept, added);
                }
            }
        }
    }
    for (name, tensor) in norms {
        let weight = (format!("{name}.weight"), format!("{tensor}.weight"));
        put(weight.0, weight.1, vec![hidden], Order::Kept, added);
        if spec.norm == NormKind::Layer {
            let bias = (format!("{name}.bias"), format!("{tensor}.bias"));
            put(bias.0, bias.1, vec![hidden], Order::Kept, 0.0);
        }
    }
    for (name, tensor, shape, part) in stacked {
        let source = Source {
            tensor,
            shape,
            part: Some(part),
            order: Order::Kept,
            added: 0.0,
        };
        found.insert(name, source);
    }
    let layers = 0..spec.num_hidden_layers;
    found.extend(layers.flat_map(|layer| experts(spec, layer, apart)));
    found
}

/// Where router and experts of a block lie.
fn experts(spec: &ModelSpec, layer: usize, apart: bool) -> Vec<(String, Source)> {
    let Some(experts) = spec.experts(layer) else {
        return Vec::new();
    };
    let source = |(at, (name, shape)): (usize, (String, Vec<usize>))| {
        let (place, part) = match at.checked_sub(1) {
            None => ("ffn_gate_inp".to_owned(), None),
            Some(at) => {
                let (expert, place) = (at / 3, ["ffn_gate", "ffn_up", "ffn_down"][at % 3]);
                if apart {
                    (format!("{place}.{expert}"), None)
                } else {
                    (format!("{place}_exps"), Some(expert))
                }
            }
        };
        let stack = part.map(|_| experts.count);
        let source = Source {
            tensor: format!("blk.{layer}.{place}.weight"),
            shape: stack.into_iter().chain(shape).collect(),
            part,
            order: Order::Kept,
            added: 0.0,
        };
        (format!("{}.weight", spec.in_layer(layer, &name)), source)
    };
    let tensors = spec.expert_tensors(experts).into_iter();
    tensors.enumerate().map(source).collect()
}

/// The linear layers of a block, and what llama.cpp calls each.
fn linears(spec: &ModelSpec) -> impl Iterator<Item = (crate::spec::LinearShape, &'static str)> {
    let mut names = match spec.qkv {
        QkvProjection::Separate => vec!["attn_q", "attn_k", "attn_v"],
        QkvProjection::Fused | QkvProjection::FusedByHead => vec!["attn_qkv"],
    };
    names.push("attn_output");
    names.extend(match spec.mlp {
        MlpKind::Gated => vec!["ffn_gate", "ffn_up"],
        MlpKind::GatedFused | MlpKind::Plain => vec!["ffn_up"],
    });
    names.push("ffn_down");
    spec.linears().into_iter().zip(names)
}

/// The type of a tensor that is not quantised.
fn dtype(kind: TensorType) -> DType {
    match kind {
        TensorType::F16 => DType::F16,
        TensorType::Bf16 => DType::BF16,
        _ => DType::F32,
    }
}

fn quantised(kind: TensorType) -> Option<GgmlType> {
    Some(match kind {
        TensorType::Q4_0 => GgmlType::Q4_0,
        TensorType::Q4_1 => GgmlType::Q4_1,
        TensorType::Q5_0 => GgmlType::Q5_0,
        TensorType::Q5_1 => GgmlType::Q5_1,
        TensorType::Q8_0 => GgmlType::Q8_0,
        TensorType::Q2K => GgmlType::Q2K,
        TensorType::Q3K => GgmlType::Q3K,
        TensorType::Q4K => GgmlType::Q4K,
        TensorType::Q5K => GgmlType::Q5K,
        TensorType::Q6K => GgmlType::Q6K,
        TensorType::F32 | TensorType::F16 | TensorType::Bf16 | TensorType::Other(_) => return None,
    })
}
