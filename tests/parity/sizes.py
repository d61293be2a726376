"""Published models by their sizes, one or two per family: transformers counts their weights without making them."""

import torch
import transformers
import peft

from families import ATTENTION, LINEARS

FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
DENSE = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")


def sizes(vocabulary: int, hidden: int, intermediate: int, layers: int, heads: int, key_value_heads: int | None, **more) -> dict:
    groups = {} if key_value_heads is None else dict(num_key_value_heads=key_value_heads)
    return dict(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        **groups,
        **more,
    )


MODELS = {
    "Llama 3.2 1B": (transformers.LlamaConfig, sizes(128256, 2048, 8192, 16, 32, 8, head_dim=64, tie_word_embeddings=True), LINEARS),
    "Mistral 7B": (transformers.MistralConfig, sizes(32768, 4096, 14336, 32, 32, 8, sliding_window=None), LINEARS),
    "Qwen2.5 0.5B": (transformers.Qwen2Config, sizes(151936, 896, 4864, 24, 14, 2, tie_word_embeddings=True), LINEARS),
    "Qwen3 0.6B": (transformers.Qwen3Config, sizes(151936, 1024, 3072, 28, 16, 8, tie_word_embeddings=True), LINEARS),
    "Gemma 2B": (transformers.GemmaConfig, sizes(256000, 2048, 16384, 18, 8, 1), LINEARS),
    "Gemma 2 2B": (transformers.Gemma2Config, sizes(256000, 2304, 9216, 26, 8, 4), LINEARS),
    "Gemma 3 1B": (transformers.Gemma3TextConfig, sizes(262144, 1152, 6912, 26, 4, 1, sliding_window=512), LINEARS),
    "Phi-3 mini": (transformers.Phi3Config, sizes(32064, 3072, 8192, 32, 32, 32), FUSED),
    "Phi-4 mini": (transformers.Phi3Config, sizes(200064, 3072, 8192, 32, 24, 8, tie_word_embeddings=True), FUSED),
    "SmolLM3 3B": (transformers.SmolLM3Config, sizes(128256, 2048, 11008, 36, 16, 4), LINEARS),
    "OLMo 2 1B": (transformers.Olmo2Config, sizes(100352, 2048, 8192, 16, 16, 16), LINEARS),
    "Granite 3.3 2B": (transformers.GraniteConfig, sizes(49159, 2048, 8192, 40, 32, 8, tie_word_embeddings=True), LINEARS),
    "StableLM 2 1.6B": (transformers.StableLmConfig, sizes(100352, 2048, 5632, 24, 32, 32, use_qkv_bias=True), LINEARS),
    "StableLM 2 12B": (
        transformers.StableLmConfig,
        sizes(100352, 5120, 13824, 40, 32, 8, qk_layernorm=True, use_parallel_residual=True),
        LINEARS,
    ),
    "Qwen3 30B A3B": (
        transformers.Qwen3MoeConfig,
        sizes(151936, 2048, 6144, 48, 32, 4, head_dim=128, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768),
        ATTENTION,
    ),
    "Mixtral 8x7B": (transformers.MixtralConfig, sizes(32000, 4096, 14336, 32, 32, 8), ATTENTION),
    "Pythia 410M": (transformers.GPTNeoXConfig, sizes(50304, 1024, 4096, 24, 16, None), DENSE),
}
RANK = 8


def counted() -> list[dict]:
    found = []
    for name, (kind, settings, linears) in MODELS.items():
        config = kind(**settings)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
            weights = model.num_parameters()
            adapted = peft.get_peft_model(model, peft.LoraConfig(r=RANK, target_modules=list(linears)))
            adapter = sum(each.numel() for each in adapted.parameters() if each.requires_grad)
        fields = settings | dict(model_type=config.model_type)
        found.append(dict(name=name, config=fields, parameters=weights, rank=RANK, adapter_parameters=adapter))
    return found
