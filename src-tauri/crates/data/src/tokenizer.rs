//! The tokenizer of a model folder, with its chat template and stop tokens.

mod answers;
mod documents;
#[cfg(test)]
pub(crate) mod fixture;
mod folder;
mod gguf;
mod guard;
mod sample;
mod stream;
mod train;

use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

use tokenizers::Encoding;

use crate::foreign::caught;
use crate::{ChatTemplate, Error, Gguf, Result, Role, Turn};
pub use documents::Documents;
use guard::Guard;
pub use stream::TokenStream;
pub use train::{BpeOptions, TrainedTokenizer};

/// Text ↔ tokens of one model.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: ChatTemplate,
    guard: Guard,
    special_tokens: HashSet<u32>,
    bos_token: Option<u32>,
    eos_token: Option<u32>,
    stop_tokens: Vec<u32>,
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where they exist, `tokenizer_config.json`,
    /// `special_tokens_map.json`, `chat_template.jinja`, `generation_config.json` and `config.json`.
    /// Where `folder` is a GGUF file, its metadata say the same.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        if Gguf::is_one(folder) {
            Self::from_gguf(&Gguf::open(folder)?)
        } else {
            caught(|| folder::read(folder)).map_err(|reason| Error::Tokenizer {
                path: folder.join("tokenizer.json"),
                reason,
            })?
        }
    }

    /// The tokenizer that the metadata of a GGUF file describe.
    pub fn from_gguf(file: &Gguf) -> Result<Self> {
        gguf::read(file)
    }

    /// Names and texts of the files of a model folder that mean the tokenizer of a GGUF file.
    pub fn files_of_gguf(file: &Gguf) -> Result<[(&'static str, String); 2]> {
        gguf::files(file)
    }

    /// Tokens of `text`. Special tokens written in the text are recognised; `add_special_tokens`
    /// adds those the model starts or ends every text with.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        Ok(self.encoding(text, add_special_tokens)?.get_ids().to_vec())
    }

    /// Text of `tokens`; incomplete characters become U+FFFD.
    pub fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> Result<String> {
        caught(|| self.inner.decode(tokens, skip_special_tokens))
            .map_err(|reason| Error::Tokenize { reason })?
            .map_err(failed)
    }

    /// A token as it stands in the vocabulary.
    pub fn token_text(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The token that stands in the vocabulary as `text`.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// One more than the highest token id, added tokens included. A model's embedding has at
    /// least as many rows.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token a text begins with, where the model has one.
    pub fn bos_token(&self) -> Option<u32> {
        self.bos_token
    }

    /// The token a text ends with, where the model has one.
    pub fn eos_token(&self) -> Option<u32> {
        self.eos_token
    }

    /// Whether a token stands for no text: it marks a turn, a beginning, an end.
    pub fn is_special(&self, token: u32) -> bool {
        self.special_tokens.contains(&token)
    }

    /// Tokens that end an answer, ascending: those the configuration names, and the one by which
    /// the chat template closes an assistant's turn.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// See [`ChatTemplate::set_time`].
    pub fn set_time(&mut self, time: SystemTime) {
        self.template.set_time(time);
    }

    /// Tokens of a conversation that the model is to continue with an answer. A single turn of
    /// [`Role::Text`] is text to continue.
    pub fn prompt(&self, turns: &[Turn]) -> Result<Vec<u32>> {
        if let [
            Turn {
                role: Role::Text,
                content,
            },
        ] = turns
        {
            return self.encode_text(content);
        }
        let guarded = self.guard.mark(turns);
        let text = self.template.render(&guarded.turns, true)?;
        let (text, cuts) = guarded.unmark(&text);
        Ok(self
            .encode_cut(&text, &cuts)?
            .into_iter()
            .map(|token| token.id)
            .collect())
    }

    /// Decodes tokens one by one into whole characters.
    pub fn stream(&self) -> TokenStream<'_> {
        TokenStream::new(self)
    }

    /// Plain text with the token it begins with, once, and without the one it ends with.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = self.encode(text, true)?;
        let doubled = self
            .bos_token
            .is_some_and(|bos| tokens.starts_with(&[bos, bos]));
        if doubled {
            tokens.remove(0);
        }
        while tokens.len() > 1 && tokens.last().copied() == self.eos_token {
            tokens.pop();
        }
        Ok(tokens)
    }

    /// Tokens of a rendered conversation. The template prints its own special tokens, so none are
    /// added. No token spans a cut.
    fn encode_cut(&self, text: &str, cuts: &[usize]) -> Result<Vec<Placed>> {
        let mut placed = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([text.len()]) {
            let encoding = self.encoding(&text[start..end], false)?;
            let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
            placed.extend(tokens.map(|(&id, offsets)| Placed {
                id,
                start: start + offsets.0,
                end: start + offsets.1,
            }));
            start = end;
        }
        Ok(placed)
    }

    fn encoding(&self, text: &str, add_special_tokens: bool) -> Result<Encoding> {
        caught(|| self.inner.encode(text, add_special_tokens))
            .map_err(|reason| Error::Tokenize { reason })?
            .map_err(failed)
    }
}

/// A token and the bytes of the text that it stands for.
#[derive(Debug, Clone, Copy)]
struct Placed {
    id: u32,
    start: usize,
    end: usize,
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenize {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
