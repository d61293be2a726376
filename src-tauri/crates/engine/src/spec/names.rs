//! What transformers calls a model's modules. Files, gradients and adapters use these names.

/// The modules outside the blocks, and those whose names differ between families.
pub(super) struct Names {
    /// Token embedding.
    pub(super) embed: &'static str,
    /// The list of blocks.
    pub(super) layers: &'static str,
    /// The norm after the last block.
    pub(super) norm: &'static str,
    /// The output matrix.
    pub(super) head: &'static str,
    /// What files call the output matrix where that is not the module's name.
    pub(super) stored_head: &'static str,
    /// Queries, keys and values of a block.
    pub(super) qkv: [&'static str; 3],
    /// All three in one.
    pub(super) fused_qkv: &'static str,
    /// What attention ends with.
    pub(super) output: &'static str,
    /// Gate of the MLP.
    pub(super) gate: &'static str,
    /// What the MLP begins with besides.
    pub(super) up: &'static str,
    /// Both in one.
    pub(super) fused_gate_up: &'static str,
    /// What the MLP ends with.
    pub(super) down: &'static str,
    /// What chooses among experts.
    pub(super) router: &'static str,
    /// The list of experts.
    pub(super) experts: &'static str,
    /// Gate, up and down of an expert.
    pub(super) expert: [&'static str; 3],
    /// Norms of queries and keys.
    pub(super) qk_norms: [&'static str; 2],
}

/// Llama's, which most families took over.
pub(super) const LLAMA: Names = Names {
    embed: "model.embed_tokens",
    layers: "model.layers",
    norm: "model.norm",
    head: "lm_head",
    stored_head: "lm_head",
    qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    fused_qkv: "self_attn.qkv_proj",
    output: "self_attn.o_proj",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    fused_gate_up: "mlp.gate_up_proj",
    down: "mlp.down_proj",
    router: "mlp.gate",
    experts: "mlp.experts",
    expert: ["gate_proj", "up_proj", "down_proj"],
    qk_norms: ["self_attn.q_norm", "self_attn.k_norm"],
};

/// Mixtral's, as its files have them; transformers 5 has them as Qwen3-MoE's in memory.
pub(super) const MIXTRAL: Names = Names {
    router: "block_sparse_moe.gate",
    experts: "block_sparse_moe.experts",
    expert: ["w1", "w3", "w2"],
    ..LLAMA
};

/// `StableLM` norms heads under other names.
pub(super) const STABLELM: Names = Names {
    qk_norms: ["self_attn.q_layernorm", "self_attn.k_layernorm"],
    ..LLAMA
};

/// GPT-NeoX's.
pub(super) const GPT_NEOX: Names = Names {
    embed: "gpt_neox.embed_in",
    layers: "gpt_neox.layers",
    norm: "gpt_neox.final_layer_norm",
    // Named so since transformers 5; files keep the older name.
    stored_head: "embed_out",
    fused_qkv: "attention.query_key_value",
    output: "attention.dense",
    up: "mlp.dense_h_to_4h",
    down: "mlp.dense_4h_to_h",
    ..LLAMA
};
