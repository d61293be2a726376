//! Files → records → conversations → tokens with loss mask → packed batches.
//!
//! Nothing here knows a model's weights, the store or a user's folder.

mod batch;
mod cell;
mod confined;
mod conversation;
mod error;
mod foreign;
mod gguf;
mod inspect;
mod labels;
mod memory_budget;
mod normalised;
mod pack;
mod preference;
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
pub use labels::{Label, LabelledSample};
pub use memory_budget::Budgeted;
pub use normalised::{ConversationFile, write_conversations};
pub use pack::pack;
pub use preference::{PreferencePair, RatedSample};
pub use read::{Batches, Format, Progress, Source, Watch};
pub use sample::Sample;
pub use shape::{ColumnChoice, RowFault, RowProblem, Shape};
pub use split::split;
pub use template::{ChatTemplate, TemplateOrigin};
pub use tokenizer::{BpeOptions, Documents, TokenStream, Tokenizer, TrainedTokenizer};
