"""The tiny checkpoints: one per model family, each with a trait of real checkpoints that a reader can get wrong."""

import dataclasses

import torch
import transformers

VOCABULARY = 100


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


def common(**settings) -> dict:
    return dict(
        vocab_size=VOCABULARY,
        num_hidden_layers=2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
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
]


def randomised(family: Family, attention: str = "eager") -> transformers.PreTrainedModel:
    """The model with every parameter drawn anew, so that no norm is one and no bias zero."""
    config = type(family.config)(**family.config.to_dict())
    config._attn_implementation = attention
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    draw = torch.Generator().manual_seed(family.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights(name, parameter.shape, draw))
            # Stored values are what both sides compute on.
            parameter.copy_(parameter.to(family.dtype).float())
    return model.eval()


def weights(name: str, shape: torch.Size, draw: torch.Generator) -> torch.Tensor:
    if name.endswith("norm.weight"):
        return 0.5 + torch.rand(shape, generator=draw)
    if name.endswith("bias"):
        return 0.3 * torch.randn(shape, generator=draw)
    if name.endswith("embed_tokens.weight"):
        return 0.1 * torch.randn(shape, generator=draw)
    return torch.randn(shape, generator=draw) / shape[1] ** 0.5
