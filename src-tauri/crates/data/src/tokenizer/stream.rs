//! Tokens → text while they are generated.

use crate::Tokenizer;

/// A token may hold part of a character, and some tokenizers drop the space before a text's first
/// word. So the text is the difference between two decodings: of the tokens of the last piece,
/// and of these with the new ones.
#[derive(Debug)]
pub struct TokenStream<'a> {
    tokenizer: &'a Tokenizer,
    tokens: Vec<u32>,
    /// The tokens before this one have been given out.
    given: usize,
    /// What those before `given` decode to.
    prefix: String,
}

impl<'a> TokenStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            tokens: Vec::new(),
            given: 0,
            prefix: String::new(),
        }
    }

    /// The characters that `token` completes; `None` while the last one is not whole. Special
    /// tokens have no text.
    pub fn push(&mut self, token: u32) -> Option<String> {
        self.tokens.push(token);
        let text = self.text();
        let whole = text.len() > self.prefix.len() && !text.ends_with(char::REPLACEMENT_CHARACTER);
        if whole { self.give(&text) } else { None }
    }

    /// What is left when no token follows, incomplete characters as U+FFFD.
    pub fn finish(&mut self) -> Option<String> {
        let text = self.text();
        self.give(&text)
    }

    fn give(&mut self, text: &str) -> Option<String> {
        // Some decoders join pieces otherwise once more follow; what they changed is given out.
        let same = text
            .chars()
            .zip(self.prefix.chars())
            .take_while(|(new, old)| new == old);
        let new: String = text.chars().skip(same.count()).collect();
        self.tokens.drain(..self.given);
        self.given = self.tokens.len();
        self.prefix = self.text();
        Some(new).filter(|new| !new.is_empty())
    }

    /// Decoding has no error that a token could cause; unknown ones have no text.
    fn text(&self) -> String {
        self.tokenizer
            .decode(&self.tokens, true)
            .unwrap_or_default()
    }
}
