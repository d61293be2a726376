//! Checkpoints: everything that a run needs to go on with the same bits, and never the frozen
//! base.
//!
//! `step-00000120/` holds the adapter in PEFT's layout (or, in full fine-tuning, a model folder:
//! the weights and their configuration), the optimiser's state and `state.json`. `last.json` and `best.json` name the checkpoint they
//! point to. A folder gets its name only once it is on disk, a pointer only once its folder is.

use crate::files::{self, at};
use crate::optimizer::Optimizer;
use crate::{Decoder, Error, OptimizerKind, Result, weights};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a checkpoint lies and how far it got.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointInfo {
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Lowest validation loss so far, if one was measured.
    pub best_loss: Option<f64>,
    /// The folder: it loads as a PEFT adapter or, in full fine-tuning, as a model.
    pub folder: PathBuf,
}

/// The run's state beside weights and the optimiser's. Shuffling is a function of seed and epoch, so the
/// step is the whole position in data and random numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) step: u64,
    pub(crate) epoch: f64,
    pub(crate) best_loss: Option<f64>,
    /// Evaluations since the best one.
    pub(crate) without_improvement: u32,
    /// Of the samples and the settings that decide the course of the run.
    pub(crate) fingerprint: String,
}

impl State {
    /// Before the first step.
    pub(crate) fn new(fingerprint: String) -> Self {
        Self {
            step: 0,
            epoch: 0.0,
            best_loss: None,
            without_improvement: 0,
            fingerprint,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Pointer {
    folder: String,
}

/// The newest checkpoint of a run.
pub fn last(checkpoints: &Path) -> Result<Option<CheckpointInfo>> {
    info(checkpoints, "last")
}

/// The checkpoint with the lowest validation loss, or the newest if none was measured.
pub fn best(checkpoints: &Path) -> Result<Option<CheckpointInfo>> {
    match info(checkpoints, "best")? {
        Some(best) => Ok(Some(best)),
        None => last(checkpoints),
    }
}

fn info(checkpoints: &Path, name: &str) -> Result<Option<CheckpointInfo>> {
    let Some(folder) = pointed(checkpoints, name)? else {
        return Ok(None);
    };
    let State {
        step,
        epoch,
        best_loss,
        ..
    } = read_state(&folder)?;
    Ok(Some(CheckpointInfo {
        step,
        epoch,
        best_loss,
        folder,
    }))
}

/// Writes a checkpoint, points `last` (and `best`) to it and removes what nothing points to.
pub(crate) fn save(
    checkpoints: &Path,
    decoder: &Decoder,
    optimizer: &Optimizer,
    state: &State,
    best: bool,
) -> Result<()> {
    std::fs::create_dir_all(checkpoints).map_err(at(checkpoints, "created"))?;
    let name = format!("step-{:08}", state.step);
    files::write_folder(&checkpoints.join(&name), |folder| {
        if decoder.lora().is_some() {
            decoder.write_adapter(folder)?;
        } else {
            weights::save(&folder.join("model.safetensors"), decoder.stored_base())?;
            let config = decoder.spec().to_config("float32");
            files::write(&folder.join("config.json"), &json(&config)?)?;
        }
        optimizer.save(&folder.join("optimizer.safetensors"))?;
        files::write(&folder.join("state.json"), &json(state)?)
    })?;
    let pointer = json(&Pointer { folder: name })?;
    files::write(&checkpoints.join("last.json"), &pointer)?;
    if best {
        files::write(&checkpoints.join("best.json"), &pointer)?;
    }
    prune(checkpoints)
}

/// Brings a decoder and its optimiser to the newest checkpoint, if there is one.
pub(crate) fn restore(
    checkpoints: &Path,
    decoder: &mut Decoder,
    optimizer: OptimizerKind,
    paged: bool,
    fingerprint: &str,
) -> Result<Option<(Optimizer, State)>> {
    let Some(folder) = pointed(checkpoints, "last")? else {
        return Ok(None);
    };
    let state = read_state(&folder)?;
    if state.fingerprint != fingerprint {
        let reason = "its data or settings differ from those of this run".to_owned();
        return Err(Error::CheckpointMismatch { folder, reason });
    }
    if decoder.lora().is_some() {
        decoder.resume_adapter(&folder)?;
    } else {
        decoder.set_base_tensors(
            &weights::read(&folder.join("model.safetensors"), decoder.device())?,
            &folder,
        )?;
    }
    let pages = paged.then_some(checkpoints);
    let path = folder.join("optimizer.safetensors");
    let optimizer = Optimizer::load(&path, decoder, optimizer, pages)?;
    Ok(Some((optimizer, state)))
}

fn pointed(checkpoints: &Path, name: &str) -> Result<Option<PathBuf>> {
    let path = checkpoints.join(format!("{name}.json"));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path, "read")(error)),
    };
    let pointer: Pointer = serde_json::from_str(&text).map_err(|error| Error::BadConfig {
        path,
        reason: error.to_string(),
    })?;
    Ok(Some(checkpoints.join(pointer.folder)))
}

fn read_state(folder: &Path) -> Result<State> {
    let path = folder.join("state.json");
    let text = std::fs::read_to_string(&path).map_err(at(&path, "read"))?;
    serde_json::from_str(&text).map_err(|error| Error::BadConfig {
        path,
        reason: error.to_string(),
    })
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| candle_core::Error::wrap(error).into())
}

/// Removes checkpoint folders that neither pointer names, and what an interrupted write left.
fn prune(checkpoints: &Path) -> Result<()> {
    let kept = [pointed(checkpoints, "last")?, pointed(checkpoints, "best")?];
    for entry in std::fs::read_dir(checkpoints).map_err(at(checkpoints, "read"))? {
        let path = entry.map_err(at(checkpoints, "read"))?.path();
        let is_step = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("step-"));
        if is_step && !kept.iter().flatten().any(|kept| *kept == path) {
            files::remove(&path)?;
        }
    }
    Ok(())
}
