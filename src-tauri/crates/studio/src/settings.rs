//! To come in the next commits.

use crate::Studio;
use crate::api::*;
use crate::error::{Error, Result};

/// To come.
pub fn describe(
    _studio: &Studio,
    _request: SettingsRequest,
    _session: &mut Session<'_>,
) -> Result<Vec<SettingDefinition>> {
    Err(Error::new("not-built", "this command is not built yet"))
}
