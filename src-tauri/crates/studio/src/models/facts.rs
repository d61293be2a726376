//! What a model's files say about it, without loading a weight.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::api::ModelFacts;
use crate::error::{Error, Result};
use crate::files::folder_size;
use attune_data::Gguf;
use attune_engine::ModelSpec;

/// Family, size, precision, context and template of the model in `folder`; refuses one whose files
/// are missing or cut off, before anybody waits for it to load.
pub(super) fn read(folder: &Path) -> Result<ModelFacts> {
    if Gguf::is_one(folder) {
        return read_gguf(folder);
    }
    let spec = ModelSpec::from_folder(folder)?;
    if let Some(head) = &spec.sequence_head {
        return Err(Error::new(
            "model-other-head",
            format!(
                "{} scores {} labels of a text; what is tuned and chatted with here writes text",
                folder.display(),
                head.labels.len()
            ),
        )
        .with_remedy("Choose the language model it was made of.")
        .with_place(folder.display().to_string()));
    }
    let shards = shards(folder)?;
    if shards.is_empty() {
        return Err(Error::new(
            "model-no-weights",
            format!("{} holds no safetensors files", folder.display()),
        )
        .with_remedy(
            "Download the model's safetensors files; pickle files (.bin, .pt) are never read.",
        )
        .with_place(folder.display().to_string()));
    }
    let mut dtype = None;
    let mut bytes = 0;
    for shard in &shards {
        let header = Header::read(shard)?;
        dtype = dtype.or(header.dtype);
        bytes += header.bytes;
    }
    Ok(ModelFacts {
        family: super::features::word(spec.family),
        parameters: spec.parameter_count(),
        dtype: dtype.unwrap_or_else(|| "unknown".to_owned()),
        bytes,
        context: spec.context(),
        template: template(folder).to_owned(),
        licence: licence(folder),
    })
}

/// The same of a GGUF file, whose metadata say it all.
fn read_gguf(path: &Path) -> Result<ModelFacts> {
    let file = Gguf::open(path).map_err(attune_engine::Error::from)?;
    let spec = ModelSpec::from_gguf(&file)?;
    let text = |key: &str| file.text(key).ok().flatten();
    Ok(ModelFacts {
        family: super::features::word(spec.family),
        parameters: spec.parameter_count(),
        dtype: file.precision(),
        bytes: folder_size(path),
        context: spec.context(),
        template: template(path).to_owned(),
        licence: text("general.license").map(str::to_owned),
    })
}

/// The licence that the model card's front matter names.
fn licence(folder: &Path) -> Option<String> {
    let card = fs::read_to_string(folder.join("README.md")).ok()?;
    let matter = card.strip_prefix("---")?.split("\n---").next()?;
    let named = |key: &str| {
        matter.lines().find_map(|line| {
            let value = line.strip_prefix(key)?.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        })
    };
    // The hub writes `other` and names the licence in a field of its own.
    named("license:")
        .filter(|licence| licence != "other")
        .or_else(|| named("license_name:"))
}

fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).map_err(|source| Error::file("read the folder", folder, &source))?;
    let mut shards: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name != "adapter_model.safetensors")
        })
        .collect();
    shards.sort();
    Ok(shards)
}

/// What the head of a safetensors file says.
struct Header {
    dtype: Option<String>,
    bytes: u64,
}

impl Header {
    /// A header larger than this is no header; the format's own limit.
    const LARGEST: u64 = 100_000_000;

    fn read(path: &Path) -> Result<Self> {
        let refuse = |reason: &str| {
            Error::new(
                "model-broken-weights",
                format!(
                    "{} is not a readable safetensors file: {reason}",
                    path.display()
                ),
            )
            .with_remedy("The download was probably cut off: download the file again.")
            .with_place(path.display().to_string())
        };
        let mut file = File::open(path).map_err(|source| Error::file("read", path, &source))?;
        let bytes = file
            .metadata()
            .map_err(|source| Error::file("read", path, &source))?
            .len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|_| refuse("it is shorter than its header"))?;
        let length = u64::from_le_bytes(length);
        if length > Self::LARGEST || length + 8 > bytes {
            return Err(refuse("it is shorter than its header"));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text)
            .map_err(|_| refuse("it is shorter than its header"))?;
        let tensors: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|_| refuse("its header is not JSON"))?;
        let tensors = tensors
            .iter()
            .filter(|(name, _)| *name != "__metadata__")
            .map(|(_, tensor)| tensor);
        let end = tensors
            .clone()
            .filter_map(|tensor| tensor["data_offsets"][1].as_u64())
            .max()
            .unwrap_or(0);
        if end + length + 8 != bytes {
            return Err(refuse(&format!(
                "it has {bytes} bytes where its header promises {}",
                end + length + 8
            )));
        }
        let dtype = tensors
            .clone()
            .find_map(|tensor| tensor["dtype"].as_str())
            .map(plain);
        Ok(Self { dtype, bytes })
    }
}

/// The word settings use for a precision of safetensors.
fn plain(dtype: &str) -> String {
    match dtype {
        "F32" => "float32".to_owned(),
        "BF16" => "bfloat16".to_owned(),
        "F16" => "float16".to_owned(),
        other => other.to_lowercase(),
    }
}

/// Where the chat template comes from, by the order in which the tokenizer looks.
pub(crate) fn template(folder: &Path) -> &'static str {
    if Gguf::is_one(folder) {
        let file = Gguf::open(folder).ok();
        let own = file.is_some_and(|file| file.has("tokenizer.chat_template"));
        return if own { "GGUF file" } else { "ChatML" };
    }
    let config = fs::read_to_string(folder.join("tokenizer_config.json")).unwrap_or_default();
    if folder.join("chat_template.jinja").is_file() {
        "chat_template.jinja"
    } else if serde_json::from_str::<Value>(&config)
        .is_ok_and(|config| !config["chat_template"].is_null())
    {
        "tokenizer_config.json"
    } else {
        "ChatML"
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shard(folder: &Path, payload: usize) -> PathBuf {
        let header = br#"{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        bytes.extend(vec![0; payload]);
        let path = folder.join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_whole_shard_says_its_precision() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header::read(&shard(folder.path(), 8)).unwrap();
        assert_eq!(header.dtype.as_deref(), Some("bfloat16"));
    }

    /// The engine reads classifiers; nothing here offers them yet.
    #[test]
    fn a_model_that_scores_labels_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        shard(folder.path(), 8);
        let config = r#"{"architectures": ["LlamaForSequenceClassification"], "hidden_size": 8,
            "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
            "vocab_size": 8}"#;
        fs::write(folder.path().join("config.json"), config).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert_eq!(error.code, "model-other-head");
    }

    #[test]
    fn a_shard_that_was_cut_off_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for payload in [0, 7] {
            let error = Header::read(&shard(folder.path(), payload)).err().unwrap();
            assert_eq!(error.code, "model-broken-weights");
        }
        let path = folder.path().join("model.safetensors");
        fs::write(&path, b"tiny").unwrap();
        assert!(Header::read(&path).is_err());
        fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
        assert!(Header::read(&path).is_err());
    }
}
