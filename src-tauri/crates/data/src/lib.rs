//! Files → records → conversations → tokens with loss mask → packed batches.
//!
//! Nothing here knows a model's weights, the store or a user's folder.

mod batch;
mod cell;
mod conversation;
mod error;
mod gguf;
mod inspect;
mod normalised;
mod pack;
mod read;
mod sample;
mod shape;
mod split;
mod template;
mod tokenizer;

pub use batch::{Batch, IGNORED, Segment};
pub use conversation::{Conversation, Role, Turn};
pub use error::{Error, Result};
pub use gguf::{Gguf, Numbers, Strings, TensorInfo, TensorType};
pub use inspect::{Bin, Column, ColumnKind, Inspection, Lengths, Problem, ProblemKind, inspect};
pub use normalised::{ConversationFile, write_conversations};
pub use pack::pack;
pub use read::{Batches, Format, Progress, Source, Watch};
pub use sample::Sample;
pub use shape::{ColumnChoice, RowFault, RowProblem, Shape};
pub use split::split;
pub use template::{ChatTemplate, TemplateOrigin};
pub use tokenizer::{TokenStream, Tokenizer};
