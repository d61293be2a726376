//! A tokenised conversation.

/// Tokens and, for each, whether the model is trained to predict it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// As long as `tokens`; `true` where the token counts in the loss.
    pub loss_mask: Vec<bool>,
}

impl Sample {
    /// Length in tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Tokens that count in the loss. The first token has nothing before it to be predicted from,
    /// so it never counts.
    pub fn trained_tokens(&self) -> usize {
        self.loss_mask
            .iter()
            .skip(1)
            .filter(|trained| **trained)
            .count()
    }
}
