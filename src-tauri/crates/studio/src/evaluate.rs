//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn evaluate(
    _studio: &Studio,
    _request: EvaluateRequest,
    _session: &mut Session<'_>,
) -> Result<Evaluation> {
    Err(Error::new("not-built", "this command is not built yet"))
}
