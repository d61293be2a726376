//! What a run starts from: the model alone, an adapter, or what an earlier experiment made.
//!
//! The starting weights are kept in the experiment's own `start/`, by hard link where the disk
//! allows it: an experiment can be continued when the one before it, or the adapter's folder, is
//! long gone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::plan::refuse;
use crate::Studio;
use crate::api::{Experiment, Level, Session, Weights};
use crate::error::{Error, Result};
use crate::files::{link, make_folder};
use crate::models;
use crate::settings::ExperimentConfig;
use crate::weights::Files;

const FOLDER: &str = "start";
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// The starting weights of a run that exists.
#[derive(Debug, PartialEq)]
pub(crate) struct StartPoint {
    /// Where the base weights lie.
    pub(crate) base: PathBuf,
    /// The adapter to go on from.
    pub(crate) adapter: Option<PathBuf>,
}

impl StartPoint {
    /// What `experiment`, which tunes the model in `model`, started from.
    pub(crate) fn of(experiment: &Experiment, model: &Path) -> Self {
        let start = experiment.folder.join(FOLDER);
        let adapter = start.join("adapter");
        Self {
            base: if start.join("config.json").is_file() {
                start
            } else {
                model.to_owned()
            },
            adapter: adapter.is_dir().then_some(adapter),
        }
    }
}

/// The starting weights of a run to be: files elsewhere.
#[derive(Debug, Default)]
pub(super) struct Start {
    base: Option<PathBuf>,
    adapter: Option<PathBuf>,
}

impl Start {
    /// Finds what `pretrained_weights` names. An adapter brings its own rank, strength and layers,
    /// which `config` then records.
    pub(super) fn find(
        studio: &Studio,
        config: &mut ExperimentConfig,
        session: &mut Session<'_>,
    ) -> Result<Self> {
        let Some(reference) = config.pretrained_weights.clone() else {
            return Ok(Self::default());
        };
        let start = if Path::new(&reference).is_dir() {
            let folder = Path::new(&reference).canonicalize();
            let folder =
                folder.map_err(|source| Error::file("open", Path::new(&reference), &source))?;
            config.pretrained_weights = Some(folder.display().to_string());
            Self {
                adapter: Some(folder),
                ..Self::default()
            }
        } else {
            Self::of_experiment(studio, &reference, config)?
        };
        if let Some(adapter) = &start.adapter {
            require_adapter(adapter)?;
            if config.lora {
                adopt(adapter, config, session)?;
            }
        }
        Ok(start)
    }

    fn of_experiment(
        studio: &Studio,
        reference: &str,
        config: &mut ExperimentConfig,
    ) -> Result<Self> {
        let weights = Weights {
            experiment: Some(reference.to_owned()),
            ..Weights::default()
        };
        let files = Files::find(studio, &weights)
            .map_err(|error| error.with_place("pretrained_weights"))?;
        let model = models::find(studio, &config.model)?.folder;
        if files.model != model {
            return Err(refuse(
                "pretrained_weights",
                "start-other-model",
                format!("the experiment `{reference}` tuned another model"),
                "Choose the same model, or an experiment that tuned this one.",
            ));
        }
        config.pretrained_weights = Some(studio.store()?.experiment(reference, studio.home())?.id);
        let base = (files.base != model).then_some(files.base);
        Ok(Self {
            base,
            adapter: files.adapter,
        })
    }

    /// Puts the files into a new experiment's folder.
    pub(super) fn place(&self, experiment: &Path) -> Result<()> {
        let start = experiment.join(FOLDER);
        if let Some(adapter) = &self.adapter {
            make_folder(&start.join("adapter"))?;
            ADAPTER.iter().try_for_each(|name| {
                link(&adapter.join(name), &start.join("adapter").join(name))
            })?;
        }
        let Some(base) = &self.base else {
            return Ok(());
        };
        make_folder(&start)?;
        let entries =
            fs::read_dir(base).map_err(|source| Error::file("read the folder", base, &source))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_owned();
            if name == "config.json" || name.to_string_lossy().starts_with("model") {
                link(&path, &start.join(name))?;
            }
        }
        Ok(())
    }
}

/// Refuses a folder that is no adapter.
fn require_adapter(folder: &Path) -> Result<()> {
    match ADAPTER.iter().find(|name| !folder.join(name).is_file()) {
        None => Ok(()),
        Some(missing) => Err(refuse(
            "pretrained_weights",
            "adapter-missing",
            format!("{} holds no {missing}", folder.display()),
            "Choose a folder that PEFT or Attune saved an adapter into.",
        )),
    }
}

/// Takes over what the adapter's configuration says.
fn adopt(adapter: &Path, config: &mut ExperimentConfig, session: &mut Session<'_>) -> Result<()> {
    let path = adapter.join(ADAPTER[0]);
    let text = fs::read_to_string(&path).map_err(|source| Error::file("read", &path, &source))?;
    let facts: Value = serde_json::from_str(&text).map_err(|source| {
        refuse(
            "pretrained_weights",
            "adapter-unreadable",
            format!("{} is not JSON: {source}", path.display()),
            "Save the adapter again.",
        )
    })?;
    let before = config.lora_r;
    config.adopt_adapter(&facts);
    if config.lora_r != before {
        session.log(
            Level::Info,
            format!(
                "lora_r is {}, as in the adapter the run starts from",
                config.lora_r
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::Control;

    #[test]
    fn an_adapter_brings_its_own_settings() {
        let adapter = tempfile::tempdir().unwrap();
        let facts =
            r#"{"r": 8, "lora_alpha": 32, "target_modules": ["q_proj"], "use_rslora": true}"#;
        fs::write(adapter.path().join(ADAPTER[0]), facts).unwrap();
        let mut config = ExperimentConfig::default();
        adopt(
            adapter.path(),
            &mut config,
            &mut Session::new(&mut |_| {}, &Control::default()),
        )
        .unwrap();
        assert_eq!(
            (config.lora_r, config.lora_alpha, config.use_rslora),
            (8, 32.0, true)
        );
        assert_eq!(config.lora_target_modules, ["q_proj"]);
    }

    #[test]
    fn starting_weights_outlive_where_they_came_from() {
        let parent = tempfile::tempdir().unwrap();
        let base = parent.path().join("checkpoint");
        fs::create_dir_all(&base).unwrap();
        for name in ["model.safetensors", "optimizer.safetensors", "config.json"] {
            fs::write(base.join(name), name).unwrap();
        }
        let experiment = parent.path().join("experiment");
        let start = Start {
            base: Some(base.clone()),
            adapter: None,
        };
        start.place(&experiment).unwrap();
        fs::remove_dir_all(&base).unwrap();
        assert_eq!(
            fs::read_to_string(experiment.join("start/model.safetensors")).unwrap(),
            "model.safetensors"
        );
        assert!(experiment.join("start/config.json").exists());
        assert!(!experiment.join("start/optimizer.safetensors").exists());
    }
}
