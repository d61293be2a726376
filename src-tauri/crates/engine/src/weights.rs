//! Safetensors folders: one file or shards with an index, checked against the configuration.

use crate::files::at;
use crate::{Error, ModelSpec, Result};
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Name and shape of every tensor of a model, in the order of the computation.
pub(crate) fn expected_tensors(spec: &ModelSpec) -> Vec<(String, Vec<usize>)> {
    let (h, i) = (spec.hidden_size, spec.intermediate_size);
    let (q, kv) = (
        spec.num_attention_heads * spec.head_dim,
        spec.num_key_value_heads * spec.head_dim,
    );
    let mut tensors = vec![(
        "model.embed_tokens.weight".to_owned(),
        vec![spec.vocab_size, h],
    )];
    for layer in 0..spec.num_hidden_layers {
        let mut add = |name: &str, shape: Vec<usize>| {
            tensors.push((format!("model.layers.{layer}.{name}"), shape));
        };
        add("input_layernorm.weight", vec![h]);
        let linears = [
            ("self_attn.q_proj", q, h, spec.attention_bias),
            ("self_attn.k_proj", kv, h, spec.attention_bias),
            ("self_attn.v_proj", kv, h, spec.attention_bias),
            ("self_attn.o_proj", h, q, spec.output_bias),
            ("mlp.gate_proj", i, h, spec.mlp_bias),
            ("mlp.up_proj", i, h, spec.mlp_bias),
            ("mlp.down_proj", h, i, spec.mlp_bias),
        ];
        for (name, out, input, bias) in linears {
            add(&format!("{name}.weight"), vec![out, input]);
            if bias {
                add(&format!("{name}.bias"), vec![out]);
            }
        }
        if spec.qk_norm {
            add("self_attn.q_norm.weight", vec![spec.head_dim]);
            add("self_attn.k_norm.weight", vec![spec.head_dim]);
        }
        add("post_attention_layernorm.weight", vec![h]);
    }
    tensors.push(("model.norm.weight".into(), vec![h]));
    if !spec.tie_word_embeddings {
        tensors.push(("lm_head.weight".into(), vec![spec.vocab_size, h]));
    }
    tensors
}

/// The opened weights of a model folder.
pub(crate) struct Weights {
    folder: PathBuf,
    files: Vec<MmapedSafetensors>,
    /// Which file holds a tensor.
    index: BTreeMap<String, usize>,
}

impl Weights {
    /// Opens a folder and checks that it holds exactly what `spec` asks for.
    pub(crate) fn open(folder: &Path, spec: &ModelSpec) -> Result<Self> {
        let paths = shard_paths(folder)?;
        let mut files = Vec::new();
        let mut index = BTreeMap::new();
        for (number, path) in paths.iter().enumerate() {
            let broken = |reason: String| Error::BrokenWeights {
                path: path.clone(),
                reason,
            };
            std::fs::File::open(path).map_err(at(path, "read"))?;
            // SAFETY: the mapping is only read. Attune never rewrites a weights file in place, it
            // replaces whole files by renaming, which leaves a mapped one intact.
            let file =
                unsafe { MmapedSafetensors::new(path) }.map_err(|error| broken(plain(&error)))?;
            index.extend(file.tensors().into_iter().map(|(name, _)| (name, number)));
            files.push(file);
        }
        let weights = Self {
            folder: folder.to_owned(),
            files,
            index,
        };
        weights.check(spec)?;
        Ok(weights)
    }

    fn check(&self, spec: &ModelSpec) -> Result<()> {
        let expected: BTreeMap<_, _> = expected_tensors(spec).into_iter().collect();
        for (name, shape) in &expected {
            let found = self.shape(name).ok_or_else(|| Error::MissingTensor {
                folder: self.folder.clone(),
                name: name.clone(),
                expected: shape.clone(),
            })?;
            if found != *shape {
                let (folder, name, expected) = (self.folder.clone(), name.clone(), shape.clone());
                return Err(Error::WrongShape {
                    folder,
                    name,
                    expected,
                    found,
                });
            }
        }
        let ignored = |name: &str| {
            name.ends_with("rotary_emb.inv_freq")
                || (spec.tie_word_embeddings && name == "lm_head.weight")
        };
        match self
            .index
            .keys()
            .find(|name| !expected.contains_key(*name) && !ignored(name))
        {
            Some(name) => Err(Error::UnexpectedTensor {
                folder: self.folder.clone(),
                name: name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let view = self.files[*self.index.get(name)?].get(name).ok()?;
        Some(view.shape().to_vec())
    }

    /// Reads a tensor that `check` has seen.
    pub(crate) fn load(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let file = self.index.get(name).map_or(0, |index| *index);
        Ok(self.files[file].load(name, device)?.to_dtype(dtype)?)
    }
}

/// Reads all tensors of a small safetensors file, such as an adapter, as f32.
pub(crate) fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    std::fs::File::open(path).map_err(at(path, "read"))?;
    let tensors =
        candle_core::safetensors::load(path, device).map_err(|error| Error::BrokenWeights {
            path: path.to_owned(),
            reason: plain(&error),
        })?;
    tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?)))
        .collect()
}

/// Writes tensors with the metadata transformers looks for.
pub(crate) fn save(path: &Path, tensors: Vec<(String, Tensor)>) -> Result<()> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => at(path, "written")(source),
        other => Error::BrokenWeights {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    })
}

/// candle's errors carry a stack trace; people want the first line.
fn plain(error: &candle_core::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The weight files of a folder.
fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = folder.join("model.safetensors.index.json");
    if !path.is_file() {
        return Err(Error::NoWeights {
            folder: folder.to_owned(),
        });
    }
    let bad = |reason: &str| Error::BadConfig {
        path: path.clone(),
        reason: reason.to_owned(),
    };
    let text = std::fs::read_to_string(&path).map_err(at(&path, "read"))?;
    let index: Value = serde_json::from_str(&text).map_err(|error| bad(&error.to_string()))?;
    let map = index
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| bad("it holds no weight_map"))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    // A name from a downloaded file must stay in its folder.
    if names
        .iter()
        .any(|name| Path::new(name).file_name().is_none_or(|file| file != *name))
    {
        return Err(bad("it names a file outside the folder"));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
