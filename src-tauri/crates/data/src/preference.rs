//! Answers that were compared or rated, to learn a preference from.

use crate::{Conversation, Error, Result, Sample, Tokenizer, Turn};

/// One prompt answered twice. Both sides are the prompt with its answer; the loss mask marks the
/// tokens of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreferencePair {
    /// The answer that was preferred.
    pub chosen: Sample,
    /// The other.
    pub rejected: Sample,
}

impl PreferencePair {
    /// Length of both sides in tokens.
    pub fn len(&self) -> usize {
        self.chosen.len() + self.rejected.len()
    }

    /// Whether neither side has a token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An answer that was liked or not. The loss mask marks its tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RatedSample {
    /// The prompt with the answer.
    pub sample: Sample,
    /// TRL's `label`.
    pub desirable: bool,
}

impl RatedSample {
    /// This prompt with another's answer, at most `max_length` tokens: the beginning of the prompt
    /// is left out first, then the end of the answer.
    #[must_use]
    pub fn mismatched(&self, answered: &Self, max_length: usize) -> Sample {
        let split = |sample: &Sample| {
            let learnt = sample.loss_mask.iter().position(|learnt| *learnt);
            learnt.unwrap_or(sample.len())
        };
        let prompt = &self.sample.tokens[..split(&self.sample)];
        let from = split(&answered.sample);
        let answer = &answered.sample.tokens[from..];
        let mask = &answered.sample.loss_mask[from..];
        // The answer's first token is predicted from something.
        let kept = answer.len().min(max_length.saturating_sub(1));
        let prompt = &prompt[prompt.len().saturating_sub(max_length - kept)..];
        Sample {
            tokens: [prompt, &answer[..kept]].concat(),
            loss_mask: [&vec![false; prompt.len()][..], &mask[..kept]].concat(),
        }
    }
}

impl Tokenizer {
    /// A prompt with its answer, cut on the right at `max_length`; only the last answer is learnt,
    /// whatever answers the prompt holds.
    pub fn answer_sample(
        &self,
        prompt: &[Turn],
        answer: &Turn,
        max_length: usize,
    ) -> Result<Sample> {
        let turns = [prompt, std::slice::from_ref(answer)].concat();
        let mut sample = self.sample(&Conversation { turns }, usize::MAX)?;
        let tokens = sample.len();
        // Between two answers stands at least the token that opens a turn, which is not learnt.
        let end = sample.loss_mask.iter().rposition(|learnt| *learnt);
        let before = end.and_then(|end| sample.loss_mask[..end].iter().rposition(|learnt| !learnt));
        if let Some(before) = before {
            sample.loss_mask[..before].fill(false);
        }
        sample.tokens.truncate(max_length);
        sample.loss_mask.truncate(max_length);
        if sample.trained_tokens() == 0 {
            return Err(Error::NothingTrained { tokens, max_length });
        }
        Ok(sample)
    }

    /// A prompt with the answer that was preferred and the other, each as
    /// [`Tokenizer::answer_sample`] makes it.
    pub fn preference_pair(
        &self,
        prompt: &[Turn],
        chosen: &Turn,
        rejected: &Turn,
        max_length: usize,
    ) -> Result<PreferencePair> {
        Ok(PreferencePair {
            chosen: self.answer_sample(prompt, chosen, max_length)?,
            rejected: self.answer_sample(prompt, rejected, max_length)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Role;
    use crate::tokenizer::fixture::bytes;

    #[test]
    fn only_the_last_answer_is_learnt() {
        let tokenizer = bytes(&["<|im_start|>", "<|im_end|>"], None, "<|im_end|>", None);
        let turn = |role, text: &str| Turn::new(role, text);
        let prompt = [
            turn(Role::User, "One?"),
            turn(Role::Assistant, "First."),
            turn(Role::User, "Two?"),
        ];
        let pair = tokenizer
            .preference_pair(
                &prompt,
                &turn(Role::Assistant, "Good."),
                &turn(Role::Assistant, "Bad!"),
                usize::MAX,
            )
            .unwrap();
        let learnt = |sample: &Sample| {
            let tokens = sample.tokens.iter().zip(&sample.loss_mask);
            let tokens: Vec<u32> = tokens
                .filter(|(_, learnt)| **learnt)
                .map(|(t, _)| *t)
                .collect();
            tokenizer.decode(&tokens, false).unwrap()
        };
        assert_eq!(learnt(&pair.chosen), "Good.<|im_end|>");
        assert_eq!(learnt(&pair.rejected), "Bad!<|im_end|>");
        assert_eq!(pair.len(), pair.chosen.len() + pair.rejected.len());
        // Cut before the answer begins, there is nothing to compare.
        let cut = tokenizer.answer_sample(&prompt, &turn(Role::Assistant, "Good."), 8);
        assert!(matches!(cut, Err(Error::NothingTrained { .. })));
    }

    #[test]
    fn a_prompt_takes_another_answer() {
        let rated = |tokens: &[u32], prompt: usize| RatedSample {
            sample: Sample {
                tokens: tokens.to_vec(),
                loss_mask: (0..tokens.len()).map(|at| at >= prompt).collect(),
            },
            desirable: true,
        };
        let (one, other) = (rated(&[1, 2, 3, 10, 11], 3), rated(&[4, 20, 21, 22], 1));
        let whole = one.mismatched(&other, 100);
        assert_eq!(whole.tokens, [1, 2, 3, 20, 21, 22]);
        assert_eq!(whole.loss_mask, [false, false, false, true, true, true]);
        assert_eq!(one.mismatched(&other, 4).tokens, [3, 20, 21, 22]);
        assert_eq!(one.mismatched(&other, 3).tokens, [3, 20, 21]);
    }
}
