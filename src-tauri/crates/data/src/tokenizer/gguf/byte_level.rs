//! `gpt2`: byte-level BPE. Bytes are written as letters; text is split before it is merged.

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use super::split::Splitting;
use super::{Vocabulary, part};
use crate::tokenizer::failed;
use crate::{Error, Result};

pub(super) fn build(vocabulary: &Vocabulary<'_>) -> Result<tokenizers::Tokenizer> {
    let file = vocabulary.file;
    let splitting = Splitting::of(file)?;
    let merges = file.texts("tokenizer.ggml.merges")?;
    let merges = merges.ok_or_else(|| file.broken("it holds no `tokenizer.ggml.merges`"))?;
    let merges = merges.map(|merge| {
        // A token may begin with the separator itself.
        let mut letters = merge.char_indices().skip(1);
        let at = letters.find(|(_, letter)| *letter == ' ');
        let (at, _) =
            at.ok_or_else(|| file.broken(format!("`{merge}` is no merge of two tokens")))?;
        Ok((merge[..at].to_owned(), merge[at + 1..].to_owned()))
    });
    let merges = merges.collect::<Result<Vec<_>>>()?;
    let tokens = vocabulary.used();
    let tokens = tokens
        .map(|(id, token, _)| (token.to_owned(), id))
        .collect();
    check(vocabulary, &tokens, &merges)?;
    let model = BPE::builder()
        .vocab_and_merges(tokens, merges)
        .ignore_merges(splitting.ignore_merges)
        .build()
        .map_err(|error| unusable(vocabulary, &error.to_string()))?;
    let mut inner = tokenizers::Tokenizer::new(model);
    if splitting.composed {
        let composed: NormalizerWrapper = part(json!({ "type": "NFC" }))?;
        inner.with_normalizer(Some(composed)).map_err(failed)?;
    }
    let split: PreTokenizerWrapper = part(splitting.pre_tokenizer())?;
    inner.with_pre_tokenizer(Some(split));
    // A token's place in the text includes the space before a word.
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true });
    let mut processors = vec![bytes.clone()];
    processors.extend(vocabulary.template(splitting.begins)?);
    let processor: PostProcessorWrapper = part(match processors.as_slice() {
        [alone] => alone.clone(),
        all => json!({ "type": "Sequence", "processors": Value::from(all.to_vec()) }),
    })?;
    inner.with_post_processor(Some(processor));
    let decoder: DecoderWrapper = part(bytes)?;
    inner.with_decoder(Some(decoder));
    Ok(inner)
}

/// Refuses merges of what is no token and to what is none; the library takes them for granted.
pub(super) fn check(
    vocabulary: &Vocabulary<'_>,
    tokens: &Vocab,
    merges: &[(String, String)],
) -> Result<()> {
    let known = |token: &str| tokens.contains_key(token);
    let strange = merges
        .iter()
        .find(|(left, right)| !known(left) || !known(right) || !known(&format!("{left}{right}")));
    match strange {
        None => Ok(()),
        Some((left, right)) => {
            let reason = format!("it merges `{left}` and `{right}`, which its tokens do not");
            Err(unusable(vocabulary, &reason))
        }
    }
}

/// Tokens and merges that do not fit together.
pub(super) fn unusable(vocabulary: &Vocabulary<'_>, reason: &str) -> Error {
    vocabulary.file.broken(format!("its tokenizer: {reason}"))
}
