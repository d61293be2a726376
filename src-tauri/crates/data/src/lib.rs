//! Files → records → conversations → tokens with loss mask → packed batches.
//!
//! Nothing here knows a model's weights, the store or a user's folder.

mod batch;
mod conversation;
mod error;
mod pack;
mod sample;
mod split;
mod template;
mod tokenizer;

pub use batch::{Batch, IGNORED, Segment};
pub use conversation::{Conversation, Role, Turn};
pub use error::{Error, Result};
pub use pack::pack;
pub use sample::Sample;
pub use split::split;
pub use template::{ChatTemplate, TemplateOrigin};
pub use tokenizer::{TokenStream, Tokenizer};
