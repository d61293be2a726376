//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn examine(
    _studio: &Studio,
    _request: DoctorRequest,
    _session: &mut Session<'_>,
) -> Result<DoctorReport> {
    Err(Error::new("not-built", "this command is not built yet"))
}
