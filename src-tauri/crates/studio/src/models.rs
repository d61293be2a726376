//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn list(
    _studio: &Studio,
    _request: ModelsListRequest,
    _session: &mut Session<'_>,
) -> Result<Vec<Model>> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn add(
    _studio: &Studio,
    _request: ModelsAddRequest,
    _session: &mut Session<'_>,
) -> Result<Model> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn inspect(
    _studio: &Studio,
    _request: ModelsInspectRequest,
    _session: &mut Session<'_>,
) -> Result<ModelReport> {
    Err(Error::new("not-built", "this command is not built yet"))
}

/// To come.
pub fn remove(
    _studio: &Studio,
    _request: ModelsRemoveRequest,
    _session: &mut Session<'_>,
) -> Result<Removed> {
    Err(Error::new("not-built", "this command is not built yet"))
}
