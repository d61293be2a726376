//! What the metadata of a GGUF file say about its model: the `config.json` it was converted from.
//!
//! A family is an entry of [`ENTRIES`]: what llama.cpp calls it, the fields that only it has, and
//! what the converter did to the rows of its matrices. Names of tensors follow from the features.

mod experts;

use super::{Family, ModelSpec};
use crate::{Error, Result};
use attune_data::{Gguf, TensorInfo, TensorType};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Where llama.cpp's converter put the rows of a family's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// Where they were.
    Kept,
    /// Rows of q and k that turn together lie side by side: the first and second half of each head
    /// are interleaved.
    RotaryPairs,
    /// All queries, all keys, all values, where transformers has those of the first head, then of
    /// the second.
    Together,
}

/// What there is to know about a family's files.
struct Entry {
    /// `general.architecture`
    name: &'static str,
    family: Family,
    rows: RowOrder,
    /// Adds the fields that [`shared`] does not read for all.
    read: fn(&Metadata<'_>, &mut Fields) -> Result<()>,
}

/// Of a family whose fields are those of all.
const NO_MORE: fn(&Metadata<'_>, &mut Fields) -> Result<()> = |_, _| Ok(());

const fn entry(
    name: &'static str,
    family: Family,
    rows: RowOrder,
    read: fn(&Metadata<'_>, &mut Fields) -> Result<()>,
) -> Entry {
    Entry {
        name,
        family,
        rows,
        read,
    }
}

const ENTRIES: &[Entry] = &[
    entry("llama", Family::Llama, RowOrder::RotaryPairs, llama),
    entry("qwen2", Family::Qwen2, RowOrder::Kept, NO_MORE),
    entry(
        "qwen3moe",
        Family::Qwen3Moe,
        RowOrder::Kept,
        experts::qwen3_moe,
    ),
    entry("qwen3", Family::Qwen3, RowOrder::Kept, NO_MORE),
    entry("smollm3", Family::SmolLm3, RowOrder::RotaryPairs, NO_MORE),
    entry("granite", Family::Granite, RowOrder::RotaryPairs, granite),
    entry("olmo2", Family::Olmo2, RowOrder::Kept, olmo2),
    entry("gemma", Family::Gemma, RowOrder::Kept, NO_MORE),
    entry("gemma2", Family::Gemma2, RowOrder::Kept, gemma2),
    entry("gemma3", Family::Gemma3, RowOrder::Kept, gemma3),
    entry("phi3", Family::Phi3, RowOrder::Kept, phi3),
    entry("stablelm", Family::StableLm, RowOrder::Kept, stablelm),
    entry("gptneox", Family::GptNeox, RowOrder::Together, gpt_neox),
];

/// More blocks, or heads in one, than any model has.
const MOST: u64 = 1024;

/// The metadata of one file, under its architecture's name.
struct Metadata<'a> {
    file: &'a Gguf,
    entry: &'static Entry,
}

impl ModelSpec {
    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(file: &Gguf) -> Result<Self> {
        let metadata = Metadata {
            file,
            entry: find(file)?,
        };
        metadata.refuse_what_is_not_computed()?;
        let mut fields = shared(&metadata)?;
        let model_type = metadata.entry.family.model_type();
        fields.insert("model_type".into(), model_type.into());
        (metadata.entry.read)(&metadata, &mut fields)?;
        let spec = Self::from_value(&Value::Object(fields), &|reason| Error::BadConfig {
            path: file.path().to_owned(),
            reason,
        })?;
        if spec.experts.is_none() && experts::are_in(file, metadata.entry.name) {
            return Err(experts::refusal(file, metadata.entry.name));
        }
        // Norms and biases are held in f32 whatever they are stored as.
        let tensors = file
            .tensors()
            .iter()
            .filter(|(name, _)| !READ_HERE.contains(&name.as_str()));
        let bytes = tensors.map(|(_, tensor)| match tensor.shape[..] {
            [elements] if tensor.kind.block().is_some() => 4 * elements,
            _ => file.bytes(tensor).len(),
        });
        Ok(Self {
            stored_bytes: Some(bytes.sum::<usize>() as u64),
            ..spec
        })
    }
}

/// Tensors that say what the configuration of a folder says.
pub(crate) const READ_HERE: [&str; 3] = [
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
];

/// Where the converter put the rows of this file's matrices.
pub(crate) fn row_order(file: &Gguf) -> Result<RowOrder> {
    Ok(find(file)?.rows)
}

fn find(file: &Gguf) -> Result<&'static Entry> {
    let name = file.text("general.architecture")?;
    let name = name.ok_or_else(|| file.broken("it names no `general.architecture`"))?;
    let found = ENTRIES.iter().find(|entry| entry.name == name);
    if found.is_none() && experts::are_in(file, name) {
        return Err(experts::refusal(file, name));
    }
    found.ok_or_else(|| {
        let alike = |entry: &&Entry| {
            let pairs = name.chars().zip(entry.name.chars());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let nearest = ENTRIES
            .iter()
            .max_by_key(alike)
            .filter(|entry| alike(entry) >= 3);
        let all = || {
            ENTRIES
                .iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let nearest = nearest.map_or_else(all, |entry| format!("the nearest, {}", entry.name));
        file.unsupported(format!("a model of the architecture {name}"), nearest)
            .into()
    })
}

/// The fields that every family has.
fn shared(metadata: &Metadata<'_>) -> Result<Fields> {
    let embedding = metadata.tensor("token_embd.weight")?;
    let hidden = metadata.size("embedding_length")?;
    let heads = metadata.size("attention.head_count")?;
    let layers = metadata.size("block_count")?;
    // Names of tensors are made for each: a file that only says so must not cost memory.
    if heads > MOST || layers > MOST {
        let reason = format!("it names {layers} blocks of {heads} heads");
        return Err(metadata.file.broken(reason).into());
    }
    let head_dim = match metadata.optional_size("attention.key_length")? {
        Some(width) => width,
        None => hidden / heads,
    };
    let values = metadata.optional_size("attention.value_length")?;
    if values.is_some_and(|values| values != head_dim) {
        let what = "values of another width than keys";
        return Err(metadata.file.unsupported(what, "heads of one width").into());
    }
    let epsilon = |name: &str| metadata.number(&format!("attention.layer_norm_{name}"));
    let mut fields = json!({
        "hidden_size": hidden,
        "intermediate_size": metadata.size("feed_forward_length")?,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.optional_size("attention.head_count_kv")?,
        "head_dim": head_dim,
        "vocab_size": embedding.shape[0],
        "max_position_embeddings": metadata.size("context_length")?,
        "rope_theta": metadata.number("rope.freq_base")?,
        "rms_norm_eps": epsilon("rms_epsilon")?,
        "layer_norm_eps": epsilon("epsilon")?,
        "tie_word_embeddings": !metadata.has("output.weight"),
        "attention_bias": metadata.has("blk.0.attn_q.bias"),
        "mlp_bias": metadata.has("blk.0.ffn_up.bias"),
    });
    fields["rope_scaling"] = scaling(metadata, &fields)?;
    match fields {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

/// `rope_scaling` as `config.json` has it.
fn scaling(metadata: &Metadata<'_>, fields: &Value) -> Result<Value> {
    let number = |name: &str| metadata.number(&format!("rope.scaling.{name}"));
    let kind = metadata.text("rope.scaling.type")?;
    let maximum = &fields["max_position_embeddings"];
    let original = metadata.optional_size("rope.scaling.original_context_length")?;
    let original = original.map_or_else(|| maximum.clone(), Value::from);
    if metadata.has("rope_factors_long.weight") {
        return Ok(json!({
            "rope_type": "longrope",
            "short_factor": metadata.floats("rope_factors_short.weight")?,
            "long_factor": metadata.floats("rope_factors_long.weight")?,
            "original_max_position_embeddings": original,
            "attention_factor": number("attn_factor")?.filter(|factor| {
                // The usual one, rounded, goes without saying.
                let whole = |value: &Value| value.as_f64().unwrap_or(1.0);
                let stretch = (whole(maximum) / whole(&original)).max(1.0);
                let usual = (1.0 + stretch.ln() / whole(&original).ln()).sqrt();
                (factor - usual).abs() > 1e-6
            }),
        }));
    }
    match kind {
        Some("linear") => Ok(json!({ "rope_type": "linear", "factor": number("factor")? })),
        Some("yarn") => Ok(json!({
            "rope_type": "yarn",
            "factor": number("factor")?,
            "original_max_position_embeddings": original,
            "attention_factor": number("yarn_attn_factor")?,
            "beta_fast": number("yarn_beta_fast")?,
            "beta_slow": number("yarn_beta_slow")?,
        })),
        None | Some("none" | "longrope") if metadata.has("rope_freqs.weight") => {
            divisors(metadata, fields)
        }
        None | Some("none") => match metadata.number("rope.scale_linear")? {
            Some(factor) if factor != 1.0 => Ok(json!({ "rope_type": "linear", "factor": factor })),
            _ => Ok(Value::Null),
        },
        Some(other) => {
            let what = format!("rope scaling of type {other}");
            Err(metadata
                .file
                .unsupported(what, "linear, yarn, longrope")
                .into())
        }
    }
}

/// Llama 3's scaling, of which the file holds what each frequency is divided by.
fn divisors(metadata: &Metadata<'_>, fields: &Value) -> Result<Value> {
    let divisors = metadata.floats("rope_freqs.weight")?;
    if divisors.iter().all(|divisor| *divisor == 1.0) {
        return Ok(Value::Null);
    }
    let theta = fields["rope_theta"].as_f64().unwrap_or(10_000.0);
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    // Every published model of the family has these numbers beside the factor.
    let (low, high, original) = (1.0, 4.0, 8192.0);
    let published = divisors.iter().enumerate().all(|(pair, found)| {
        let frequency = theta.powf(-(pair as f64) / divisors.len() as f64);
        let turns = original * frequency / std::f64::consts::TAU;
        let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        let meant = 1.0 / ((1.0 - smooth) / factor + smooth);
        (found - meant).abs() <= 1e-4 * meant
    });
    Ok(if published {
        json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original,
        })
    } else {
        json!({
            "rope_type": "longrope",
            "short_factor": divisors,
            "long_factor": divisors,
            "original_max_position_embeddings": fields["max_position_embeddings"],
            "attention_factor": 1.0,
        })
    })
}

/// Llama's files are Mistral's too, and with experts Mixtral's.
fn llama(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    if let Some(window) = metadata.optional_size("attention.sliding_window")? {
        fields.insert("model_type".into(), "mistral".into());
        fields.insert("sliding_window".into(), window.into());
    }
    if experts::are_in(metadata.file, metadata.entry.name) {
        fields.insert("model_type".into(), "mixtral".into());
        experts::read(metadata, fields)?;
    }
    Ok(())
}

fn granite(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    for (field, key) in [
        ("embedding_multiplier", "embedding_scale"),
        ("residual_multiplier", "residual_scale"),
        ("attention_multiplier", "attention.scale"),
        ("logits_scaling", "logit_scale"),
    ] {
        fields.insert(field.into(), metadata.number(key)?.into());
    }
    Ok(())
}

fn olmo2(metadata: &Metadata<'_>, _: &mut Fields) -> Result<()> {
    if metadata.file.has("olmo2.attention.sliding_window") {
        let refusal = metadata.file.unsupported("OLMo 3's windows", "OLMo 2");
        return Err(refusal.into());
    }
    Ok(())
}

/// Blocks whose model has as many layers as this scale scores by the residual stream's width for
/// each head; llama.cpp knows it by their number.
fn score_scale(metadata: &Metadata<'_>, fields: &mut Fields, of_largest: u64) -> Result<()> {
    let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or(1);
    let scalar = match metadata.number("attention.scale")? {
        Some(scale) => json!(scale.powi(-2)),
        None if number("num_hidden_layers") == of_largest => {
            json!(number("hidden_size") / number("num_attention_heads").max(1))
        }
        None => json!(number("head_dim")),
    };
    fields.insert("query_pre_attn_scalar".into(), scalar);
    let window = metadata.optional_size("attention.sliding_window")?;
    fields.insert("sliding_window".into(), window.into());
    Ok(())
}

fn gemma2(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    score_scale(metadata, fields, 46)?;
    for field in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if let Some(cap) = metadata.number(field)? {
            fields.insert(field.into(), cap.into());
        }
    }
    Ok(())
}

fn gemma3(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    score_scale(metadata, fields, 62)?;
    if let Some(cap) = metadata.number("final_logit_softcapping")? {
        fields.insert("final_logit_softcapping".into(), cap.into());
    }
    let local = metadata.number("rope.freq_base_swa")?;
    fields.insert("rope_local_base_freq".into(), local.into());
    let pattern = metadata.key("attention.sliding_window_pattern");
    if metadata.file.is_list(&pattern) {
        let marks = metadata.file.numbers(&pattern)?.into_iter().flatten();
        let kinds = marks.map(|sliding| match sliding {
            0.0 => "full_attention",
            _ => "sliding_attention",
        });
        fields.insert("layer_types".into(), kinds.collect());
    } else if let Some(pattern) = metadata.file.count(&pattern)? {
        fields.insert("sliding_window_pattern".into(), pattern.into());
    }
    Ok(())
}

fn phi3(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    let window = metadata.optional_count("attention.sliding_window")?;
    let window = window.filter(|window| *window > 0);
    fields.insert("sliding_window".into(), window.into());
    if let Some(original) = metadata.optional_size("rope.scaling.original_context_length")? {
        fields.insert("original_max_position_embeddings".into(), original.into());
    }
    share_that_turns(metadata, fields, "partial_rotary_factor", 1.0)
}

fn stablelm(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    let first = |name: &str| metadata.has(&format!("blk.0.{name}.weight"));
    fields.insert(
        "use_qkv_bias".into(),
        metadata.has("blk.0.attn_q.bias").into(),
    );
    fields.insert("qk_layernorm".into(), first("attn_q_norm").into());
    fields.insert("use_parallel_residual".into(), (!first("ffn_norm")).into());
    share_that_turns(metadata, fields, "partial_rotary_factor", 0.25)
}

fn gpt_neox(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    let biased = metadata.has("blk.0.attn_qkv.bias");
    fields.insert("attention_bias".into(), biased.into());
    fields.insert("hidden_act".into(), "gelu".into());
    let parallel = metadata.file.flag(&metadata.key("use_parallel_residual"))?;
    fields.insert(
        "use_parallel_residual".into(),
        parallel.unwrap_or(true).into(),
    );
    let base = fields.remove("rope_theta");
    fields.insert("rotary_emb_base".into(), base.into());
    share_that_turns(metadata, fields, "rotary_pct", 0.25)
}

/// Which share of a head turns, of which the file says how many elements.
fn share_that_turns(
    metadata: &Metadata<'_>,
    fields: &mut Fields,
    field: &str,
    usual: f64,
) -> Result<()> {
    let width = fields
        .get("head_dim")
        .and_then(Value::as_f64)
        .unwrap_or(1.0);
    let turning = metadata.optional_size("rope.dimension_count")?;
    let share = turning.map_or(usual, |turning| turning as f64 / width);
    fields.insert(field.into(), share.into());
    Ok(())
}

impl Metadata<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.entry.name)
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        Ok(self.file.text(&self.key(name))?)
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.file.number(&self.key(name))?)
    }

    /// A count; one for each block where all are the same.
    fn optional_count(&self, name: &str) -> Result<Option<u64>> {
        let key = self.key(name);
        if !self.file.is_list(&key) {
            return Ok(self.file.count(&key)?);
        }
        let mut all = self.file.numbers(&key)?.into_iter().flatten();
        let first = all.next();
        if all.any(|other| Some(other) != first) {
            let what = format!("blocks that differ in `{key}`");
            return Err(self.file.unsupported(what, "blocks of one size").into());
        }
        Ok(first.map(|first| first as u64))
    }

    fn optional_size(&self, name: &str) -> Result<Option<u64>> {
        match self.optional_count(name)? {
            Some(size) if size == 0 || size > 1 << 32 => {
                let reason = format!("`{}` is {size}, not a size", self.key(name));
                Err(self.file.broken(reason).into())
            }
            size => Ok(size),
        }
    }

    fn size(&self, name: &str) -> Result<u64> {
        let missing = || {
            self.file
                .broken(format!("it names no `{}`", self.key(name)))
        };
        Ok(self.optional_size(name)?.ok_or_else(missing)?)
    }

    /// Whether the file holds a tensor.
    fn has(&self, name: &str) -> bool {
        self.file.tensors().contains_key(name)
    }

    fn tensor(&self, name: &str) -> Result<&TensorInfo> {
        let found = self.file.tensors().get(name);
        let missing = || self.file.broken(format!("it holds no tensor `{name}`"));
        Ok(found.ok_or_else(missing)?)
    }

    /// The numbers of a small tensor of f32.
    fn floats(&self, name: &str) -> Result<Vec<f64>> {
        let tensor = self.tensor(name)?;
        let bytes = self.file.bytes(tensor);
        if tensor.kind != TensorType::F32 || bytes.len() > 1 << 16 {
            let reason = format!("the tensor `{name}` is no short list of F32");
            return Err(self.file.broken(reason).into());
        }
        let numbers = bytes.chunks_exact(4).map(|bytes| {
            let number = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            // The decimal it was rounded from, as with the numbers among the metadata.
            number.to_string().parse().unwrap_or(f64::from(number))
        });
        Ok(numbers.collect())
    }

    /// Refuses what changes the computation of any family and is not computed here.
    fn refuse_what_is_not_computed(&self) -> Result<()> {
        let file = self.file;
        let refuse = |what: String, nearest: &str| Err(file.unsupported(what, nearest).into());
        match file.text("general.type")? {
            None | Some("model") => {}
            Some(other) => return refuse(format!("not a model but `{other}`"), "models"),
        }
        if file.count("split.count")?.unwrap_or(1) > 1 {
            let nearest = "whole files; `llama-gguf-split --merge` joins the parts";
            return refuse("one part of a model".to_owned(), nearest);
        }
        if file.flag(&self.key("attention.causal"))? == Some(false) {
            return refuse("attention that is not causal".to_owned(), "causal models");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
