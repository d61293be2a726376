//! Which files a request means by "model, adapter, experiment", and loading them once.

use std::path::{Path, PathBuf};
use std::sync::TryLockError;
use std::time::Duration;

use crate::Studio;
use crate::api::{CheckpointChoice, Progress, Session, Weights};
use crate::error::{Error, Result};
use crate::experiments::{StartPoint, config_of};
use crate::files::folder_size;
use crate::models;
use crate::settings::{ExperimentConfig, SaveCheckpoint};
use attune_data::{Gguf, Tokenizer};
use attune_engine::{DType, Decoder, Device, PromptCache, WeightType};

/// The files behind a [`Weights`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Files {
    /// For people: `attune-starter`, `orders-1 (step 120)`.
    pub(crate) name: String,
    /// The model's own folder: configuration, tokenizer, template.
    pub(crate) model: PathBuf,
    /// The folder the weights are read from; the model's own unless every weight was tuned.
    pub(crate) base: PathBuf,
    /// The adapter on top.
    pub(crate) adapter: Option<PathBuf>,
    /// The experiment's settings, if the weights come from one.
    pub(crate) config: Option<ExperimentConfig>,
}

impl Files {
    /// Finds the files, and refuses what contradicts itself.
    pub(crate) fn find(studio: &Studio, weights: &Weights) -> Result<Self> {
        match (&weights.experiment, &weights.model) {
            (Some(experiment), _) => {
                if weights.adapter.is_some() || weights.model.is_some() {
                    return Err(Error::new(
                        "weights-conflict",
                        "an experiment brings its own model and adapter",
                    )
                    .with_remedy(
                        "Give either an experiment, or a model with an optional adapter.",
                    ));
                }
                Self::of_experiment(studio, experiment, weights.checkpoint)
            }
            (None, Some(model)) => Self::of_model(studio, model, weights.adapter.as_deref()),
            (None, None) => Err(Error::new(
                "weights-missing",
                "neither a model nor an experiment is given",
            )
            .with_remedy(
                "Name a model (`attune models list`) or an experiment (`attune experiments list`).",
            )),
        }
    }

    fn of_model(studio: &Studio, model: &str, adapter: Option<&Path>) -> Result<Self> {
        let known = models::find(studio, model)?;
        if let Some(adapter) = adapter
            && !adapter.join("adapter_config.json").is_file()
        {
            return Err(Error::new(
                "adapter-missing",
                format!("{} holds no adapter", adapter.display()),
            )
            .with_remedy("Choose a folder with adapter_config.json and adapter_model.safetensors.")
            .with_place(adapter.display().to_string()));
        }
        Ok(Self {
            name: known.name,
            model: known.folder.clone(),
            base: known.folder,
            adapter: adapter.map(Path::to_owned),
            config: None,
        })
    }

    fn of_experiment(
        studio: &Studio,
        reference: &str,
        choice: Option<CheckpointChoice>,
    ) -> Result<Self> {
        let experiment = studio.store()?.experiment(reference, studio.home())?;
        let config = config_of(&experiment)?;
        let choice = choice.unwrap_or(match config.save_checkpoint {
            SaveCheckpoint::Best => CheckpointChoice::Best,
            SaveCheckpoint::Last => CheckpointChoice::Last,
        });
        let checkpoints = experiment.folder.join("checkpoints");
        let last = attune_engine::last_checkpoint(&checkpoints)?;
        let checkpoint = match choice {
            CheckpointChoice::Best => attune_engine::best_checkpoint(&checkpoints)?.or(last),
            CheckpointChoice::Last => last,
        };
        let checkpoint = checkpoint.ok_or_else(|| {
            Error::new(
                "no-checkpoint",
                format!("the experiment `{}` has no checkpoint yet", experiment.id),
            )
            .with_remedy("Wait for its first checkpoint, or continue it.")
        })?;
        let model = models::find(studio, &config.model)?.folder;
        let start = StartPoint::of(&experiment, &model);
        let tuned_adapter = checkpoint.folder.join("adapter_config.json").is_file();
        Ok(Self {
            name: format!("{} (step {})", experiment.name, checkpoint.step),
            base: if tuned_adapter {
                start.base
            } else {
                checkpoint.folder.clone()
            },
            adapter: tuned_adapter.then_some(checkpoint.folder),
            model,
            config: Some(config),
        })
    }

    /// The tokenizer, from the model's own folder: a checkpoint holds weights only.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer> {
        Ok(Tokenizer::from_folder(&self.model)?)
    }
}

/// Weights in memory.
pub(crate) struct Loaded {
    /// The folders of tokenizer and weights.
    folders: (PathBuf, PathBuf),
    /// The model, with its adapter; those used earlier are held beside it.
    pub(crate) decoder: Decoder,
    /// Its tokenizer.
    pub(crate) tokenizer: Tokenizer,
    /// What each adapter, or the base alone, has seen of the conversation it answered last; the
    /// one at work first.
    known: Vec<(Option<PathBuf>, PromptCache)>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Loaded")
            .field("folders", &self.folders)
            .finish_non_exhaustive()
    }
}

/// Reads a model's weights onto `device`, with progress.
pub(crate) fn load_decoder(
    base: &Path,
    name: &str,
    stored: impl Into<WeightType>,
    device: &Device,
    session: &mut Session<'_>,
) -> Result<Decoder> {
    const PARTS: u64 = 1000;
    session.check()?;
    let mut progress = Progress::new(format!("Loading {name}"), Some(PARTS));
    let mut report = |part: f32| progress.report((part * PARTS as f32) as u64, session);
    Ok(Decoder::load(base, stored, device, &mut report)?)
}

/// Models kept in memory: one and its tuned self, where every weight of it was tuned, which a
/// person compares. An adapter needs no model of its own.
const KEPT: usize = 2;
/// Adapters held beside a model.
const HELD: usize = 8;

/// Does `work` with the weights in memory, loading them unless they are among those used last. A
/// model and its adapters are one in memory.
pub(crate) fn with_loaded<T>(
    studio: &Studio,
    files: &Files,
    session: &mut Session<'_>,
    work: impl FnOnce(&mut Loaded, &mut Session<'_>) -> Result<T>,
) -> Result<T> {
    // Another answer, or an evaluation, may have them now; waiting for it can be given up.
    let mut slot = loop {
        match studio.loaded.try_lock() {
            Ok(slot) => break slot,
            Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                session.check()?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    let device = studio.open_device()?;
    let found = slot
        .iter()
        .position(|loaded| loaded.is_of(files) && loaded.decoder.device().same_device(&device));
    let mut loaded = if let Some(place) = found {
        slot.remove(place)
    } else {
        slot.truncate(KEPT - 1);
        // In memory they are f32, on disk half of that at least; a second model is a comfort.
        let needed = folder_size(&files.base) * 2;
        if studio.device_memory().1.available < needed + needed / 4 {
            slot.clear();
        }
        load(files, &device, session)?
    };
    let result = loaded
        .choose_adapter(files)
        .and_then(|()| work(&mut loaded, session));
    slot.insert(0, loaded);
    result
}

fn load(files: &Files, device: &Device, session: &mut Session<'_>) -> Result<Loaded> {
    let stored = if Gguf::is_one(&files.base) {
        WeightType::Stored
    } else {
        WeightType::Float(DType::F32)
    };
    Ok(Loaded {
        folders: (files.model.clone(), files.base.clone()),
        tokenizer: files.tokenizer()?,
        decoder: load_decoder(&files.base, &files.name, stored, device, session)?,
        known: Vec::new(),
    })
}

impl Loaded {
    /// Whether these are the weights of `files`, whatever their adapter.
    fn is_of(&self, files: &Files) -> bool {
        self.folders.0 == files.model && self.folders.1 == files.base
    }

    /// The model with the adapter at work, its tokenizer, and what it has seen of the conversation
    /// it answered last.
    pub(crate) fn conversing(&mut self) -> (&Decoder, &Tokenizer, &mut PromptCache) {
        (&self.decoder, &self.tokenizer, &mut self.known[0].1)
    }

    /// Computes with the adapter of `files`, reading it unless it is held.
    fn choose_adapter(&mut self, files: &Files) -> Result<()> {
        let known = self.known.iter().position(|(of, _)| *of == files.adapter);
        let known = known.map(|place| self.known.remove(place));
        let known = known.unwrap_or_else(|| (files.adapter.clone(), PromptCache::default()));
        self.known.insert(0, known);
        self.known.truncate(KEPT);
        let Some(folder) = &files.adapter else {
            return Ok(self.decoder.deactivate_adapter()?);
        };
        let name = folder.display().to_string();
        let held: Vec<String> = self.decoder.held_adapters().map(str::to_owned).collect();
        if !held.contains(&name) {
            if held.len() >= HELD {
                for one in held {
                    self.decoder.remove_adapter(&one)?;
                }
            }
            self.decoder.add_adapter(&name, folder)?;
        }
        Ok(self.decoder.activate_adapter(&name)?)
    }
}

impl Studio {
    /// Gives back the memory of the weights used last, unless they are in use now.
    pub(crate) fn unload(&self) {
        if let Ok(mut loaded) = self.loaded.try_lock() {
            loaded.clear();
        }
    }
}
