//! A tokenizer made from texts: byte-level BPE (Sennrich et al., 2016; GPT-2's bytes).

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, TokenizerBuilder,
};

use super::failed;
use crate::{Error, Result};

/// Llama 3's: words with the space before them, up to three digits, runs of signs and of space.
const PIECES: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Every byte is a token before the first merge.
const BYTES: usize = 256;

/// What a tokenizer made from texts is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpeOptions {
    /// Tokens in all, special ones included: at least those and one for each byte. Texts of few
    /// different pieces give fewer.
    pub vocab_size: usize,
    /// Marks that stand for no text; they are the tokens 0, 1, 2, …
    pub special_tokens: Vec<String>,
    /// The one of them that ends a text or an answer.
    pub eos_token: String,
    /// The one of them that fills up; none without one.
    pub pad_token: Option<String>,
    /// The pieces that a text falls into before pairs in them are merged, as a regular expression.
    pub pieces: String,
    /// How conversations are written, in Jinja; none without turns.
    pub chat_template: Option<String>,
    /// The longest text the model is made for, in tokens.
    pub model_max_length: usize,
}

impl Default for BpeOptions {
    /// 32 000 tokens in Llama 3's pieces, `<|endoftext|>` the only mark, 2048 tokens at most.
    fn default() -> Self {
        let end = "<|endoftext|>".to_owned();
        Self {
            vocab_size: 32_000,
            special_tokens: vec![end.clone()],
            eos_token: end,
            pad_token: None,
            pieces: PIECES.to_owned(),
            chat_template: None,
            model_max_length: 2048,
        }
    }
}

/// A tokenizer made from texts, to be saved into a model's folder.
#[derive(Debug, Clone)]
pub struct TrainedTokenizer {
    tokenizer: String,
    config: Value,
    vocab_size: usize,
}

impl TrainedTokenizer {
    /// Counts the pairs of `texts` and merges the most frequent until there are enough tokens. The
    /// same texts in the same order give the same tokenizer.
    pub fn train<S: AsRef<str> + Send>(
        texts: impl Iterator<Item = S> + Send,
        options: &BpeOptions,
    ) -> Result<Self> {
        options.check()?;
        let split = SplitPattern::Regex(options.pieces.clone());
        let split = Split::new(split, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
        let pieces = Sequence::new(vec![
            PreTokenizerWrapper::Split(split),
            PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false)),
        ]);
        let mut tokenizer = TokenizerBuilder::<
            BPE,
            NormalizerWrapper,
            PreTokenizerWrapper,
            PostProcessorWrapper,
            DecoderWrapper,
        >::default()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(pieces)))
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())))
        .build()
        .map_err(failed)?;
        let special = options.special_tokens.iter();
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(options.vocab_size)
            .special_tokens(
                special
                    .map(|token| AddedToken::from(token.as_str(), true))
                    .collect(),
            )
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        tokenizer.train(&mut trainer, texts).map_err(failed)?;
        Ok(Self {
            vocab_size: tokenizer.get_vocab_size(true),
            tokenizer: tokenizer.to_string(true).map_err(failed)?,
            config: options.config(),
        })
    }

    /// Tokens in all: the rows of the model's embedding.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let config = format!("{:#}\n", self.config);
        for (name, text) in [
            ("tokenizer.json", &self.tokenizer),
            ("tokenizer_config.json", &config),
        ] {
            let (path, partial) = (folder.join(name), folder.join(format!("{name}.partial")));
            let written = fs::write(&partial, text)
                .and_then(|()| fs::File::open(&partial)?.sync_all())
                .and_then(|()| fs::rename(&partial, &path));
            written.map_err(|source| Error::io(&path, "written", source))?;
        }
        Ok(())
    }
}

impl BpeOptions {
    fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::TokenizerOptions { reason });
        let special = &self.special_tokens;
        let least = BYTES + special.len();
        if self.vocab_size < least {
            return refuse(format!(
                "vocab_size {} is less than the {least} tokens of every byte and every special \
                 token",
                self.vocab_size
            ));
        }
        for (index, token) in special.iter().enumerate() {
            if token.is_empty() || special[..index].contains(token) {
                return refuse(format!(
                    "the special token `{token}` is empty or named twice"
                ));
            }
        }
        let named = [Some(&self.eos_token), self.pad_token.as_ref()];
        match named
            .into_iter()
            .flatten()
            .find(|token| !special.contains(token))
        {
            Some(token) => refuse(format!("`{token}` is none of the special tokens")),
            None => Ok(()),
        }
    }

    /// `tokenizer_config.json`.
    fn config(&self) -> Value {
        let mut config = Map::new();
        let mut put = |name: &str, value: Value| config.insert(name.to_owned(), value);
        put("tokenizer_class", "PreTrainedTokenizerFast".into());
        put("eos_token", self.eos_token.clone().into());
        if let Some(pad) = &self.pad_token {
            put("pad_token", pad.clone().into());
        }
        put("clean_up_tokenization_spaces", false.into());
        put("model_max_length", self.model_max_length.into());
        if let Some(template) = &self.chat_template {
            put("chat_template", template.clone().into());
        }
        config.into()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Tokenizer;

    #[test]
    fn common_words_become_tokens_and_every_byte_stays_writable() {
        let texts = vec!["the cat sat on the mat, the cat slept"; 50];
        let options = BpeOptions {
            vocab_size: 300,
            special_tokens: vec!["<|pad|>".into(), "<|end|>".into()],
            eos_token: "<|end|>".into(),
            pad_token: Some("<|pad|>".into()),
            ..BpeOptions::default()
        };
        let trained = TrainedTokenizer::train(texts.iter(), &options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        trained.save(folder.path()).unwrap();
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(tokenizer.vocab_size(), trained.vocab_size());
        assert!(trained.vocab_size() <= 300);
        assert_eq!(tokenizer.eos_token(), Some(1));
        assert_eq!(tokenizer.token_id("<|pad|>"), Some(0));
        assert_eq!(tokenizer.encode(" the", false).unwrap().len(), 1);
        let odd = "naïve 東京 \u{7}\n";
        let tokens = tokenizer.encode(odd, false).unwrap();
        assert_eq!(tokenizer.decode(&tokens, false).unwrap(), odd);
        // The same texts, the same tokenizer.
        let again = TrainedTokenizer::train(texts.iter(), &options).unwrap();
        assert_eq!(again.tokenizer, trained.tokenizer);
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        let refused = |change: fn(&mut BpeOptions)| {
            let mut options = BpeOptions::default();
            change(&mut options);
            let made = TrainedTokenizer::train(["a"].iter(), &options);
            assert!(matches!(made, Err(Error::TokenizerOptions { .. })));
        };
        refused(|options| options.vocab_size = 256);
        refused(|options| options.eos_token = "</s>".into());
        refused(|options| options.pad_token = Some("<pad>".into()));
        refused(|options| options.special_tokens.push("<|endoftext|>".into()));
    }
}
