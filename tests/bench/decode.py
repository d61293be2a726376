#!/usr/bin/env python3
"""Reading a prompt and generating, Attune beside llama.cpp: same weights, same tokens, same machine.

    python3 tests/bench/decode.py [--rounds N] [--prompt N] [--new N] [--types F32 Q8_0 Q4_K_M] [--no-write]

The model is the random one of bench.py, as a GGUF file that llama.cpp itself quantises; both sides read that file.
They run in turn, each in a process of its own, twice within it: the first pays for cold memory and is not counted.
llama.cpp is built for this processor, with everything it can use, into a Python environment beside the build folder.
The table goes to docs/performance.md, between its markers.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time
import venv

import common

HERE = pathlib.Path(__file__).resolve().parent
PINNED = {"llama-cpp-python": "0.3.36"}
# What llama.cpp is built with: all that this processor has, and no vision.
BUILD = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"
THREADS = os.cpu_count() or 1
# Both sides read a prompt in blocks of this many tokens.
BLOCK = 512


def llama_python(target: pathlib.Path) -> pathlib.Path:
    """A Python with llama.cpp; made on first use, in about ten minutes."""
    folder = target / "llama.cpp"
    python = folder / "bin" / "python"
    probe = f"from importlib.metadata import version as v; assert all(v(n) == w for n, w in {PINNED!r}.items())"
    if not python.exists() or subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
        packages = [f"{name}=={version}" for name, version in PINNED.items()]
        print(f"Building {' '.join(packages)} into {folder}", flush=True)
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.check_call(
            [python, "-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python", *packages],
            env=os.environ | {"CMAKE_ARGS": BUILD},
        )
    return python


def write_gguf(folder: pathlib.Path, file: pathlib.Path) -> None:
    """The model of peer.py as llama.cpp's converter would write it."""
    import gguf
    import safetensors.numpy
    from peer import MODEL

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(MODEL["max_position_embeddings"])
    writer.add_embedding_length(MODEL["hidden_size"])
    writer.add_block_count(MODEL["num_hidden_layers"])
    writer.add_feed_forward_length(MODEL["intermediate_size"])
    writer.add_head_count(MODEL["num_attention_heads"])
    writer.add_head_count_kv(MODEL["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(MODEL["head_dim"])
    writer.add_vocab_size(MODEL["vocab_size"])
    writer.add_tokenizer_model("none")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, MODEL["num_hidden_layers"])
    heads = {"q_proj": MODEL["num_attention_heads"], "k_proj": MODEL["num_key_value_heads"]}
    for name, tensor in safetensors.numpy.load_file(folder / "model.safetensors").items():
        for module, count in heads.items():
            if module in name:
                # Its rotation turns neighbours, not halves of a head.
                shape = tensor.shape
                tensor = tensor.reshape(count, 2, shape[0] // count // 2, shape[1]).swapaxes(1, 2).reshape(shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source: pathlib.Path, file: pathlib.Path, kind: str) -> None:
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    settings.nthread = THREADS
    if llama_cpp.llama_model_quantize(str(source).encode(), str(file).encode(), settings) != 0:
        sys.exit(f"error: llama.cpp did not write {file}")


def run(file: pathlib.Path, prompt: int, new: int) -> None:
    """llama.cpp's side, by its C functions."""
    import llama_cpp
    import numpy

    # It reports on its standard error, hundreds of lines a run.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = prompt + new + 8
    settings.n_batch = settings.n_ubatch = BLOCK
    settings.n_threads = settings.n_threads_batch = THREADS
    # Its own default for the cache is f16; ours is f32, which costs us, not it.
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    # examples/decode.rs has this formula too.
    tokens = [(at * 31_337 + at * at * 17) % size for at in range(prompt)]

    def moment() -> numpy.ndarray:
        return numpy.array([time.perf_counter(), time.process_time()])

    runs = []
    for _ in range(2):
        context = llama_cpp.llama_init_from_model(model, settings)

        def feed(some: list[int]) -> int:
            array = (llama_cpp.llama_token * len(some))(*some)
            if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(some))) != 0:
                sys.exit("error: llama_decode failed")
            scores = llama_cpp.llama_get_logits_ith(context, -1)
            return int(numpy.ctypeslib.as_array(scores, shape=(size,)).argmax())

        start = moment()
        for at in range(0, prompt, BLOCK):
            token = feed(tokens[at : at + BLOCK])
        first = moment()
        for _ in range(new):
            token = feed([token])
        last = moment()
        runs.append({"prefill": (first - start).tolist(), "decode": (last - first).tolist(), "pieces": new})
        llama_cpp.llama_free(context)
    versions = {name: importlib.metadata.version(name) for name in PINNED}
    features = llama_cpp.llama_print_system_info().decode()
    print(json.dumps({"runs": runs, "prompt": prompt, "new": new, "versions": versions, "features": features}))


def speeds(command: list[str | pathlib.Path]) -> dict[str, float]:
    """Tokens per second and per CPU second of a process's second run."""
    said = common.measure(command)
    warm = said["runs"][-1]
    return {
        "prompt": said["prompt"] / warm["prefill"][0],
        "prompt, per CPU second": said["prompt"] / warm["prefill"][1],
        "answer": warm["pieces"] / warm["decode"][0],
        "answer, per CPU second": warm["pieces"] / warm["decode"][1],
        "peak memory, GB": said["peak_memory"] / 1e9,
    }


def main() -> None:
    from bench import peer_python

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (default %(default)s)")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt (default %(default)s)")
    parser.add_argument("--new", type=int, default=64, help="tokens generated (default %(default)s)")
    parser.add_argument("--types", nargs="+", default=["F32", "Q8_0", "Q4_K_M"], help="default: all three")
    parser.add_argument("--profile", choices=["dev", "release"], default="dev", help="cargo profile (default %(default)s)")
    parser.add_argument("--program", type=pathlib.Path, help="the example, built already")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    options = parser.parse_args()

    target = common.target_folder()
    reference, llama = peer_python(target), llama_python(target)
    example = options.program or common.build(options.profile, "decode")
    folder = target / "bench" / "m212"
    if not (folder / "adapter" / "adapter_model.safetensors").exists():
        subprocess.check_call([reference, HERE / "peer.py", "prepare", folder])
    files = {kind: folder / f"{kind}.gguf" for kind in ["F32", *options.types]}
    for kind, file in files.items():
        if not file.exists() and kind == "F32":
            subprocess.check_call([reference, __file__, "write", folder, file])
        elif not file.exists():
            subprocess.check_call([llama, __file__, "quantise", files["F32"], file, kind], stderr=subprocess.DEVNULL)

    load = os.getloadavg()[0]
    sizes = [str(options.prompt), str(options.new)]
    said = json.loads(subprocess.check_output(
        [llama, __file__, "run", files["F32"], "8", "1"], stderr=subprocess.DEVNULL, text=True).splitlines()[-1])
    lines = [
        f"A prompt of {options.prompt} tokens read, then {options.new} tokens generated one by one, by the model of the "
        f"steps above, as GGUF files that llama.cpp quantised. Tokens per second, median (least–most) of {options.rounds} "
        f"rounds, {THREADS} threads. Attune: {options.profile} profile. {common.machine()}; load average {load:.1f} at "
        f"the start. llama.cpp of {', '.join(f'{name} {version}' for name, version in said['versions'].items())} "
        f"({BUILD}; {said['features'].strip()}). Commit {common.commit()}, {datetime.date.today()}.",
        "",
        "| weights | | Attune | llama.cpp | Attune ÷ llama.cpp |",
        "|---|---|---|---|---|",
    ]
    for kind in options.types:
        sides = {
            "Attune": [example, files[kind], *sizes, "stored"],
            "llama.cpp": [llama, __file__, "run", files[kind], *sizes],
        }
        rounds = []
        for number in range(options.rounds):
            order = list(sides) if number % 2 == 0 else list(reversed(sides))
            rounds.append({name: speeds(sides[name]) for name in order})
        for what in rounds[0]["Attune"]:
            ours, peers = ([each[name][what] for each in rounds] for name in sides)
            ratios = [a / b for a, b in zip(ours, peers, strict=True)]
            digits = 2 if "GB" in what else 1
            cells = (common.spread(ours, digits), common.spread(peers, digits), common.spread(ratios, 2))
            lines.append(f"| {kind} | {what} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    if not options.no_write:
        common.write("decode", "\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_gguf(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    elif sys.argv[1:2] == ["quantise"]:
        quantise(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4])
    elif sys.argv[1:2] == ["run"]:
        run(pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
