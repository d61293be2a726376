//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn start(
    _studio: &Studio,
    _request: ExperimentStartRequest,
    _session: &mut Session<'_>,
) -> Result<Experiment> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn list(
    _studio: &Studio,
    _request: ExperimentsListRequest,
    _session: &mut Session<'_>,
) -> Result<Vec<Experiment>> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn show(
    _studio: &Studio,
    _request: ExperimentsShowRequest,
    _session: &mut Session<'_>,
) -> Result<ExperimentReport> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn pause(
    _studio: &Studio,
    _request: ExperimentRequest,
    _session: &mut Session<'_>,
) -> Result<Experiment> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn resume(
    _studio: &Studio,
    _request: ExperimentRequest,
    _session: &mut Session<'_>,
) -> Result<Experiment> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn stop(
    _studio: &Studio,
    _request: ExperimentRequest,
    _session: &mut Session<'_>,
) -> Result<Experiment> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn delete(
    _studio: &Studio,
    _request: ExperimentRequest,
    _session: &mut Session<'_>,
) -> Result<Removed> {
    Err(Error::new("not-built", "this command is not built yet"))
}
