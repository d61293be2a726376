//! What the program brings along for a first run without a network: a small invented world, the
//! sample dataset about it and the model that grew up in it.
//!
//! How the model was made stands in `docs/starter-model.md`; `examples/starter_model.rs` makes it
//! again.

pub mod clock;
pub mod corpus;
pub mod dataset;
pub mod draw;
pub mod notation;
pub mod order;
pub mod phrasing;
pub mod record;
pub mod world;

use crate::error::{Error, Result};
use crate::first_start::Bundle;

/// The bundled model and its data.
pub(crate) fn bundle() -> Result<Bundle> {
    Err(
        Error::new("starter-missing", "this build brings no starter model")
            .with_remedy("Add a model folder with `attune models add`."),
    )
}
