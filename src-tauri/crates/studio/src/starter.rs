//! What the program brings along for a first run without a network.

use crate::error::{Error, Result};
use crate::first_start::Bundle;

/// The bundled model and its data.
pub(crate) fn bundle() -> Result<Bundle> {
    Err(
        Error::new("starter-missing", "this build brings no starter model")
            .with_remedy("Add a model folder with `attune models add`."),
    )
}
