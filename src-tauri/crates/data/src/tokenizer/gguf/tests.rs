//! Tokens are those of the tokenizer a file was made from; what is broken or unknown is refused.
//!
//! `tests/parity/gguf_tokenizers.py` has written the files, with llama.cpp's own converter, and
//! recorded what transformers and sentencepiece make of text that is hard to split.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::gguf::tests::{File, entry, list, text};
use crate::{Error, Gguf, Tokenizer};

fn place(name: &str) -> PathBuf {
    let folder = "../../../tests/parity/fixtures/gguf-tokenizers";
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name)
}

#[derive(Deserialize)]
struct Recorded {
    texts: Vec<String>,
    #[serde(flatten)]
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<Vec<u32>>,
    decoded: Vec<String>,
}

#[test]
fn tokens_are_those_of_the_tokenizer_a_file_was_made_from() {
    let json = std::fs::read(place("expected.json")).unwrap();
    let recorded: Recorded = serde_json::from_slice(&json).unwrap();
    assert!(recorded.cases.len() >= 11 && recorded.texts.len() >= 20);
    let mut different = Vec::new();
    for (name, case) in &recorded.cases {
        let path = place(&format!("{name}.gguf"));
        let tokenizer = Tokenizer::from_folder(&path).unwrap();
        // The files a folder would have mean the same tokenizer.
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in Tokenizer::files_of_gguf(&Gguf::open(&path).unwrap()).unwrap() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let written = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(written.vocab_size(), tokenizer.vocab_size());
        for (index, text) in recorded.texts.iter().enumerate() {
            let expected = &case.ids[index];
            let found = tokenizer.encode(text, true).unwrap();
            assert_eq!(
                written.encode(text, true).unwrap(),
                found,
                "{name}: {text:?}"
            );
            let decoded = tokenizer.decode(expected, name.starts_with("spm")).unwrap();
            if found != *expected || decoded != case.decoded[index] {
                let words = |ids: &[u32]| {
                    let words = ids
                        .iter()
                        .map(|id| tokenizer.token_text(*id).unwrap_or_default());
                    words.collect::<Vec<_>>().join("|")
                };
                different.push(format!(
                    "{name}: {text:?}\n  is  {}\n  not {}\n  decoded {decoded:?}\n  not     {:?}",
                    words(&found),
                    words(expected),
                    case.decoded[index]
                ));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Beginning, end and template are those the metadata name, and the tokens that end an answer too.
#[test]
fn special_tokens_and_template_come_along() {
    let tokenizer = Tokenizer::from_folder(&place("llama-bpe.gguf")).unwrap();
    let id = |text: &str| tokenizer.token_id(text).unwrap();
    assert_eq!(tokenizer.bos_token(), Some(id("<|begin|>")));
    assert_eq!(tokenizer.eos_token(), Some(id("<|end|>")));
    assert!(tokenizer.is_special(id("<|end|>")) && !tokenizer.is_special(id("<think>")));
    assert_eq!(tokenizer.stop_tokens(), [id("<|end|>")]);
    assert!(
        tokenizer
            .template()
            .source()
            .contains("m.content + eos_token")
    );
}

fn refusal(entries: &[Vec<u8>]) -> Error {
    let mut file = File::small();
    file.entries.extend(entries.iter().cloned());
    let file = Gguf::from_bytes(Path::new("model.gguf"), file.bytes()).unwrap();
    Tokenizer::from_gguf(&file).unwrap_err()
}

#[test]
fn what_is_broken_or_unknown_is_refused_by_name() {
    let words = |key: &str, words: &[&str]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| text(word)).collect();
        let key = format!("tokenizer.ggml.{key}");
        entry(&key, 9, &list(8, words.len() as u64, &bytes))
    };
    let named = |key: &str, name: &str| entry(&format!("tokenizer.ggml.{key}"), 8, &text(name));
    let number =
        |key: &str, number: u32| entry(&format!("tokenizer.ggml.{key}"), 4, &number.to_le_bytes());
    let tokens = || words("tokens", &["a", "b", "ab", "<s>"]);
    let gpt2 = || vec![named("model", "gpt2"), tokens(), named("pre", "gpt-2")];
    let with = |mut entries: Vec<Vec<u8>>, more: Vec<u8>| {
        entries.push(more);
        entries
    };
    for (entries, reason) in [
        (vec![], "no vocabulary"),
        (
            vec![named("model", "rwkv"), tokens()],
            "a tokenizer of kind `rwkv`",
        ),
        (
            vec![named("model", "gpt2"), tokens(), named("pre", "klingon")],
            "like `klingon`",
        ),
        (
            vec![words("tokens", &["a", "a"])],
            "the token `a` stands twice",
        ),
        (gpt2(), "no `tokenizer.ggml.merges`"),
        (with(gpt2(), words("merges", &["ab"])), "`ab` is no merge"),
        (
            with(gpt2(), words("merges", &["b a"])),
            "merges `b` and `a`",
        ),
        (
            with(gpt2(), words("merges", &["a ab"])),
            "merges `a` and `ab`",
        ),
        (
            with(
                with(gpt2(), words("merges", &["a b"])),
                number("bos_token_id", 4),
            ),
            "`tokenizer.ggml.bos_token_id` is 4, of 4 tokens",
        ),
        (
            vec![
                tokens(),
                entry("tokenizer.ggml.token_type", 9, &list(5, 1, &[1, 0, 0, 0])),
            ],
            "names 1 tokens of 4",
        ),
        (
            vec![
                named("model", "llama"),
                tokens(),
                entry("tokenizer.ggml.scores", 9, &list(6, 1, &[0; 4])),
            ],
            "no list of 4 numbers",
        ),
    ] {
        let error = refusal(&entries);
        let found = error.to_string();
        assert!(found.contains(reason), "{found:?} should say {reason:?}");
        assert!(error.remedy().is_some() && error.place().is_some());
    }
}
