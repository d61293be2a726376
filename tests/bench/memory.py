#!/usr/bin/env python3
"""The memory estimate beside what runs take: families, sizes, adapters, weights, optimisers, lengths.

    python3 tests/bench/memory.py [--only TEXT] [--profile dev|release] [--no-write]

Each run is two steps in a process of its own (`examples/measured_run.rs`), on random weights that are written beside
the build folder. Measured is the largest resident size of the process, predicted is `engine::Footprint` with what
the process held before it loaded the model. The table goes to docs/performance.md. Needs 8 GB of memory, and no idle
machine.
"""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess

import common

LLAMA = dict(model_type="llama", tie_word_embeddings=True, rms_norm_eps=1e-5, max_position_embeddings=8192)
MODELS = {
    "Llama 8 M": LLAMA | dict(hidden_size=256, intermediate_size=768, num_hidden_layers=8, num_attention_heads=4,
                              num_key_value_heads=2, vocab_size=8000),
    "Llama 51 M": LLAMA | dict(hidden_size=512, intermediate_size=1408, num_hidden_layers=12, num_attention_heads=8,
                               num_key_value_heads=4, vocab_size=32000),
    "Llama 213 M": LLAMA | dict(hidden_size=1024, intermediate_size=2816, num_hidden_layers=16,
                                num_attention_heads=16, num_key_value_heads=4, vocab_size=32000),
    "Qwen3 101 M": LLAMA | dict(model_type="qwen3", hidden_size=640, intermediate_size=1920, num_hidden_layers=14,
                                num_attention_heads=10, num_key_value_heads=5, head_dim=64, vocab_size=50000),
    "Qwen2 338 M": LLAMA | dict(model_type="qwen2", hidden_size=1024, intermediate_size=2816, num_hidden_layers=20,
                                num_attention_heads=16, num_key_value_heads=8, vocab_size=100000),
    "Gemma 3 235 M": LLAMA | dict(model_type="gemma3_text", hidden_size=640, intermediate_size=2048,
                                  num_hidden_layers=12, num_attention_heads=4, num_key_value_heads=1, head_dim=256,
                                  vocab_size=262144, sliding_window=512, query_pre_attn_scalar=256),
    "Gemma 2 42 M": LLAMA | dict(model_type="gemma2", hidden_size=384, intermediate_size=1536, num_hidden_layers=8,
                                 num_attention_heads=4, num_key_value_heads=2, head_dim=96, vocab_size=64000,
                                 query_pre_attn_scalar=96, sliding_window=1024),
    "GPT-NeoX 70 M": dict(model_type="gpt_neox", hidden_size=512, intermediate_size=2048, num_hidden_layers=6,
                          num_attention_heads=8, vocab_size=50304, max_position_embeddings=4096,
                          tie_word_embeddings=False),
    "Phi-3 124 M": dict(model_type="phi3", hidden_size=768, intermediate_size=2048, num_hidden_layers=10,
                        num_attention_heads=12, num_key_value_heads=12, vocab_size=32064,
                        max_position_embeddings=4096, tie_word_embeddings=False),
}
ADAPTER = dict(r=8)

# Model, batch, tokens of a row, and the rest of the request.
RUNS = [
    ("Llama 8 M", 1, 128, dict(lora=ADAPTER)),
    ("Llama 8 M", 8, 512, dict(lora=ADAPTER)),
    ("Llama 8 M", 8, 512, dict(lora=ADAPTER, recompute=True)),
    ("Llama 8 M", 4, 256, dict()),
    ("Llama 51 M", 1, 128, dict(lora=ADAPTER, weights="nf4")),
    ("Llama 51 M", 2, 512, dict(lora=ADAPTER)),
    ("Llama 51 M", 2, 512, dict(lora=ADAPTER, weights="bfloat16", recompute=True)),
    ("Llama 51 M", 2, 512, dict(lora=ADAPTER | dict(dora=True))),
    ("Llama 51 M", 2, 512, dict(lora=ADAPTER | dict(dropout=0.05))),
    ("Llama 51 M", 2, 512, dict(lora=ADAPTER | dict(dora=True, dropout=0.05), recompute=True)),
    ("Llama 51 M", 2, 512, dict()),
    ("Llama 51 M", 2, 512, dict(optimizer="AdamW8bit")),
    ("Llama 51 M", 2, 512, dict(optimizer="SGD", recompute=True)),
    ("Llama 51 M", 2, 512, dict(optimizer="Adafactor")),
    ("Llama 51 M", 1, 4096, dict(lora=ADAPTER, recompute=True)),
    ("Llama 51 M", 1, 128, dict(lora=dict(r=64), evaluate=8)),
    ("Llama 213 M", 2, 512, dict(lora=ADAPTER)),
    ("Llama 213 M", 2, 512, dict(lora=ADAPTER, recompute=True)),
    ("Llama 213 M", 2, 512, dict(lora=ADAPTER, weights="nf4", recompute=True)),
    ("Llama 51 M", 1, 256, dict(lora=ADAPTER | dict(pissa=True))),
    ("Qwen3 101 M", 4, 256, dict(lora=dict(r=32), weights="int8")),
    ("Qwen3 101 M", 1, 2048, dict(lora=dict(r=32), weights="bfloat16", evaluate=1)),
    ("Qwen3 101 M", 2, 512, dict(optimizer="AdamW8bit", recompute=True)),
    ("Qwen2 338 M", 1, 512, dict(lora=ADAPTER, weights="bfloat16", answer=16)),
    ("Qwen2 338 M", 1, 512, dict(lora=dict(r=16), weights="nf4", recompute=True)),
    ("Gemma 3 235 M", 1, 512, dict(lora=ADAPTER, weights="bfloat16")),
    ("Gemma 3 235 M", 2, 512, dict(lora=ADAPTER, weights="int8", recompute=True)),
    ("Gemma 3 235 M", 1, 256, dict(optimizer="SGD")),
    ("Gemma 2 42 M", 2, 1024, dict(lora=ADAPTER)),
    ("GPT-NeoX 70 M", 2, 512, dict(lora=ADAPTER)),
    ("GPT-NeoX 70 M", 1, 1024, dict(optimizer="Lion")),
    ("Phi-3 124 M", 2, 512, dict(lora=ADAPTER, weights="nf4")),
    ("Phi-3 124 M", 1, 512, dict(lora=ADAPTER | dict(dora=True), weights="float16", recompute=True)),
]


def words(request: dict) -> str:
    lora = request.get("lora")
    parts = [f"full, {request.get('optimizer', 'AdamW')}"]
    if lora:
        kind = "DoRA" if lora.get("dora") else "PiSSA" if lora.get("pissa") else "LoRA"
        parts = [f"{kind} {lora['r']}"] + (["dropout"] if lora.get("dropout") else [])
        parts.append(request.get("weights", "float32"))
    parts += ["recompute"] if request.get("recompute") else []
    parts += ["evaluation"] if request.get("evaluate") else []
    parts += ["answer"] if request.get("answer") else []
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only runs whose description contains this; nothing is written")
    parser.add_argument("--profile", choices=["dev", "release"], default="dev", help="cargo profile (default %(default)s)")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    parser.add_argument("--program", type=pathlib.Path, help="the example, built already")
    parser.add_argument("--folder", type=pathlib.Path, help="where the random models go (default: beside the build)")
    parser.add_argument("--raw", type=pathlib.Path, help="write what the runs said to this file")
    options = parser.parse_args()
    example = options.program or common.build(options.profile)
    folder = options.folder or common.target_folder() / "bench" / "memory"
    rows, raw, errors = [], [], []
    for name, batch, length, request in RUNS:
        described = f"{name}: {words(request)}, {batch} × {length}"
        if options.only not in described:
            continue
        model = folder / name.replace(" ", "-")
        config = json.dumps(MODELS[name])
        # Another configuration of an earlier version is not the model that is meant.
        stamp = model / "asked.json"
        if not stamp.exists() or stamp.read_text() != config:
            subprocess.check_call([example, "prepare", model, config])
            stamp.write_text(config)
        run = common.measure([example, "run", model, json.dumps(request | dict(batch=batch, length=length))])
        error = run["predicted"] / run["peak_memory"] - 1
        errors.append(error)
        raw.append({"name": described} | run)
        parts = run["predicted_parts"]
        print(f"{described}: predicted {run['predicted'] / 1e6:.0f} MB, measured {run['peak_memory'] / 1e6:.0f} MB, "
              f"{error:+.1%}; heap {run['peak_heap'] / 1e6:.0f} MB, loading {run['peak_loading'] / 1e6:.0f} MB", flush=True)
        trained = parts["Adapter"] + parts["Gradients"] + parts["Optimiser"]
        passing = parts["Block at work"] + parts["Logits"] + parts["Cache"] + parts["Copies"]
        rest = run["predicted"] - parts["Weights"] - trained - parts["Activations"] - passing
        cells = [parts["Weights"], trained, parts["Activations"], passing, rest, run["predicted"], run["peak_memory"]]
        cells = " | ".join(f"{cell / 1e6:.0f}" for cell in cells)
        rows.append(f"| {name} | {words(request)} | {batch} × {length} | {cells} | {100 * error:+.1f} |")
    if options.raw:
        options.raw.write_text(json.dumps(raw, indent=1))
    sizes = [abs(error) for error in errors]
    text = "\n".join(
        [
            f"{len(rows)} runs, MB. Error of the prediction: median {100 * statistics.median(sizes):.1f} %, "
            f"worst {100 * max(sizes):.1f} %.",
            "",
            "| model | run | batch × tokens | weights | adapter, gradients, optimiser | activations kept "
            "| block, logits, cache or copy | kernels, allocator, program | predicted | measured | error, % |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"{common.machine()}. Commit {common.commit()}, {datetime.date.today()}.",
        ]
    )
    print(f"\n{text}")
    if not options.no_write and not options.only:
        common.write("memory", text)


if __name__ == "__main__":
    main()
