//! Small tokenizers of the two kinds in use, written as model folders.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::Tokenizer;

/// A model folder: the tokenizer, its special tokens and `files` beside it.
pub(crate) fn folder(tokenizer: &Value, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "tokenizer.json", &tokenizer.to_string());
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// A byte-level tokenizer (GPT-2, Llama 3, Qwen) with `special` tokens and a chat template.
pub(crate) fn bytes(
    special: &[&str],
    bos: Option<&str>,
    eos: &str,
    template: Option<&str>,
) -> Tokenizer {
    let config =
        json!({ "bos_token": bos, "eos_token": { "content": eos }, "chat_template": template });
    let folder = folder(
        &byte_level(special, &[]),
        &[("tokenizer_config.json", &config.to_string())],
    );
    Tokenizer::from_folder(folder.path()).unwrap()
}

/// A SentencePiece-like tokenizer (Llama 2, Mistral): `▁` for spaces, bytes for unknown letters.
pub(crate) fn pieces(special: &[&str], template: Option<&str>) -> Tokenizer {
    let config = json!({ "bos_token": "<s>", "eos_token": "</s>", "chat_template": template });
    let folder = folder(
        &sentence_piece(special),
        &[("tokenizer_config.json", &config.to_string())],
    );
    Tokenizer::from_folder(folder.path()).unwrap()
}

pub(crate) fn byte_level(special: &[&str], plain: &[&str]) -> Value {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut vocabulary: Vec<String> = alphabet.into_iter().map(String::from).collect();
    let merges = [("Ċ", "Ċ"), ("t", "h"), ("th", "e"), ("Ġ", "the")];
    vocabulary.extend(merges.iter().map(|(left, right)| format!("{left}{right}")));
    let vocab: Value = vocabulary
        .iter()
        .enumerate()
        .map(|(id, text)| (text.clone(), json!(id)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let merges: Vec<String> = merges
        .iter()
        .map(|(left, right)| format!("{left} {right}"))
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added(special, plain, vocabulary.len()),
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": vocab, "merges": merges },
    })
}

fn sentence_piece(special: &[&str]) -> Value {
    let mut vocabulary: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    vocabulary.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    vocabulary.push("▁".to_owned());
    vocabulary.extend(('!'..='~').map(String::from));
    vocabulary.extend(["th", "the", "▁the"].map(str::to_owned));
    let vocab: Value = vocabulary
        .iter()
        .enumerate()
        .map(|(id, text)| (text.clone(), json!(id)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let special = [&["<unk>", "<s>", "</s>"], special].concat();
    let mut added = added(&special, &[], vocabulary.len() - 3);
    for (id, token) in added.as_array_mut().unwrap().iter_mut().take(3).enumerate() {
        token["id"] = json!(id);
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" } ] },
        "pre_tokenizer": null,
        "post_processor": { "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] },
        "model": { "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": ["t h", "th e", "▁ the"] },
    })
}

fn added(special: &[&str], plain: &[&str], first: usize) -> Value {
    let texts = special
        .iter()
        .map(|text| (text, true))
        .chain(plain.iter().map(|text| (text, false)));
    texts
        .enumerate()
        .map(|(index, (text, special))| {
            json!({ "id": first + index, "content": text, "special": special,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false })
        })
        .collect()
}
