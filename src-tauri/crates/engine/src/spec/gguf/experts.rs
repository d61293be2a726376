//! What the metadata say about experts, which llama.cpp has in every block of a model or in none.

use super::{Fields, MOST, Metadata};
use crate::{Error, Result};
use attune_data::Gguf;

/// More experts, of all blocks together, than any model has.
const MOST_EXPERTS: u64 = 1 << 16;

/// llama.cpp's number for a softmax over the router's scores.
const SOFTMAX: u64 = 1;

/// Whether a file of this architecture says that its model has experts: by a number, or by one for
/// each block.
pub(super) fn are_in(file: &Gguf, architecture: &str) -> bool {
    let count = file.count(&format!("{architecture}.expert_count"));
    let none = count.is_ok_and(|count| count.unwrap_or(0) == 0);
    !none
}

/// Why a mixture of experts of another architecture is not read.
pub(super) fn refusal(file: &Gguf, architecture: &str) -> Error {
    let what = format!("a mixture of experts of the architecture {architecture}");
    let nearest = "the nearest, qwen3moe, and Mixtral as llama";
    file.unsupported(what, nearest).into()
}

/// Qwen3-MoE: experts of a width of their own.
pub(super) fn qwen3_moe(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    let width = metadata.size("expert_feed_forward_length")?;
    fields.insert("moe_intermediate_size".into(), width.into());
    read(metadata, fields)
}

/// How many there are, and how many of them a token passes. The weights of those sum to one, as
/// llama.cpp computes it for these families whatever the model's configuration said.
pub(super) fn read(metadata: &Metadata<'_>, fields: &mut Fields) -> Result<()> {
    let file = metadata.file;
    let (count, per_token) = (
        metadata.size("expert_count")?,
        metadata.size("expert_used_count")?,
    );
    let layers = metadata.size("block_count")?;
    // Names of tensors are made for each: a file that only says so must not cost memory.
    if count > MOST || count * layers > MOST_EXPERTS {
        let reason = format!("it names {count} experts in each of {layers} blocks");
        return Err(file.broken(reason).into());
    }
    if per_token > count {
        let key = metadata.key("expert_used_count");
        let reason = format!("`{key}` is {per_token}, and there are {count} experts");
        return Err(file.broken(reason).into());
    }
    let gate = metadata.optional_count("expert_gating_func")?;
    if gate.is_some_and(|gate| gate != SOFTMAX) {
        let what = "a router that is no softmax";
        return Err(file.unsupported(what, "a softmax over experts").into());
    }
    if metadata.optional_count("expert_group_count")?.unwrap_or(1) > 1 {
        let what = "experts in groups";
        return Err(file.unsupported(what, "experts of one group").into());
    }
    if file.flag(&metadata.key("expert_weights_norm"))? == Some(false) {
        let what = "experts whose weights do not sum to one";
        return Err(file.unsupported(what, "weights that do").into());
    }
    fields.insert("num_experts".into(), count.into());
    fields.insert("num_experts_per_tok".into(), per_token.into());
    fields.insert("norm_topk_prob".into(), true.into());
    Ok(())
}
