//! How text is split before byte-level BPE, by the name in `tokenizer.ggml.pre`.
//!
//! The names are llama.cpp's. What stands behind a name, its normaliser included, is what the
//! models it was given for have in their `tokenizer.json`.

use serde_json::{Value, json};

use crate::{Gguf, Result};

/// The splitting of a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Splitting {
    names: &'static [&'static str],
    /// Expressions, each splitting what the ones before it left.
    expressions: &'static [&'static str],
    /// Whether GPT-2's own expression splits in the end.
    then_words: bool,
    /// Whether text is composed first (NFC).
    pub(super) composed: bool,
    /// Whether a word that is a token is not merged.
    pub(super) ignore_merges: bool,
    /// Whether texts begin with a token where the file does not say.
    pub(super) begins: bool,
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const PLAIN: Splitting = Splitting {
    names: &[
        "gpt-2",
        "phi-2",
        "gigachat",
        "mellum",
        "jais",
        "trillion",
        "granite-docling",
    ],
    expressions: &[],
    then_words: true,
    composed: false,
    ignore_merges: false,
    begins: false,
};

const ALL: [Splitting; 11] = [
    PLAIN,
    Splitting {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "pixtral",
            "midm-2.0",
            "lfm2",
        ],
        expressions: &[LLAMA3],
        then_words: false,
        ignore_merges: true,
        begins: true,
        ..PLAIN
    },
    Splitting {
        names: &["dbrx", "smaug-bpe"],
        expressions: &[LLAMA3],
        then_words: false,
        ..PLAIN
    },
    Splitting {
        names: &["qwen2", "stablelm2"],
        expressions: &[QWEN2],
        then_words: false,
        composed: true,
        ..PLAIN
    },
    Splitting {
        names: &[
            "deepseek-r1-qwen",
            "megrez",
            "kormo",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        expressions: &[QWEN2],
        then_words: false,
        ..PLAIN
    },
    // GPT-NeoX's tokenizer, and those made from it.
    Splitting {
        names: &["olmo", "mpt"],
        composed: true,
        ..PLAIN
    },
    // Each digit stands alone.
    Splitting {
        names: &[
            "smollm",
            "starcoder",
            "refact",
            "codeshell",
            "minerva-7b",
            "exaone",
        ],
        expressions: &[r"\p{N}"],
        ..PLAIN
    },
    Splitting {
        names: &["tekken"],
        expressions: &[TEKKEN],
        then_words: false,
        ignore_merges: true,
        begins: true,
        ..PLAIN
    },
    Splitting {
        names: &["gpt-4o", "llama4", "kanana2"],
        expressions: &[GPT4O],
        then_words: false,
        ..PLAIN
    },
    Splitting {
        names: &["seed-coder"],
        expressions: &[SEED],
        then_words: false,
        ..PLAIN
    },
    // Files from before splittings had names; what llama.cpp does with them.
    Splitting {
        names: &["default"],
        expressions: &[r"[\p{P}\$\+<=>\^~\|]+", WORDS, r"\p{N}+", "[0-9][0-9][0-9]"],
        then_words: false,
        ..PLAIN
    },
];

impl Splitting {
    /// The splitting that a file names.
    pub(super) fn of(file: &Gguf) -> Result<Self> {
        let name = file.text("tokenizer.ggml.pre")?.unwrap_or("default");
        let found = ALL.iter().find(|one| one.names.contains(&name));
        found.copied().ok_or_else(|| {
            let names: Vec<_> = ALL.iter().filter_map(|one| one.names.first()).collect();
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let what = format!("a tokenizer that splits text like `{name}`");
            file.unsupported(what, names.join(", "))
        })
    }

    /// What `tokenizer.json` would say.
    pub(super) fn pre_tokenizer(&self) -> Value {
        let split = |expression: &&str| {
            json!({ "type": "Split", "pattern": { "Regex": expression },
                "behavior": "Isolated", "invert": false })
        };
        let mut steps: Vec<Value> = self.expressions.iter().map(split).collect();
        steps.push(json!({ "type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": false, "use_regex": self.then_words }));
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}
