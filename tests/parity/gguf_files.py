"""Writes GGUF files of tiny models and records what transformers computes on the same weights.

    LLAMA_CPP=FOLDER python tests/parity/gguf_files.py

FOLDER is a checkout of llama.cpp: its own converter writes the files of the families, so that what it does to
weights and names is done here too (version 0.3.36 of the llama-cpp-python source package carries one under
vendor/llama.cpp). The files of the quantisation types are written with its `gguf` package. Needs the versions in
requirements.txt besides.
"""

import dataclasses
import json
import logging
import os
import pathlib
import shutil
import sys
import tempfile

import numpy
import safetensors.torch
import torch
import transformers

LLAMA_CPP = pathlib.Path(os.environ["LLAMA_CPP"])
sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]

import gguf
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

from families import FAMILIES, VOCABULARY, Family, randomised
from make_fixtures import logits_of, samples

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "gguf"
DEFAULT = dict(rope_type="default", rope_theta=10000.0)

# What llama.cpp's files cannot say is left out of a family's checkpoint here; what is left is changed nowhere else.
CHANGES = {
    # The converter looks for the original length here, and takes 8192 where it finds none.
    "llama3": dict(original_max_position_embeddings=16),
    "mistral": dict(sliding_window=None),
    "gemma": dict(rope_parameters=DEFAULT),
    "gemma2": dict(rope_parameters=DEFAULT, query_pre_attn_scalar=12),
    "gemma3": dict(query_pre_attn_scalar=12, layer_types=["sliding_attention", "sliding_attention"]),
    "smollm3": dict(no_rope_layers=[1, 1], use_sliding_window=False, layer_types=["full_attention"] * 2),
    "olmo2": dict(
        rope_parameters=dict(
            rope_type="yarn",
            rope_theta=1000.0,
            factor=4.0,
            original_max_position_embeddings=16,
            beta_fast=1.5,
            beta_slow=0.1,
        )
    ),
    "granite": dict(rope_parameters=dict(rope_type="default", rope_theta=100.0), max_position_embeddings=64),
    "stablelm": dict(rope_parameters=DEFAULT | dict(partial_rotary_factor=0.5)),
    "stablelm-parallel": dict(rope_parameters=DEFAULT | dict(partial_rotary_factor=0.25)),
    "gpt-neox": dict(rope_parameters=DEFAULT | dict(partial_rotary_factor=0.5)),
    "gpt-neox-sequential": dict(rope_parameters=DEFAULT | dict(partial_rotary_factor=1.0), hidden_act="gelu"),
    # Experts in every block, weighed by what sums to one: the converter has no place for a dense block, and llama.cpp
    # never weighs otherwise.
    "qwen3-moe": dict(decoder_sparse_step=1, mlp_only_layers=[], norm_topk_prob=True),
    "mixtral": dict(sliding_window=None),
}
STORED = {torch.float32: "ALL_F32", torch.float16: "MOSTLY_F16", torch.bfloat16: "MOSTLY_BF16"}


def convert(folder: pathlib.Path, file: pathlib.Path, stored: torch.dtype) -> None:
    """What convert_hf_to_gguf.py does, without a tokenizer: these models speak in numbers."""
    hparams = ModelBase.load_hparams(folder, False)
    kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT), mmproj=False)
    writer = kind(folder, getattr(gguf.LlamaFileType, STORED[stored]), file, eager=True)
    writer.set_vocab = writer._set_vocab_none
    # GPT-NeoX's converter knows the name from before transformers 5.
    share = hparams["rope_parameters"].get("partial_rotary_factor", 1.0)
    writer.hparams.setdefault("rotary_pct", share)
    modify = writer.modify_tensors

    def followed(*tensor):
        # StableLM's returns, from a generator, the one that stacks the norms of heads.
        more = yield from modify(*tensor)
        yield from more or ()

    writer.modify_tensors = followed
    writer.write()


def changed(family: Family) -> Family:
    changes = CHANGES.get(family.name, {})
    config = type(family.config)(**(family.config.to_dict() | changes))
    # The two largest are stored smaller.
    stored = torch.float16 if family.name in ("llama3", "qwen2") else family.dtype
    return dataclasses.replace(family, config=config, dtype=stored)


def of_family(family: Family, expected: dict[str, torch.Tensor]) -> None:
    variant = changed(family)
    model = randomised(variant)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        stored = randomised(variant).to(variant.dtype)
        stored.config.dtype = variant.dtype
        stored.save_pretrained(folder)
        # Gemma 3's converter counts the tokens, of which these models have as many as rows.
        tokens = {str(token): token for token in range(VOCABULARY)}
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": tokens}, "added_tokens": []}))
        with torch.inference_mode():
            convert(folder, FIXTURES / f"{family.name}.gguf", variant.dtype)
    keep(expected, family.name, model, samples(family.seed + 100, [24])[0]["tokens"])


def keep(expected: dict[str, torch.Tensor], name: str, model: torch.nn.Module, tokens: list[int]) -> None:
    expected[name] = logits_of(model, {"tokens": tokens}).detach().contiguous()
    expected[f"{name}.tokens"] = torch.tensor(tokens)


# Types whose blocks hold 32 elements, and those whose blocks hold 256.
SMALL = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
# Where a block's f16 scales lie, the mean of the codes, and whether a minimum is subtracted.
LARGE = {
    "Q2_K": (80, 1.5, True),
    "Q3_K": (108, 0.0, False),
    "Q4_K": (0, 7.5, True),
    "Q5_K": (0, 15.5, True),
    "Q6_K": (208, 0.0, False),
}


def blocks(kind: str, rows: int, columns: int, deviation: float, draw: numpy.random.Generator) -> numpy.ndarray:
    """Valid blocks of a type, as bytes (rows, bytes of a row), whose numbers have about this deviation."""
    number = gguf.GGMLQuantizationType[kind]
    if kind in SMALL:
        values = draw.standard_normal((rows, columns), dtype=numpy.float32) * deviation
        return gguf.quants.quantize(values, number)
    elements, width = gguf.GGML_QUANT_SIZES[number]
    place, mean, subtracted = LARGE[kind]
    made = draw.integers(0, 256, (rows * columns // elements, width), dtype=numpy.uint8)

    def scale(by: numpy.ndarray) -> None:
        made[:, place : place + 2] = by.astype("<f2")[:, None].view(numpy.uint8)
        if subtracted:
            made[:, place + 2 : place + 4] = (by * mean).astype("<f2")[:, None].view(numpy.uint8)

    scale(numpy.ones(len(made)))
    scale(deviation / gguf.quants.dequantize(made, number).std(1) * draw.uniform(0.5, 1.5, len(made)))
    return made.reshape(rows, -1)


# What a file of one type is of: its architecture, and its class's settings besides those of all.
MODELS = {
    "": (gguf.MODEL_ARCH.LLAMA, transformers.LlamaConfig, dict(intermediate_size=32)),
    "mixtral-": (
        gguf.MODEL_ARCH.LLAMA,
        transformers.MixtralConfig,
        dict(intermediate_size=32, num_local_experts=3, num_experts_per_tok=2, sliding_window=None),
    ),
    "qwen3-moe-": (
        gguf.MODEL_ARCH.QWEN3MOE,
        transformers.Qwen3MoeConfig,
        dict(
            intermediate_size=64,  # of no matrix
            moe_intermediate_size=32,
            num_experts=3,
            num_experts_per_tok=2,
            decoder_sparse_step=1,
            mlp_only_layers=[],
            norm_topk_prob=True,
        ),
    ),
}


def of_type(model_name: str, kind: str, expected: dict[str, torch.Tensor]) -> None:
    """A model whose matrices are of one type, and where their rows are too short for it, of Q8_0."""
    draw = numpy.random.default_rng(sum(kind.encode()))
    hidden, heads, groups, width, vocabulary = (256 if kind in LARGE else 64), 2, 1, 16, 32
    architecture, configuration, settings = MODELS[model_name]
    config = configuration(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=width,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=100.0),
        bos_token_id=None,
        eos_token_id=None,
        **settings,
    )
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    writer = gguf.GGUFWriter(FIXTURES / f"{model_name}{kind}.gguf", gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100.0)
    writer.add_tokenizer_model("none")
    if model_name:
        writer.add_expert_count(3)
        writer.add_expert_used_count(2)
    if "moe_intermediate_size" in settings:
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    names = gguf.get_tensor_name_map(architecture, 1)

    def matrix(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Draws and writes a matrix, or one for each expert in a stack."""
        *stack, rows, columns = shape
        used = kind if columns % 256 == 0 or kind in SMALL else "Q8_0"
        number = gguf.GGMLQuantizationType[used]
        made = blocks(used, numpy.prod([*stack, rows]), columns, columns**-0.5, draw).reshape(*stack, rows, -1)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), made, raw_dtype=number)
        return torch.from_numpy(gguf.quants.dequantize(made, number))

    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 or name.endswith("mlp.gate.weight"):
            # A norm, or the router, which nobody quantises.
            values = (
                draw.uniform(0.5, 1.5, parameter.shape)
                if parameter.dim() == 1
                else draw.standard_normal(parameter.shape) * hidden**-0.5
            ).astype(numpy.float32)
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
            parameter.data = torch.from_numpy(values)
            continue
        if name.endswith(".experts.gate_up_proj"):
            count, rows, columns = parameter.shape
            stem = name.removesuffix("gate_up_proj")
            pair = [matrix(f"{stem}{part}_proj.weight", (count, rows // 2, columns)) for part in ("gate", "up")]
            parameter.data = torch.cat(pair, 1)
            continue
        values = matrix(name if name.endswith(".weight") else f"{name}.weight", parameter.shape)
        if architecture == gguf.MODEL_ARCH.LLAMA and name.endswith(("q_proj.weight", "k_proj.weight")):
            # The file has the two halves of each head interleaved.
            values = values.reshape(-1, width // 2, 2, hidden).swapaxes(1, 2).reshape(parameter.shape)
        parameter.data = values.contiguous()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    keep(expected, f"{model_name}{kind}", model, [token % vocabulary for token in samples(1, [24])[0]["tokens"]])


def apart(name: str) -> None:
    """The file as llama.cpp's converter wrote it until April 2024: a tensor for each matrix of each expert."""
    reader = gguf.GGUFReader(FIXTURES / f"{name}.gguf")
    writer = gguf.GGUFWriter(FIXTURES / f"{name}-apart.gguf", "llama")
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            writer.add_key_value(field.name, field.contents(), field.types[0])
    for tensor in reader.tensors:
        stem, stacked, suffix = tensor.name.partition("_exps.")
        if stacked:
            for expert, each in enumerate(tensor.data):
                writer.add_tensor(f"{stem}.{expert}.{suffix}", each, raw_dtype=tensor.tensor_type)
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir(parents=True)
    expected: dict[str, torch.Tensor] = {}
    for family in FAMILIES:
        of_family(family, expected)
    for model in MODELS:
        for kind in [*SMALL, *LARGE]:
            of_type(model, kind, expected)
    for kind in ("Q4_0", "Q4_K"):
        apart(f"mixtral-{kind}")
    safetensors.torch.save_file(expected, FIXTURES / "expected.safetensors")
    for file in sorted(FIXTURES.glob("*.gguf")):
        logits = expected[file.stem.removesuffix("-apart")]
        print(f"{file.stem}: logits up to {logits.abs().max():.3f}, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
