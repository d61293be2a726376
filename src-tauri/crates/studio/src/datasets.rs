//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn import(
    _studio: &Studio,
    _request: DataImportRequest,
    _session: &mut Session<'_>,
) -> Result<DatasetReport> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn check(
    _studio: &Studio,
    _request: DataCheckRequest,
    _session: &mut Session<'_>,
) -> Result<Inspection> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn list(
    _studio: &Studio,
    _request: DataListRequest,
    _session: &mut Session<'_>,
) -> Result<Vec<Dataset>> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn show(
    _studio: &Studio,
    _request: DataShowRequest,
    _session: &mut Session<'_>,
) -> Result<DatasetPage> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn remove(
    _studio: &Studio,
    _request: DataRemoveRequest,
    _session: &mut Session<'_>,
) -> Result<Removed> {
    Err(Error::new("not-built", "this command is not built yet"))
}
