//! The families: one entry each.

use super::config::Config;
use super::names::{self, Names};
use super::{ModelSpec, SequenceHead, experts, gemma, gpt_neox, llama, phi3, stablelm};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Families that the one decoder covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 2, Llama 3, SmolLM2 and whatever else uses the architecture.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Qwen3: RMSNorm on each head of q and k.
    Qwen3,
    /// SmolLM3: some blocks have no position embedding.
    SmolLm3,
    /// Granite: factors on embedding, residual branches, attention scores and logits.
    Granite,
    /// OLMo2: norms after attention and MLP, and over all heads of q and k.
    Olmo2,
    /// Gemma: scaled embedding, norms by `1 + w`, a GELU gate.
    Gemma,
    /// Gemma 2: norms on both sides, soft-caps, a window in every other block.
    Gemma2,
    /// Gemma 3, text only: norms on q and k, two rotary embeddings.
    Gemma3,
    /// Phi-3, Phi-3.5 and Phi-4: fused matrices, LongRoPE, part of a head turns.
    Phi3,
    /// StableLM: LayerNorm, part of a head turns.
    StableLm,
    /// GPT-NeoX and Pythia: LayerNorm, parallel residual, a plain MLP.
    #[serde(rename = "gpt_neox")]
    GptNeox,
    /// Qwen3 with experts in place of the MLP of some or all blocks.
    #[serde(rename = "qwen3_moe")]
    Qwen3Moe,
    /// Mistral with experts in place of the MLP.
    Mixtral,
}

/// What there is to know about a family.
struct Entry {
    family: Family,
    /// The class transformers names in `architectures`.
    architecture: &'static str,
    /// `model_type` in `config.json`.
    model_type: &'static str,
    /// What its tensors are called.
    names: &'static Names,
    /// The features a `config.json` means.
    read: fn(&Config<'_>, Family) -> Result<ModelSpec>,
    /// Adds the fields that [`write`] does not write for all.
    write: fn(&ModelSpec, &mut Map<String, Value>),
}

macro_rules! entries {
    ($($family:ident, $architecture:literal, $model_type:literal, $names:ident, $file:ident::{$read:ident, $write:ident};)+) => {
        const ENTRIES: &[Entry] = &[$(Entry {
            family: Family::$family,
            architecture: $architecture,
            model_type: $model_type,
            names: &names::$names,
            read: $file::$read,
            write: $file::$write,
        }),+];
    };
}

entries! {
    Llama, "LlamaForCausalLM", "llama", LLAMA, llama::{read, write};
    Mistral, "MistralForCausalLM", "mistral", LLAMA, llama::{read_mistral, write};
    Qwen2, "Qwen2ForCausalLM", "qwen2", LLAMA, llama::{read_qwen2, write};
    Qwen3, "Qwen3ForCausalLM", "qwen3", LLAMA, llama::{read_qwen3, write};
    SmolLm3, "SmolLM3ForCausalLM", "smollm3", LLAMA, llama::{read_smollm3, write_smollm3};
    Granite, "GraniteForCausalLM", "granite", LLAMA, llama::{read_granite, write_granite};
    Olmo2, "Olmo2ForCausalLM", "olmo2", LLAMA, llama::{read_olmo2, write};
    Gemma, "GemmaForCausalLM", "gemma", LLAMA, gemma::{read, write};
    Gemma2, "Gemma2ForCausalLM", "gemma2", LLAMA, gemma::{read_gemma2, write_gemma2};
    Gemma3, "Gemma3ForCausalLM", "gemma3_text", LLAMA, gemma::{read_gemma3, write_gemma3};
    Phi3, "Phi3ForCausalLM", "phi3", LLAMA, phi3::{read, write};
    StableLm, "StableLmForCausalLM", "stablelm", STABLELM, stablelm::{read, write};
    GptNeox, "GPTNeoXForCausalLM", "gpt_neox", GPT_NEOX, gpt_neox::{read, write};
    Qwen3Moe, "Qwen3MoeForCausalLM", "qwen3_moe", LLAMA, experts::{read_qwen3_moe, write_qwen3_moe};
    Mixtral, "MixtralForCausalLM", "mixtral", MIXTRAL, experts::{read_mixtral, write_mixtral};
}

impl Family {
    fn entry(self) -> &'static Entry {
        // Every family has one: `every_family_has_an_entry` below.
        let found = ENTRIES.iter().find(|entry| entry.family == self);
        found.unwrap_or(&ENTRIES[0])
    }

    /// The class transformers names in `architectures`.
    pub(super) fn architecture(self) -> &'static str {
        self.entry().architecture
    }

    pub(super) fn model_type(self) -> &'static str {
        self.entry().model_type
    }

    pub(super) fn names(self) -> &'static Names {
        self.entry().names
    }
}

/// Reads a `config.json` by the entry of its family.
pub(super) fn read(config: &Config<'_>) -> Result<ModelSpec> {
    let named = |field: Option<&Value>| field.and_then(Value::as_str).map(str::to_owned);
    let architecture = named(config.get("architectures").and_then(|names| names.get(0)));
    let model_type = named(config.get("model_type"));
    let classifies = |entry: &Entry, name: &str| entry.family.classifier().as_deref() == Some(name);
    let found = ENTRIES.iter().find(|entry| match &architecture {
        Some(name) => entry.architecture == name || classifies(entry, name),
        None => model_type.as_deref() == Some(entry.model_type),
    });
    let Some(entry) = found else {
        let name = architecture
            .or(model_type)
            .ok_or_else(|| (config.bad)("it names no architecture".into()))?;
        let nearest = nearest(&name).map_or_else(String::new, |nearest| {
            format!(" (the nearest that is: {nearest})")
        });
        return Err(Error::Unsupported {
            what: format!("the architecture {name}{nearest}"),
        });
    };
    let mut spec = (entry.read)(config, entry.family)?;
    if architecture.is_some_and(|name| classifies(entry, &name)) {
        spec.sequence_head = Some(SequenceHead::read(config)?);
    }
    Ok(spec)
}

/// The supported architecture whose name begins most like `name`.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let alike = |entry: &Entry| {
        let other = entry.architecture.to_lowercase();
        name.chars()
            .zip(other.chars())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let best = ENTRIES.iter().max_by_key(|entry| alike(entry))?;
    (alike(best) >= 4).then_some(best.architecture)
}

/// `config.json` of a model, as transformers reads it.
pub(super) fn write(spec: &ModelSpec, dtype: &str) -> Value {
    let entry = spec.family.entry();
    let mut fields = llama::shared_fields(spec);
    fields.insert("architectures".into(), vec![entry.architecture].into());
    fields.insert("model_type".into(), entry.model_type.into());
    fields.insert("torch_dtype".into(), dtype.into());
    (entry.write)(spec, &mut fields);
    if let Some(head) = &spec.sequence_head {
        head.write(spec.family, &mut fields);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, Family, nearest};

    #[test]
    fn every_family_has_an_entry() {
        for entry in ENTRIES {
            assert_eq!(entry.family.entry().architecture, entry.architecture);
        }
        // The last of the enumeration: an entry for each stands before it in the same order.
        assert_eq!(ENTRIES.len(), Family::Mixtral as usize + 1);
        assert!(
            ENTRIES
                .iter()
                .enumerate()
                .all(|(at, entry)| entry.family as usize == at)
        );
    }

    #[test]
    fn a_stranger_is_told_its_nearest_relative() {
        for (stranger, relative) in [
            (
                "MixtralForSequenceClassification",
                Some("MixtralForCausalLM"),
            ),
            (
                "Qwen3MoeForSequenceClassification",
                Some("Qwen3MoeForCausalLM"),
            ),
            ("Qwen2VLForConditionalGeneration", Some("Qwen2ForCausalLM")),
            ("Gemma3ForConditionalGeneration", Some("Gemma3ForCausalLM")),
            ("Llama4ForConditionalGeneration", Some("LlamaForCausalLM")),
            ("MambaForCausalLM", None),
        ] {
            assert_eq!(nearest(stranger), relative, "{stranger}");
        }
    }
}
