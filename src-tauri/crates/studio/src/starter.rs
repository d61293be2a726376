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
