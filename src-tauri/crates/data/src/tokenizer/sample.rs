//! Conversations → samples: tokens, and which of them are learnt.

use std::ops::Range;

use crate::{Conversation, Error, Result, Role, Sample, Tokenizer, Turn};

use super::{Placed, answers};

impl Tokenizer {
    /// The tokens of a conversation, cut on the right at `max_length`.
    ///
    /// What the assistant says is learnt, with the stop token that closes it, but not the line
    /// break that a template writes after that. Where the template closes the last answer by no
    /// special token, the text's end token is added, so that the model learns to stop. Plain text
    /// ([`Role::Text`]) is learnt whole, its end token included.
    ///
    /// A sample in which nothing is learnt is an error.
    pub fn sample(&self, conversation: &Conversation, max_length: usize) -> Result<Sample> {
        let mut sample = match conversation.turns.as_slice() {
            [
                Turn {
                    role: Role::Text,
                    content,
                },
            ] => self.text_sample(content)?,
            turns => self.chat_sample(turns)?,
        };
        let tokens = sample.len();
        sample.tokens.truncate(max_length);
        sample.loss_mask.truncate(max_length);
        if sample.trained_tokens() == 0 {
            return Err(Error::NothingTrained { tokens, max_length });
        }
        Ok(sample)
    }

    fn text_sample(&self, text: &str) -> Result<Sample> {
        let mut tokens = self.encode_text(text)?;
        tokens.extend(self.eos_token());
        let loss_mask = vec![true; tokens.len()];
        Ok(Sample { tokens, loss_mask })
    }

    fn chat_sample(&self, turns: &[Turn]) -> Result<Sample> {
        let guarded = self.guard.mark(turns);
        let marked = self.template.render(&guarded.turns, false)?;
        let spans = answers::find(&self.template, &guarded.turns, &marked)?;
        let (text, cuts) = guarded.unmark(&marked);
        let place = |place| guarded.unmarked(&marked, place);

        let placed = self.encode_cut(&text, &cuts)?;
        let mut loss_mask = vec![false; placed.len()];
        let mut closed = true;
        for span in spans {
            let span = place(span.start)..place(span.end);
            let tokens = covered(&placed, &span);
            let end = self.closing(&placed[tokens.clone()], &text, span.end);
            closed = end.is_some();
            let learnt = tokens.start..end.map_or(tokens.end, |end| tokens.start + end + 1);
            loss_mask[learnt].fill(true);
        }
        let mut tokens: Vec<u32> = placed.iter().map(|token| token.id).collect();
        let answered = turns
            .last()
            .is_some_and(|turn| turn.role == Role::Assistant);
        if answered && !closed {
            tokens.extend(self.eos_token());
            loss_mask.resize(tokens.len(), true);
        }
        Ok(Sample { tokens, loss_mask })
    }

    /// The special token that closes an answer: after it, up to `end`, there is only white space.
    fn closing(&self, tokens: &[Placed], text: &str, end: usize) -> Option<usize> {
        let last = tokens
            .iter()
            .rposition(|token| self.special_tokens.contains(&token.id))?;
        let after = text.get(tokens[last].end..end)?;
        after.trim().is_empty().then_some(last)
    }
}

/// Tokens that stand for at least one byte of `span`. A token across its start counts: it holds
/// the first letters of the answer.
fn covered(placed: &[Placed], span: &Range<usize>) -> Range<usize> {
    let start = placed.partition_point(|token| token.end <= span.start);
    let end = start + placed[start..].partition_point(|token| token.start < span.end);
    start..end
}
