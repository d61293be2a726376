//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn install(
    _studio: &Studio,
    _request: StarterRequest,
    _session: &mut Session<'_>,
) -> Result<Starter> {
    Err(Error::new("not-built", "this command is not built yet"))
}
