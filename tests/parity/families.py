"""The tiny checkpoints: one per model family, each with a trait of real checkpoints that a reader can get wrong."""

import dataclasses

import torch
import transformers

VOCABULARY = 100
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LINEARS = (*ATTENTION, "gate_proj", "up_proj", "down_proj")


@dataclasses.dataclass(frozen=True)
class Family:
    """One family and how its folder is written."""

    name: str
    config: transformers.PretrainedConfig
    seed: int
    # What the weights are stored as; the reference computes on the stored values widened to float32.
    dtype: torch.dtype = torch.float32
    # Bytes per file when the checkpoint is sharded.
    shard: str | None = None
    # Whether config.json is written as before transformers 5, with `rope_theta` and `rope_scaling`.
    old_config: bool = False
    # Whether 20 steps of full fine-tuning are recorded too.
    full_training: bool = False
    # The linear layers of a block, all of which LoRA targets.
    linears: tuple[str, ...] = LINEARS
    # Whether the reference can compute attention in another order, to see what it differs by from itself.
    sdpa: bool = True
    # Whether cached keys stay right while a sequence grows.
    cache: bool = True
    # Factor on the matrices: large enough for soft-caps to bite and for an answer to be more than its prompt again.
    gain: float = 1.0


def common(num_hidden_layers: int = 2, **settings) -> dict:
    return dict(
        vocab_size=VOCABULARY,
        num_hidden_layers=num_hidden_layers,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        **settings,
    )


def small(grouped: bool = True, max_positions: int = 64, **settings) -> dict:
    """Grouped heads where the family has them: GPT-NeoX does not."""
    groups = dict(num_key_value_heads=2) if grouped else {}
    return common(
        hidden_size=32,
        intermediate_size=40,
        num_attention_heads=4,
        max_position_embeddings=max_positions,
        **groups,
        **settings,
    )


FAMILIES = [
    Family(
        "llama3",
        transformers.LlamaConfig(
            **common(
                hidden_size=64,
                intermediate_size=88,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
                rms_norm_eps=1e-5,
                tie_word_embeddings=False,
                # The wavelengths 6.3, 13.7 and 29.7 fall below 8, between, and above 16:
                # every branch of the scaling is taken, and samples run past 16 positions.
                rope_parameters=dict(
                    rope_type="llama3",
                    rope_theta=500.0,
                    factor=8.0,
                    low_freq_factor=1.0,
                    high_freq_factor=2.0,
                    original_max_position_embeddings=16,
                ),
            )
        ),
        seed=1,
        old_config=True,
    ),
    Family(
        "mistral",
        transformers.MistralConfig(
            **common(
                hidden_size=48,
                intermediate_size=80,
                num_attention_heads=6,
                num_key_value_heads=2,
                head_dim=8,
                max_position_embeddings=64,
                rms_norm_eps=1e-5,
                sliding_window=10,  # shorter than the samples
                tie_word_embeddings=False,
                rope_parameters=dict(rope_type="default", rope_theta=1000.0),
            )
        ),
        seed=2,
        dtype=torch.bfloat16,
        shard="40KB",
    ),
    Family(
        "qwen2",
        transformers.Qwen2Config(
            **common(
                hidden_size=48,
                intermediate_size=80,
                num_attention_heads=3,
                num_key_value_heads=1,
                max_position_embeddings=64,
                rms_norm_eps=1e-6,
                tie_word_embeddings=True,
                rope_parameters=dict(rope_type="default", rope_theta=10000.0),
            )
        ),
        seed=3,
        old_config=True,
        full_training=True,
    ),
    Family(
        "qwen3",
        transformers.Qwen3Config(
            **common(
                hidden_size=48,
                intermediate_size=80,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=16,  # not hidden_size / num_attention_heads, which is 12
                max_position_embeddings=64,
                rms_norm_eps=1e-6,
                tie_word_embeddings=False,
                rope_parameters=dict(rope_type="default", rope_theta=10000.0),
            )
        ),
        seed=4,
        dtype=torch.float16,
    ),
    Family(
        "gemma",
        transformers.GemmaConfig(
            **small(
                head_dim=12,  # not hidden_size / num_attention_heads, which is 8
                rms_norm_eps=1e-6,
                tie_word_embeddings=True,
                rope_parameters=dict(rope_type="default", rope_theta=1000.0),
            )
        ),
        seed=5,
        gain=2.0,
        old_config=True,
    ),
    Family(
        "gemma2",
        transformers.Gemma2Config(
            **small(
                head_dim=12,
                rms_norm_eps=1e-6,
                query_pre_attn_scalar=6,  # not head_dim
                sliding_window=7,  # in the first of the two layers
                attn_logit_softcapping=1.5,  # scores reach beyond it
                final_logit_softcapping=4.0,
                rope_parameters=dict(rope_type="default", rope_theta=1000.0),
            )
        ),
        seed=6,
        gain=2.0,
        old_config=True,
        full_training=True,
        sdpa=False,
    ),
    Family(
        "gemma3",
        transformers.Gemma3TextConfig(
            **small(
                head_dim=12,
                rms_norm_eps=1e-6,
                query_pre_attn_scalar=6,
                sliding_window=7,
                layer_types=["sliding_attention", "full_attention"],
                final_logit_softcapping=5.0,
                # The base of the layer with a window is another, and not stretched.
                rope_parameters=dict(
                    full_attention=dict(rope_type="linear", rope_theta=5000.0, factor=3.0),
                    sliding_attention=dict(rope_type="default", rope_theta=50.0),
                ),
            )
        ),
        seed=27,
        gain=2.0,
    ),
    Family(
        "phi3",
        transformers.Phi3Config(
            **small(
                rms_norm_eps=1e-5,
                tie_word_embeddings=True,
                sliding_window=11,
                # Samples of more than 16 positions take the other divisors, and generation crosses that length.
                original_max_position_embeddings=16,
                rope_parameters=dict(
                    rope_type="longrope",
                    rope_theta=1000.0,
                    partial_rotary_factor=0.75,
                    short_factor=[1.0, 1.1, 1.3],
                    long_factor=[1.2, 2.0, 4.0],
                ),
            )
        ),
        seed=8,
        gain=2.0,
        linears=("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    ),
    Family(
        "smollm3",
        transformers.SmolLM3Config(
            **small(
                rms_norm_eps=1e-6,
                # No bias on k: without rotation it moves all scores of a query alike, and its gradient is rounding alone.
                mlp_bias=True,
                no_rope_layers=[1, 0],
                use_sliding_window=True,
                sliding_window=7,  # in the layer without rotary embedding
                rope_parameters=dict(
                    # With these turns the ramp begins after the first of four pairs and ends before the last.
                    rope_type="yarn",
                    rope_theta=1000.0,
                    factor=4.0,
                    original_max_position_embeddings=16,
                    beta_fast=1.5,
                    beta_slow=0.1,
                ),
            )
        ),
        seed=29,
        gain=2.0,
    ),
    Family(
        "olmo2",
        transformers.Olmo2Config(
            **small(
                rms_norm_eps=1e-5,
                tie_word_embeddings=False,
                rope_parameters=dict(
                    rope_type="yarn",
                    rope_theta=1000.0,
                    factor=4.0,
                    original_max_position_embeddings=16,
                    beta_fast=1.5,
                    beta_slow=0.1,
                    mscale=1.0,
                    mscale_all_dim=0.3,
                    truncate=False,
                ),
            )
        ),
        seed=10,
        gain=2.0,
    ),
    Family(
        "granite",
        transformers.GraniteConfig(
            **small(
                rms_norm_eps=1e-6,
                tie_word_embeddings=True,
                attention_bias=True,
                embedding_multiplier=7.0,
                residual_multiplier=0.6,
                attention_multiplier=0.5,  # not 1 / sqrt(head_dim)
                logits_scaling=0.7,
                max_positions=16,  # shorter than the samples: the base grows with each one's length
                rope_parameters=dict(rope_type="dynamic", rope_theta=100.0, factor=4.0),
            )
        ),
        seed=11,
        gain=2.0,
        full_training=True,
        cache=False,
    ),
    Family(
        "stablelm",
        transformers.StableLmConfig(
            **small(
                layer_norm_eps=1e-5,
                use_qkv_bias=True,
                tie_word_embeddings=False,
                rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=2.0, partial_rotary_factor=0.5),
            )
        ),
        seed=12,
        gain=2.0,
    ),
    Family(
        "stablelm-parallel",
        transformers.StableLmConfig(
            **small(
                layer_norm_eps=1e-5,
                qk_layernorm=True,
                use_parallel_residual=True,
                tie_word_embeddings=False,
                rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.25),
            )
        ),
        seed=13,
        gain=2.0,
        full_training=True,
    ),
    Family(
        "gpt-neox",
        transformers.GPTNeoXConfig(
            **small(
                layer_norm_eps=1e-5,
                tie_word_embeddings=False,
                grouped=False,
                rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5),
            )
        ),
        seed=14,
        gain=2.0,
        # Not trained whole: the bias of the part of k that does not turn has a gradient of rounding alone, which
        # AdamW makes steps of.
        linears=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    Family(
        "gpt-neox-sequential",
        transformers.GPTNeoXConfig(
            **small(
                layer_norm_eps=1e-5,
                tie_word_embeddings=True,
                grouped=False,
                use_parallel_residual=False,
                attention_bias=False,
                hidden_act="gelu_new",
                rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=1.0),
            )
        ),
        seed=15,
        gain=2.0,
        full_training=True,
        linears=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    Family(
        "qwen3-moe",
        transformers.Qwen3MoeConfig(
            **small(
                head_dim=12,
                rms_norm_eps=1e-6,
                tie_word_embeddings=False,
                # Experts in the second and fourth of four layers, but for the one named.
                num_hidden_layers=4,
                decoder_sparse_step=2,
                mlp_only_layers=[3],
                num_experts=5,
                num_experts_per_tok=3,
                moe_intermediate_size=20,
                norm_topk_prob=False,
                rope_parameters=dict(rope_type="default", rope_theta=1000.0),
            )
        ),
        seed=16,
        linears=ATTENTION,
        dtype=torch.bfloat16,
    ),
    Family(
        "mixtral",
        transformers.MixtralConfig(
            **small(
                rms_norm_eps=1e-5,
                tie_word_embeddings=False,
                sliding_window=10,
                num_local_experts=4,
                num_experts_per_tok=2,
                rope_parameters=dict(rope_type="default", rope_theta=1000.0),
            )
        ),
        seed=18,
        gain=2.0,
        linears=ATTENTION,
        full_training=True,
    ),
]


def randomised(family: Family, attention: str = "eager") -> transformers.PreTrainedModel:
    """The model with every parameter drawn anew, so that no norm is one and no bias zero."""
    config = type(family.config)(**family.config.to_dict())
    config._attn_implementation = attention
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    draw = torch.Generator().manual_seed(family.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = weights(name, parameter.shape, draw)
            if "_proj" in name or "dense" in name or "query_key_value" in name:
                values *= family.gain
            if config.model_type.startswith("gemma") and name.endswith("norm.weight"):
                values -= 1  # what it differs from one by
            parameter.copy_(values)
            # Stored values are what both sides compute on.
            parameter.copy_(parameter.to(family.dtype).float())
    if config.rope_parameters.get("rope_type") == "dynamic":
        model.model.rotary_emb.register_forward_pre_hook(forget_lengths)
    return model.eval()


def forget_lengths(rotary: torch.nn.Module, _inputs) -> None:
    """What the embedding remembers of longer sequences makes results depend on what was computed before."""
    rotary.max_seq_len_cached = rotary.original_max_seq_len
    rotary.inv_freq = rotary.original_inv_freq


def weights(name: str, shape: torch.Size, draw: torch.Generator) -> torch.Tensor:
    if name.endswith("norm.weight") or ".norms." in name:
        return 0.5 + torch.rand(shape, generator=draw)
    if name.endswith("bias"):
        return 0.3 * torch.randn(shape, generator=draw)
    if name.endswith(("embed_tokens.weight", "embed_in.weight")):
        return 0.1 * torch.randn(shape, generator=draw)
    return torch.randn(shape, generator=draw) / shape[-1] ** 0.5


def as_stored(config: transformers.PretrainedConfig, named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """By the names that files have: transformers 5 joins the experts of a layer in memory, and parts them again on disk."""
    block, gate, up, down = (
        (".block_sparse_moe.", "w1", "w3", "w2")
        if config.model_type == "mixtral"
        else (".mlp.", "gate_proj", "up_proj", "down_proj")
    )
    parted = {}
    for name, tensor in named.items():
        name = name.replace(".mlp.", block)
        if name.endswith(".experts.gate_up_proj"):
            for expert, both in enumerate(tensor):
                first, second = both.chunk(2)
                stem = f"{name.removesuffix('gate_up_proj')}{expert}"
                parted |= {f"{stem}.{gate}.weight": first, f"{stem}.{up}.weight": second}
        elif name.endswith(".experts.down_proj"):
            stem = name.removesuffix("down_proj")
            parted |= {f"{stem}{expert}.{down}.weight": each for expert, each in enumerate(tensor)}
        else:
            parted[name] = tensor
    return parted
