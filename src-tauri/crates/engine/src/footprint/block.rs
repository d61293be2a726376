//! The numbers that one token takes in the blocks: what `block`, `attention`, `mlp` and
//! `lora::layer` keep for the backward, and what lies beside it at the fullest moment of each way.

use crate::spec::{MlpKind, ModelSpec, NormPlacement, Residual};
use crate::{LoraConfig, Result};

/// Numbers of one token.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerToken {
    /// The residual stream, which enters each block.
    pub(super) stream: u64,
    /// What a block keeps for its backward, its input included, adapters aside.
    pub(super) kept: u64,
    /// What the adapters of all blocks keep.
    pub(super) adapters: u64,
    /// Beside what is kept, at the fullest moment of a block's forward.
    pub(super) forward: u64,
    /// The same of its backward, the gradient of its result included.
    pub(super) backward: u64,
}

impl PerToken {
    pub(super) fn of(spec: &ModelSpec, lora: Option<&LoraConfig>) -> Result<Self> {
        let hidden = spec.hidden_size as u64;
        let middle = spec.middle_width() as u64;
        let (queries, keys) = (spec.query_width() as u64, spec.key_width() as u64);
        let projected = queries + 2 * keys;
        // What the activation reads.
        let entering = match spec.mlp {
            MlpKind::Gated | MlpKind::GatedFused => 2 * middle,
            MlpKind::Plain => middle,
        };
        let sequential = spec.residual == Residual::Sequential;
        let after = spec.norm_placement != NormPlacement::Before;

        // Input, q, k, v, mixed values with their log-sum-exp, what enters the activation; the
        // stream between the parts; what norms after the parts and those of q and k read.
        let mut kept = hidden + projected + queries + spec.num_attention_heads as u64 + entering;
        kept += if sequential { hidden } else { 0 };
        kept += if after { 2 * hidden } else { 0 };
        kept += if spec.qk_norm.is_some() {
            queries + keys
        } else {
            0
        };

        let adapter = Adapter::of(spec, lora)?;
        // Forward. The MLP's input and result, and between them the activated values, or the
        // fused matrix's result beside its parts.
        let split = if spec.mlp == MlpKind::GatedFused {
            entering
        } else {
            0
        };
        let activated = if adapter.drops { 2 * middle } else { middle };
        let mut forward = hidden + (hidden + activated).max(split);
        // What attention was added to, where nothing keeps it.
        forward += if sequential { 0 } else { hidden };
        if adapter.drops && adapter.decomposes {
            // With both, a result is put together from five of its size, of which one stays.
            forward = forward.max(2 * hidden + 4 * middle);
        }

        // Backward. The gradient of the block's result, and that of what a norm or a factor after
        // a part read.
        let branch = if after || spec.residual_scale != 1.0 {
            hidden
        } else {
            0
        };
        let above = hidden + branch;
        // Through `down`: the activated values and the gradient of them, with dropout two steps
        // of the adapter's own gradient, the base's and the sum of both.
        let down = match (adapter.drops, adapter.decomposes) {
            (false, false) => 2 * middle,
            (false, true) => 2 * middle + hidden,
            (true, false) => 5 * middle,
            (true, true) => 5 * middle + hidden,
        };
        // Through the activation: the gradient of its result and those of what it read, again in
        // one for a fused matrix.
        let activation = match spec.mlp {
            MlpKind::Gated => 3 * middle,
            MlpKind::GatedFused => 5 * middle,
            MlpKind::Plain => 2 * middle,
        };
        // Through attention, the MLP's values gone: the stream's gradient in the middle in the
        // place of the stream, that of the mixed values, those of q, k and v by head and whole.
        let heads = queries + 2 * projected;
        let freed = entering + if sequential { hidden } else { 0 };
        let attention = (hidden + heads).saturating_sub(freed);
        Ok(Self {
            stream: hidden,
            kept,
            adapters: adapter.kept,
            forward,
            backward: above + down.max(activation).max(attention),
        })
    }
}

/// What an adapter does to the values of the layers it stands beside.
struct Adapter {
    /// Numbers of a token kept over all blocks: `u`, and with a magnitude the sum it is set on.
    kept: u64,
    /// Whether `down` reads a dropped copy.
    drops: bool,
    /// Whether rows have a magnitude.
    decomposes: bool,
}

impl Adapter {
    fn of(spec: &ModelSpec, lora: Option<&LoraConfig>) -> Result<Self> {
        let mut adapter = Self {
            kept: 0,
            drops: false,
            decomposes: false,
        };
        let Some(lora) = lora else { return Ok(adapter) };
        let down = spec.down_linear();
        for (name, out, _) in spec.adapted_linears() {
            if lora.target_modules.contains(&name)? {
                let sum = if lora.use_dora { out } else { 0 };
                adapter.kept += (lora.rank(&name)? + sum) as u64;
                adapter.decomposes = lora.use_dora;
                adapter.drops |= lora.lora_dropout > 0.0 && name.ends_with(down.name);
            }
        }
        Ok(adapter)
    }
}
