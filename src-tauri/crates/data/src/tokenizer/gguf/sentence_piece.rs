//! `llama`: SentencePiece. Spaces are written as `▁`, letters outside the vocabulary as bytes.
//!
//! The file holds a score for each token and does not say which of SentencePiece's models it is.
//! A BPE model numbers its tokens in the order they were merged, so its scores are whole; those of
//! a unigram model are logarithms. (llama.cpp runs BPE for both.)

use std::collections::{HashMap, HashSet};

use serde_json::json;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper};

use super::byte_level::{check, unusable};
use super::{Kind, Vocabulary, part};
use crate::Result;
use crate::tokenizer::failed;

/// A longer token is not made by merging.
const LONGEST: usize = 256;

pub(super) fn build(vocabulary: &Vocabulary<'_>) -> Result<tokenizers::Tokenizer> {
    let file = vocabulary.file;
    let scores: Vec<f64> = match file.numbers("tokenizer.ggml.scores")? {
        Some(scores) => scores.collect(),
        None => vec![0.0; vocabulary.tokens.len()],
    };
    if scores.len() != vocabulary.tokens.len() || scores.iter().any(|score| !score.is_finite()) {
        let count = vocabulary.tokens.len();
        return Err(file.broken(format!(
            "`tokenizer.ggml.scores` is no list of {count} numbers"
        )));
    }
    let normal = || {
        let all = vocabulary
            .used()
            .filter(|(_, _, kind)| *kind == Kind::Normal);
        all.map(|(id, _, _)| scores[id as usize])
    };
    let is_unigram = normal().any(|score| score.fract() != 0.0);
    let mut inner = if is_unigram {
        unigram(vocabulary, &scores)?
    } else {
        bpe(vocabulary, &scores)?
    };

    let prefix = file
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let words = json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " });
    let mut normalizers = vec![spaces];
    let mut decoders = vec![
        words,
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let normalizer: NormalizerWrapper =
        part(json!({ "type": "Sequence", "normalizers": normalizers }))?;
    inner.with_normalizer(Some(normalizer)).map_err(failed)?;
    let decoder: DecoderWrapper = part(json!({ "type": "Sequence", "decoders": decoders }))?;
    inner.with_decoder(Some(decoder));
    if let Some(template) = vocabulary.template(true)? {
        let processor: PostProcessorWrapper = part(template)?;
        inner.with_post_processor(Some(processor));
    }
    Ok(inner)
}

fn unigram(vocabulary: &Vocabulary<'_>, scores: &[f64]) -> Result<tokenizers::Tokenizer> {
    let all = vocabulary.tokens.iter().zip(scores);
    let pieces = all.map(|(token, score)| ((*token).to_owned(), *score));
    let unknown = unknown(vocabulary)?.map(|(_, id)| id as usize);
    let model = Unigram::from(pieces.collect(), unknown, has_bytes(vocabulary))
        .map_err(|error| unusable(vocabulary, &error.to_string()))?;
    Ok(tokenizers::Tokenizer::new(model))
}

fn bpe(vocabulary: &Vocabulary<'_>, scores: &[f64]) -> Result<tokenizers::Tokenizer> {
    // Runs of spaces were written out by the converter.
    let spelled: Vec<(u32, String, Kind)> = vocabulary
        .used()
        .map(|(id, token, kind)| match kind {
            Kind::UserDefined if token.trim_matches(' ').is_empty() => {
                (id, token.replace(' ', "▁"), kind)
            }
            _ => (id, token.to_owned(), kind),
        })
        .collect();
    let merges = match vocabulary.file.texts("tokenizer.ggml.merges")? {
        Some(merges) => {
            let pair = |merge: &str| {
                let (left, right) = merge.split_once(' ')?;
                Some((left.to_owned(), right.to_owned()))
            };
            let merges: Option<Vec<_>> = merges.map(pair).collect();
            merges.ok_or_else(|| unusable(vocabulary, "a merge is not of two tokens"))?
        }
        None => merges(vocabulary, &spelled, scores),
    };
    let tokens: Vocab = spelled
        .into_iter()
        .map(|(id, token, _)| (token, id))
        .collect();
    check(vocabulary, &tokens, &merges)?;
    let mut model = BPE::builder()
        .vocab_and_merges(tokens, merges)
        .fuse_unk(true)
        .byte_fallback(has_bytes(vocabulary));
    if let Some((text, _)) = unknown(vocabulary)? {
        model = model.unk_token(text.to_owned());
    }
    let model = model
        .build()
        .map_err(|error| unusable(vocabulary, &error.to_string()))?;
    Ok(tokenizers::Tokenizer::new(model))
}

/// The merges that scores mean: of two tokens next to each other whose joint text is a token, the
/// pair with the highest score is merged first. Every way to cut a token is a merge, in the order
/// that transformers gives them when it converts such a model.
fn merges(
    vocabulary: &Vocabulary<'_>,
    spelled: &[(u32, String, Kind)],
    scores: &[f64],
) -> Vec<(String, String)> {
    let pieces = || {
        let merged = [Kind::Normal, Kind::UserDefined];
        spelled
            .iter()
            .filter(move |(_, _, kind)| merged.contains(kind))
    };
    let ids: HashMap<&str, u32> = pieces()
        .map(|(id, token, _)| (token.as_str(), *id))
        .collect();
    // Gemma's converter gives tokens that are also added to the vocabulary a score of their own, and
    // a vocabulary converted from a tokenizer.json has one score for all: there the order tells.
    let gemma = vocabulary
        .file
        .text("general.architecture")
        .ok()
        .flatten()
        .is_some_and(|name| name.starts_with("gemma"));
    let mut told = pieces().map(|(id, _, _)| scores[*id as usize]);
    let first = told.next();
    let by_order = gemma || told.all(|score| Some(score) == first);
    let mut found: Vec<(f64, usize, usize, u32, u32)> = Vec::new();
    for (id, token, _) in pieces().filter(|(_, token, _)| token.len() <= LONGEST) {
        let score = if by_order {
            -f64::from(*id)
        } else {
            scores[*id as usize]
        };
        let first = found.len();
        let length = token.chars().count();
        for (chars, (at, _)) in token.char_indices().enumerate().skip(1) {
            if let (Some(left), Some(right)) = (ids.get(&token[..at]), ids.get(&token[at..])) {
                found.push((score, chars, length - chars, *left, *right));
            }
        }
        found[first..].sort_by_key(|merge| (merge.3, merge.4));
    }
    found.sort_by(|a, b| {
        let scores = b.0.total_cmp(&a.0);
        scores.then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2))
    });
    let texts: HashMap<u32, &str> = ids.iter().map(|(token, id)| (*id, *token)).collect();
    let text = |id: &u32| {
        texts
            .get(id)
            .map_or_else(String::new, |token| (*token).to_owned())
    };
    found
        .iter()
        .map(|merge| (text(&merge.3), text(&merge.4)))
        .collect()
}

/// The token for what is not in the vocabulary.
fn unknown<'a>(vocabulary: &Vocabulary<'a>) -> Result<Option<(&'a str, u32)>> {
    let named = vocabulary.named("unknown")?;
    let marked = || {
        let mut all = vocabulary.used();
        let found = all.find(|(_, _, kind)| *kind == Kind::Unknown)?;
        Some((found.1, found.0))
    };
    Ok(named.or_else(marked))
}

fn has_bytes(vocabulary: &Vocabulary<'_>) -> bool {
    let all: HashSet<&str> = vocabulary.tokens.iter().copied().collect();
    (0..=255).all(|byte| all.contains(format!("<0x{byte:02X}>").as_str()))
}
