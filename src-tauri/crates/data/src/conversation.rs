//! A conversation: what every row of every supported shape becomes.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that stand before the conversation.
    System,
    /// The person.
    User,
    /// The model; the only role whose tokens are trained in a chat.
    Assistant,
    /// Plain text outside any chat: rendered as it is, every token trained.
    Text,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Turn {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
        }
    }
}

/// The turns of one row, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
pub struct Conversation {
    /// System, user and assistant turns, or a single `Role::Text`.
    pub turns: Vec<Turn>,
}
