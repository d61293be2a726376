//! The models this machine has: the bundled one, added folders, and the Hugging Face cache.

mod cache;
mod facts;
mod features;

use std::path::{Path, PathBuf};

use crate::Studio;
use crate::api::{
    Model, ModelOrigin, ModelReport, ModelsAddRequest, ModelsInspectRequest, ModelsListRequest,
    ModelsRemoveRequest, Removed, Session,
};
use crate::error::{Error, Result};
use crate::estimate::{fits, usable};
use crate::naming::{Named, resolve};
use attune_data::{Gguf, Tokenizer};
use attune_engine::{DType, MlpKind, ModelSpec};

pub(crate) use cache::cache_folder;
pub(crate) use facts::template;

/// A model by name and place; its files are not read yet.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Unique id.
    pub(crate) id: String,
    /// The name its owner gave it, or the id.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) origin: ModelOrigin,
    /// Where it lies.
    pub(crate) folder: PathBuf,
}

impl Named for Known {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Known {
    /// What its files say, and which methods of tuning fit into `usable` bytes.
    fn describe(self, usable: u64) -> Model {
        let (facts, problem) = match facts::read(&self.folder) {
            Ok(facts) => (Some(facts), None),
            Err(problem) => (None, Some(problem)),
        };
        let spec = facts
            .as_ref()
            .and_then(|_| ModelSpec::from_folder(&self.folder).ok());
        Model {
            id: self.id,
            name: self.name,
            origin: self.origin,
            folder: self.folder,
            fits: spec.map_or_else(Vec::new, |spec| fits(&spec, usable)),
            facts,
            problem,
        }
    }
}

/// Lists the models this machine has.
pub(crate) fn list(
    studio: &Studio,
    _: ModelsListRequest,
    _: &mut Session<'_>,
) -> Result<Vec<Model>> {
    let usable = usable(studio);
    let known = known(studio)?.into_iter();
    Ok(known.map(|model| model.describe(usable)).collect())
}

/// Adds a model folder or a GGUF file to the library; it stays where it is.
pub(crate) fn add(
    studio: &Studio,
    request: ModelsAddRequest,
    _: &mut Session<'_>,
) -> Result<Model> {
    let folder = whole(&resolved(&request.path)?)?;
    facts::read(&folder)?;
    let name = request.name.unwrap_or_else(|| own_name(&folder));
    remember(studio, &name, ModelOrigin::Added, &folder)
}

/// Puts a folder on the library's list.
pub(crate) fn remember(
    studio: &Studio,
    name: &str,
    origin: ModelOrigin,
    folder: &Path,
) -> Result<Model> {
    let stored = studio.store()?.add_model(name, origin, folder)?;
    Ok(Known {
        id: stored.id,
        name: stored.name,
        origin: stored.origin,
        folder: stored.folder,
    }
    .describe(usable(studio)))
}

/// Shows a model in detail.
pub(crate) fn inspect(
    studio: &Studio,
    request: ModelsInspectRequest,
    _: &mut Session<'_>,
) -> Result<ModelReport> {
    let known = find(studio, &request.model)?;
    let spec = ModelSpec::from_folder(&known.folder)?;
    let tokenizer = Tokenizer::from_folder(&known.folder)?;
    let experiments = studio.store()?.experiments(studio.home())?;
    let reference = known.reference();
    Ok(ModelReport {
        vocabulary: spec.vocab_size,
        layers: spec.num_hidden_layers,
        hidden_size: spec.hidden_size,
        intermediate_size: spec.intermediate_size,
        feed_forward_matrices: if spec.mlp == MlpKind::Plain { 2 } else { 3 },
        activation: features::word(spec.activation),
        features: features::of(&spec),
        attention_heads: spec.num_attention_heads,
        key_value_heads: spec.num_key_value_heads,
        tied_head: spec.tie_word_embeddings,
        stop_tokens: tokenizer
            .stop_tokens()
            .iter()
            .filter_map(|token| tokenizer.token_text(*token))
            .collect(),
        template_source: tokenizer.template().source().to_owned(),
        experiments: experiments
            .into_iter()
            .filter(|one| one.model == reference)
            .map(|one| one.id)
            .collect(),
        model: known.describe(usable(studio)),
    })
}

/// Forgets an added model; its folder stays.
pub(crate) fn remove(
    studio: &Studio,
    request: ModelsRemoveRequest,
    _: &mut Session<'_>,
) -> Result<Removed> {
    let known = resolve("model", &request.model, known(studio)?)?;
    let store = studio.store()?;
    let freed = match known.origin {
        ModelOrigin::Added => 0,
        ModelOrigin::Bundled => crate::files::remove_folder(&known.folder)?,
        ModelOrigin::Cache | ModelOrigin::Folder => {
            return Err(Error::new(
                "model-not-ours",
                format!("`{}` belongs to the Hugging Face cache", known.id),
            )
            .with_remedy(
                "Remove it with the tool that downloaded it; other programs may use it too.",
            )
            .with_place(known.folder.display().to_string()));
        }
    };
    store.remove_model(&known.id)?;
    Ok(Removed {
        id: known.id,
        name: known.name,
        freed,
    })
}

/// The model that `reference` means: one of the library or the cache, else a folder.
pub(crate) fn find(studio: &Studio, reference: &str) -> Result<Known> {
    let known = known(studio)?;
    let exact = known
        .iter()
        .find(|model| model.id == reference || model.name == reference);
    let folder = Path::new(reference);
    if exact.is_none() && (folder.is_dir() || (Gguf::is_one(folder) && folder.is_file())) {
        let folder = whole(&resolved(folder)?)?;
        // A folder that the library knows keeps its name, however it is referred to.
        let listed = known.into_iter().find(|model| model.folder == folder);
        return Ok(listed.unwrap_or_else(|| Known {
            id: folder.display().to_string(),
            name: own_name(&folder),
            origin: ModelOrigin::Folder,
            folder,
        }));
    }
    resolve("model", reference, known).map_err(|error| match error.code.as_str() {
        "model-not-found" => {
            let remedy = error.remedy.clone().unwrap_or_default();
            error.with_remedy(format!("{remedy} A model folder can be given by its path."))
        }
        _ => error,
    })
}

impl Known {
    /// What finds this model again from any folder: what an experiment records.
    pub(crate) fn reference(&self) -> String {
        self.id.clone()
    }

    /// Refuses a model whose files are missing, cut off or of a kind the engine does not know.
    pub(crate) fn require_usable(&self) -> Result<()> {
        facts::read(&self.folder).map(|_| ())
    }
}

/// A path without links. A GGUF file keeps its own name: in the Hugging Face cache it is a link to
/// one that is a number.
fn resolved(path: &Path) -> Result<PathBuf> {
    let refuse = |source: std::io::Error| Error::file("open", path, &source);
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if Gguf::is_one(path) => {
            std::fs::metadata(path).map_err(refuse)?;
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            Ok(parent.canonicalize().map_err(refuse)?.join(name))
        }
        _ => path.canonicalize().map_err(refuse),
    }
}

/// The model that a path means: the only GGUF file of a folder that holds no other model.
fn whole(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() || path.join("config.json").is_file() {
        return Ok(path.to_owned());
    }
    let files = cache::gguf_files(path);
    match files.as_slice() {
        [] => Ok(path.to_owned()),
        [file] => Ok(file.clone()),
        [first, ..] => Err(Error::new(
            "model-several-files",
            format!("{} holds {} GGUF files", path.display(), files.len()),
        )
        .with_remedy(format!("Choose one of them, such as {}.", first.display()))
        .with_place(path.display().to_string())),
    }
}

/// What a model is called that nobody named: by its folder, or by its file.
fn own_name(path: &Path) -> String {
    let name = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    name.map_or_else(
        || "model".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The precision a model is stored in, for writing it back as it was; quantised ones in 16 bits.
pub(crate) fn dtype(folder: &Path) -> Result<DType> {
    Ok(match facts::read(folder)?.dtype.as_str() {
        "bfloat16" | "BF16" => DType::BF16,
        "float32" | "F32" => DType::F32,
        "float16" => DType::F16,
        _ if Gguf::is_one(folder) => DType::F16,
        _ => DType::F32,
    })
}

/// Bundled and added models, then those of the cache.
fn known(studio: &Studio) -> Result<Vec<Known>> {
    let stored = studio.store()?.models()?.into_iter();
    let mut known: Vec<Known> = stored
        .map(|model| Known {
            id: model.id,
            name: model.name,
            origin: model.origin,
            folder: model.folder,
        })
        .collect();
    known.extend(cache::models().into_iter().map(|(id, folder)| Known {
        name: id.clone(),
        id,
        origin: ModelOrigin::Cache,
        folder,
    }));
    Ok(known)
}
