//! The files of a model: safetensors folders, one file or shards with an index, and GGUF files,
//! checked against the configuration.

mod gguf;

use crate::files::at;
use crate::parameter::Parameter;
use crate::pieces;
use crate::{Error, ModelSpec, Result, WeightType};
use attune_data::Gguf;
use attune_kernels::QuantisedMatrix;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use gguf::GgufWeights;
use safetensors::View;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The opened weights of a model, whatever they lie in.
pub(crate) enum ModelFiles {
    Folder(Weights),
    Gguf(GgufWeights),
}

impl ModelFiles {
    /// Opens a folder or a GGUF file and checks that it holds exactly what `spec` asks for.
    pub(crate) fn open(path: &Path, spec: &ModelSpec) -> Result<Self> {
        Ok(if Gguf::is_one(path) {
            Self::Gguf(GgufWeights::open(path, spec)?)
        } else {
            Self::Folder(Weights::open(path, spec)?)
        })
    }

    /// Reads a tensor, and holds it as `stored` says.
    pub(crate) fn parameter(
        &self,
        spec: &ModelSpec,
        name: String,
        shape: &[usize],
        stored: WeightType,
        device: &Device,
    ) -> Result<Parameter> {
        match self {
            Self::Folder(weights) => weights.parameter(spec, name, shape, stored, device),
            Self::Gguf(weights) => weights.parameter(spec, name, shape, stored, device),
        }
    }
}

/// The opened weights of a model folder.
pub(crate) struct Weights {
    folder: PathBuf,
    files: Vec<MmapedSafetensors>,
    /// Which file holds a tensor.
    index: BTreeMap<String, usize>,
    /// A tensor's name in the model and in the files.
    renamed: Option<(String, String)>,
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
        // A family may have renamed its output matrix since the file was written.
        let (stored, head) = (spec.stored_head_name(), spec.head_name());
        if let Some(number) = index.remove(&stored) {
            index.insert(head.clone(), number);
        }
        let renamed = (stored != head).then_some((head, stored));
        let weights = Self {
            renamed,
            folder: folder.to_owned(),
            files,
            index,
        };
        weights.check(spec)?;
        Ok(weights)
    }

    fn check(&self, spec: &ModelSpec) -> Result<()> {
        let expected: BTreeMap<_, _> = spec.tensors().into_iter().collect();
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
        match self
            .index
            .keys()
            .find(|name| !expected.contains_key(*name) && !spec.ignores(name))
        {
            Some(name) => Err(Error::UnexpectedTensor {
                folder: self.folder.clone(),
                name: name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let file = &self.files[*self.index.get(name)?];
        let view = file.get(name).or_else(|_| file.get(self.stored(name)));
        Some(view.ok()?.shape().to_vec())
    }

    /// Reads a tensor that `check` has seen.
    fn load(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let file = self.index.get(name).map_or(0, |index| *index);
        let file = &self.files[file];
        let name = if file.get(name).is_ok() {
            name
        } else {
            self.stored(name)
        };
        let beyond = |value| Error::BeyondF16 {
            path: self.folder.clone(),
            name: name.to_owned(),
            value,
        };
        pieces::read(&file.get(name)?, dtype, device, &beyond)
    }

    /// Reads a tensor as `stored` says, on every thread where it is quantised.
    pub(crate) fn parameter(
        &self,
        spec: &ModelSpec,
        name: String,
        shape: &[usize],
        stored: WeightType,
        device: &Device,
    ) -> Result<Parameter> {
        match stored.quantisation() {
            Some(quantisation) if spec.is_quantised(&name, shape) => {
                let matrix = self.load(&name, DType::F32, &Device::Cpu)?;
                let matrix = QuantisedMatrix::quantise(&matrix, quantisation);
                let matrix = matrix.map_err(|error| self.broken(&name, &error))?;
                Parameter::quantised(name, matrix, device)
            }
            _ => {
                let dtype = if shape.len() == 2 {
                    stored.float_on(device)
                } else {
                    DType::F32
                };
                let value = self.load(&name, dtype, device)?;
                Ok(Parameter::frozen(name, value))
            }
        }
    }

    /// What is wrong with the values of the tensor `name`.
    fn broken(&self, name: &str, error: &candle_core::Error) -> Error {
        Error::BrokenWeights {
            path: self.folder.clone(),
            reason: format!("`{name}`: {}", plain(error)),
        }
    }

    /// What the files call a tensor that is not there by its own name.
    fn stored<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.renamed {
            Some((model, file)) if model == name => file,
            _ => name,
        }
    }
}

/// Reads all tensors of a small safetensors file, such as an adapter, as f32.
pub(crate) fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    std::fs::File::open(path).map_err(at(path, "read"))?;
    // Widened before it is moved: a device may have no bf16.
    let tensors = candle_core::safetensors::load(path, &Device::Cpu);
    let tensors = tensors.map_err(|error| Error::BrokenWeights {
        path: path.to_owned(),
        reason: plain(&error),
    })?;
    tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?.to_device(device)?)))
        .collect()
}

/// Writes tensors with the metadata transformers looks for.
pub(crate) fn save(path: &Path, tensors: Vec<(String, impl View)>) -> Result<()> {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
