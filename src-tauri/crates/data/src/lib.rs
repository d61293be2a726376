//! Files → records → conversations → tokens with loss mask → packed batches.
//!
//! Nothing here knows a model's weights, the store or a user's folder.

mod batch;
mod conversation;
mod sample;

pub use batch::{Batch, IGNORED, Segment};
pub use conversation::{Conversation, Role, Turn};
pub use sample::Sample;
