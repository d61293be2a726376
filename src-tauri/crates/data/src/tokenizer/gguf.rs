//! The tokenizer that a GGUF file's metadata describe.
//!
//! The file holds tokens, merges or scores, and the name of a way to split text. What it means is
//! the tokenizer of the folder it was converted from, so that is what is built here: the same
//! model, normaliser, splitting and decoder, on the same library.

mod byte_level;
mod sentence_piece;
mod split;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::folder::{self, Sources};
use super::{Tokenizer, failed};
use crate::{Error, Gguf, Result};

/// What a token is, by its number in `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The tokens of a file.
struct Vocabulary<'a> {
    file: &'a Gguf,
    tokens: Vec<&'a str>,
    kinds: Vec<Kind>,
}

/// Reads the tokenizer of an opened file.
pub(super) fn read(file: &Gguf) -> Result<Tokenizer> {
    let (inner, config) = describe(file)?;
    let stops: Vec<u64> = ["eos", "eot", "eom"]
        .iter()
        .filter_map(|name| {
            file.count(&format!("tokenizer.ggml.{name}_token_id"))
                .ok()?
        })
        .collect();
    folder::build(Sources {
        inner,
        template: config["chat_template"]
            .as_str()
            .map(|source| (file.path().to_owned(), source.to_owned())),
        tokenizer_config: Some(config),
        map: None,
        models: vec![json!({ "eos_token_id": stops })],
    })
}

/// The texts of `tokenizer.json` and `tokenizer_config.json` that mean the same tokenizer.
pub(super) fn files(file: &Gguf) -> Result<[(&'static str, String); 2]> {
    let (inner, config) = describe(file)?;
    Ok([
        ("tokenizer.json", inner.to_string(true).map_err(failed)?),
        ("tokenizer_config.json", format!("{config:#}\n")),
    ])
}

/// The tokenizer, and what `tokenizer_config.json` would say.
fn describe(file: &Gguf) -> Result<(tokenizers::Tokenizer, Value)> {
    let vocabulary = Vocabulary::read(file)?;
    let model = file.text("tokenizer.ggml.model")?.unwrap_or_default();
    let mut inner = match model {
        "gpt2" => byte_level::build(&vocabulary)?,
        "llama" => sentence_piece::build(&vocabulary)?,
        other => {
            let nearest = "`gpt2` (byte-level BPE) and `llama` (SentencePiece)";
            return Err(file.unsupported(format!("a tokenizer of kind `{other}`"), nearest));
        }
    };
    vocabulary.add_tokens(&mut inner)?;
    let text = |name: &str| Ok::<_, Error>(vocabulary.named(name)?.map(|(text, _)| text));
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": text("bos")?,
        "eos_token": text("eos")?,
        "unk_token": text("unknown")?,
        "pad_token": text("padding")?,
        "chat_template": file.text("tokenizer.chat_template")?,
        "clean_up_tokenization_spaces": false,
    });
    Ok((inner, config))
}

impl<'a> Vocabulary<'a> {
    fn read(file: &'a Gguf) -> Result<Self> {
        let tokens: Vec<&str> = match file.texts("tokenizer.ggml.tokens")? {
            Some(tokens) if tokens.len() > 0 => tokens.collect(),
            _ => {
                let reason = "it holds no vocabulary (`tokenizer.ggml.tokens`)";
                return Err(file.broken(reason));
            }
        };
        let kinds: Vec<Kind> = match file.numbers("tokenizer.ggml.token_type")? {
            None => vec![Kind::Normal; tokens.len()],
            Some(kinds) => kinds.map(Kind::from_number).collect(),
        };
        if kinds.len() != tokens.len() {
            let (kinds, tokens) = (kinds.len(), tokens.len());
            return Err(file.broken(format!(
                "`tokenizer.ggml.token_type` names {kinds} tokens of {tokens}"
            )));
        }
        let mut seen = HashSet::with_capacity(tokens.len());
        if let Some(twice) = tokens.iter().find(|token| !seen.insert(**token)) {
            return Err(file.broken(format!(
                "the token `{twice}` stands twice in its vocabulary"
            )));
        }
        Ok(Self {
            file,
            tokens,
            kinds,
        })
    }

    /// Number, text and kind of each token that stands for something.
    fn used(&self) -> impl Iterator<Item = (u32, &'a str, Kind)> {
        let all = self.tokens.iter().zip(&self.kinds).enumerate();
        all.filter(|(_, (token, kind))| **kind != Kind::Unused && !token.is_empty())
            .map(|(id, (token, kind))| (id as u32, *token, *kind))
    }

    /// Text and number of the token for `bos`, `eos`, `unknown`, `padding`.
    fn named(&self, name: &str) -> Result<Option<(&'a str, u32)>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = self.file.count(&key)? else {
            return Ok(None);
        };
        if let Some(token) = self.tokens.get(id as usize) {
            return Ok(Some((token, id as u32)));
        }
        let count = self.tokens.len();
        Err(self
            .file
            .broken(format!("`{key}` is {id}, of {count} tokens")))
    }

    /// What a text begins and ends with. `begins` is what holds where the file says nothing.
    fn template(&self, begins: bool) -> Result<Option<Value>> {
        let add = |name: &str, usual: bool| -> Result<Option<(&str, u32)>> {
            let asked = self
                .file
                .flag(&format!("tokenizer.ggml.add_{name}_token"))?;
            if asked.unwrap_or(usual) {
                self.named(name)
            } else {
                Ok(None)
            }
        };
        let (first, last) = (add("bos", begins)?, add("eos", false)?);
        if first.is_none() && last.is_none() {
            return Ok(None);
        }
        let special = |token: Option<(&str, u32)>, of: u8| {
            token.map(|(text, _)| json!({ "SpecialToken": { "id": text, "type_id": of } }))
        };
        let sequence = |name: &str, of: u8| {
            let text = json!({ "Sequence": { "id": name, "type_id": of } });
            let around = [special(first, of), Some(text), special(last, of)];
            around.into_iter().flatten().collect::<Vec<_>>()
        };
        let mut tokens = serde_json::Map::new();
        for (text, id) in [first, last].into_iter().flatten() {
            let entry = json!({ "id": text, "ids": [id], "tokens": [text] });
            tokens.insert(text.to_owned(), entry);
        }
        Ok(Some(json!({
            "type": "TemplateProcessing",
            "single": sequence("A", 0),
            "pair": ([sequence("A", 0), sequence("B", 1)].concat()),
            "special_tokens": tokens,
        })))
    }

    /// Tokens that are matched whole wherever they stand in a text.
    fn add_tokens(&self, inner: &mut tokenizers::Tokenizer) -> Result<()> {
        // Phi-3's tokens of turns swallow what white space follows; no metadata say so.
        let swallows = |text: &str| {
            self.file.text("general.architecture").ok().flatten() == Some("phi3")
                && self.file.text("tokenizer.ggml.model").ok().flatten() == Some("llama")
                && !["<unk>", "<s>", "<|endoftext|>"].contains(&text)
        };
        let added = |text: &str, special| {
            AddedToken::from(text, special)
                .normalized(false)
                .rstrip(swallows(text))
        };
        let (mut special, mut plain) = (Vec::new(), Vec::new());
        for (_, token, kind) in self.used() {
            match kind {
                Kind::Control | Kind::Unknown => special.push(added(token, true)),
                // Runs of spaces are merged, not matched: they are written with `▁`.
                Kind::UserDefined if token.trim_matches(' ').is_empty() => {}
                Kind::UserDefined => plain.push(added(token, false)),
                Kind::Normal | Kind::Byte | Kind::Unused => {}
            }
        }
        inner.add_special_tokens(special).map_err(failed)?;
        inner.add_tokens(plain).map_err(failed)?;
        Ok(())
    }
}

impl Kind {
    fn from_number(number: f64) -> Self {
        match number as i64 {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

/// A part of a tokenizer from what `tokenizer.json` would say.
fn part<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| failed(error.into()))
}
