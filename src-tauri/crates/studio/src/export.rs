//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn export(
    _studio: &Studio,
    _request: ExportRequest,
    _session: &mut Session<'_>,
) -> Result<Export> {
    Err(Error::new("not-built", "this command is not built yet"))
}
