//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn score(
    _studio: &Studio,
    _request: ScoreRequest,
    _session: &mut Session<'_>,
) -> Result<Score> {
    Err(Error::new("not-built", "this command is not built yet"))
}
