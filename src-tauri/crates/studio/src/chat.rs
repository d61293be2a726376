//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn chat(_studio: &Studio, _request: ChatRequest, _session: &mut Session<'_>) -> Result<Answer> {
    Err(Error::new("not-built", "this command is not built yet"))
}
