//! To come in the next commits.

use crate::api::*;
use crate::error::{Error, Result};
use crate::Studio;

/// To come.
pub fn function(_studio: &Studio, _request: Request, _session: &mut Session<'_>) -> Result<Reply> {
    Err(Error::new("not-built", "this command is not built yet"))
}
