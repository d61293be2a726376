#!/usr/bin/env python3
"""LoRA steps, Attune beside transformers + PEFT: same model, same adapter, same tokens, same machine.

    python3 tests/bench/bench.py [--quick] [--rounds N] [--steps N] [--profile dev|release] [--no-write]

Three parts: rows of 512 tokens, with and without recomputing activations, in float32 and smaller; short rows of the
lengths of real ones, packed and padded; and what each of Attune's tricks buys. Programs run in turn, each in a
process of its own, so that neither inherits the other's warm memory and all meet the same neighbours. Losses must
agree step by step, or the run is not a comparison and fails. The tables go to docs/performance.md, between their
markers. Needs cargo, Python with venv, 7 GB of memory; 12 minutes on two idle cores.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import venv

import common

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE.parent / "parity" / "requirements.txt"
LENGTHS = HERE / "lengths.json"
# Losses of two correct float32 programs: the same to five digits. Fewer bits in products or weights: to two.
EXACT, ROUNDED = 1e-4, 3e-2


@dataclasses.dataclass
class Side:
    """One of the programs that are compared."""

    name: str
    request: dict
    environment: dict = dataclasses.field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return self.name.startswith("Attune")

    @property
    def exact(self) -> bool:
        """Whether it computes in float32 with the weights as they are."""
        rounded = self.request.get("autocast") or self.request.get("mixed_precision")
        return not rounded and self.request.get("weights", "float32") == "float32"


@dataclasses.dataclass
class Run:
    """One process: its steps after the first, which pays for cold memory."""

    losses: list[float]
    seconds: list[float]
    cpu_seconds: list[float]
    tokens: list[int]
    threads: int
    peak_memory: int
    versions: dict[str, str]

    @property
    def tokens_per_second(self) -> float:
        return sum(self.tokens[1:]) / sum(self.seconds[1:])

    @property
    def tokens_per_cpu_second(self) -> float:
        return sum(self.tokens[1:]) / sum(self.cpu_seconds[1:])


class Programs:
    """Where both programs and the model lie."""

    def __init__(self, profile: str, example: pathlib.Path | None) -> None:
        target = common.target_folder()
        self.python = peer_python(target)
        self.example = example or common.build(profile)
        self.model = target / "bench" / "m212"
        if not (self.model / "adapter" / "adapter_model.safetensors").exists():
            print(f"Writing the random model to {self.model}", flush=True)
            subprocess.check_call([self.python, HERE / "peer.py", "prepare", self.model])

    def run(self, side: Side) -> Run:
        if side.ours:
            request = side.request | {"adapter": str(self.model / "adapter")}
            command = [self.example, "run", self.model, json.dumps(request)]
        else:
            command = [self.python, HERE / "peer.py", "run", self.model, json.dumps(side.request)]
        said = common.measure(command, side.environment)
        # A program may say more than is compared here.
        return Run(**{field.name: said[field.name] for field in dataclasses.fields(Run)})


def peer_python(target: pathlib.Path) -> pathlib.Path:
    """A Python with the pinned reference implementations, beside the build folder; made on first use."""
    folder = target / "python"
    python = pathlib.Path(os.environ.get("ATTUNE_PYTHON", folder / "bin" / "python"))
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    probe = f"from importlib.metadata import version as v; assert all(v(n) == w for n, w in {pinned!r}.items())"
    if not python.exists() or subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
        print(f"Installing {', '.join(f'{n} {v}' for n, v in pinned.items())} into {folder}", flush=True)
        python = folder / "bin" / "python"
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.check_call([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS])
    return python


def check_same_work(runs: dict[str, Run], sides: list[Side]) -> None:
    """Every side's losses beside those of the first peer in float32."""
    reference = next(side for side in sides if not side.ours and side.exact)
    for side in sides:
        tolerance = EXACT if side.exact else ROUNDED
        pairs = zip(runs[side.name].losses, runs[reference.name].losses, strict=True)
        for step, (a, b) in enumerate(pairs):
            if not abs(a - b) <= tolerance * abs(b):
                sys.exit(f"error: the loss of step {step} is {a} for {side.name} and {b} for {reference.name}: "
                         "not the same work")


def interleaved(programs: Programs, sides: list[Side], rounds: int) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {side.name: [] for side in sides}
    for number in range(rounds):
        # The one that goes first changes, so that a slow drift of the machine favours none.
        for side in sides if number % 2 == 0 else reversed(sides):
            run = programs.run(side)
            found[side.name].append(run)
            print(f"round {number + 1}: {side.name}: {run.tokens_per_second:.0f} tokens/s, "
                  f"{run.tokens_per_cpu_second:.1f} per CPU second, {run.peak_memory / 1e9:.2f} GB", flush=True)
    return found


def rows_of_table(found: dict[str, list[Run]]) -> list[str]:
    def row(name: str, runs: list[Run]) -> str:
        cells = (
            common.spread([run.tokens_per_second for run in runs], 0),
            common.spread([run.tokens_per_cpu_second for run in runs], 1),
            common.spread([run.peak_memory / 1e9 for run in runs], 2),
        )
        return f"| {name} | {' | '.join(cells)} |"

    head = ["| | tokens/s | tokens per CPU second | peak memory, GB |", "|---|---|---|---|"]
    return head + [row(name, runs) for name, runs in found.items()]


def ratios(found: dict[str, list[Run]]) -> list[str]:
    """Each of ours divided by each peer, round by round."""
    peers = [name for name in found if not name.startswith("Attune")]

    def cell(ours: str, peer: str) -> str:
        pairs = list(zip(found[ours], found[peer], strict=True))
        speed = common.spread([a.tokens_per_second / b.tokens_per_second for a, b in pairs], 2)
        memory = common.spread([a.peak_memory / b.peak_memory for a, b in pairs], 2)
        return f"{speed}; {memory}"

    rows = [
        f"| {ours} | {' | '.join(cell(ours, peer) for peer in peers)} |" for ours in found if ours.startswith("Attune")
    ]
    head = f"| tokens/s; memory | {' | '.join(f'÷ {peer}' for peer in peers)} |"
    return [head, "|---" * (len(peers) + 1) + "|", *rows]


def whole_rows(programs: Programs, rounds: int, steps: int, length: int) -> list[str]:
    request = dict(steps=steps, batch=2, length=length)
    sides = [
        Side("Attune float32", request),
        Side("Attune float32, recompute", request | dict(recompute=True)),
        Side("Attune nf4 weights", request | dict(weights="nf4")),
        Side("Attune bf16 products", request | dict(mixed_precision=True)),
        Side("PEFT float32", request),
        Side("PEFT float32, checkpointing", request | dict(recompute=True)),
        Side("PEFT bf16 autocast", request | dict(autocast=True)),
        Side("PEFT bf16 autocast, checkpointing", request | dict(autocast=True, recompute=True)),
    ]
    found = interleaved(programs, sides, rounds)
    for number in range(rounds):
        check_same_work({name: runs[number] for name, runs in found.items()}, sides)
    first = found["PEFT float32"][0]
    return [
        f"### Rows of {length} tokens",
        "",
        f"2 × {length} tokens a step. Median (least–most) of {rounds} rounds, {steps - 1} steps each after one to warm up.",
        f"In float32 all losses agree to {EXACT:g} at every step ({', '.join(f'{loss:.4f}' for loss in first.losses)}).",
        "",
        *rows_of_table(found),
        "",
        "Round by round:",
        "",
        *ratios(found),
    ]


def short_rows(programs: Programs, rounds: int, steps: int, batch: int) -> list[str]:
    capacity = 1024
    lengths = json.loads(LENGTHS.read_text())["lengths"]
    vocabulary = 32_000
    rows = [[(row * 7919 + at * 31_337 + at * at * 17) % vocabulary for at in range(length)]
            for row, length in enumerate(lengths)]
    file = programs.model / "rows.json"
    file.write_text(json.dumps(rows))
    request, packed = dict(steps=steps, batch=batch, rows=str(file)), dict(batch=1, length=capacity, packing=True)
    sides = [
        Side("Attune float32, packed", request | packed),
        Side("Attune bf16 products, packed", request | packed | dict(mixed_precision=True)),
        Side(f"Attune float32, the same {batch} rows a step", request),
        Side("PEFT float32, padded", request),
        Side("PEFT bf16 autocast, padded", request | dict(autocast=True)),
    ]
    found = interleaved(programs, sides, rounds)
    for number in range(rounds):
        # Packing chooses other rows for a step; whole batches are the same work.
        check_same_work({name: runs[number] for name, runs in found.items()}, sides[2:])
    taken = lengths[: batch * steps]
    padded = sum(max(taken[at : at + batch]) * batch for at in range(0, len(taken), batch))
    return [
        "### Short rows",
        "",
        f"Rows of the lengths of real ones ({LENGTHS.name}: {json.loads(LENGTHS.read_text())['what']}), in their order; "
        f"counted are their own tokens. The peer pads each batch of {batch} to its longest, which makes "
        f"{padded / sum(taken) - 1:.0%} more tokens; packed rows hold up to {capacity}. {rounds} rounds.",
        "",
        *rows_of_table(found),
        "",
        *ratios(found),
    ]


def ladder(programs: Programs, steps: int, length: int) -> list[str]:
    request = dict(steps=steps, batch=2, length=length)
    crate = {"ATTUNE_MATRIX_KERNEL": "reference"}
    rungs = [
        Side("Attune: products of the `gemm` crate, adapters beside the layers, mimalloc for all blocks", request,
             crate | {"ATTUNE_ALLOCATOR": "mimalloc"}),
        Side("Attune: large blocks from a pool", request, crate),
        Side("Attune: own products, adapters inside", request),
        Side("Attune: weights in bfloat16", request | dict(weights="bfloat16")),
        Side("Attune: weights in nf4", request | dict(weights="nf4")),
        Side("Attune: nf4, activations recomputed", request | dict(weights="nf4", recompute=True)),
    ]
    found = {side.name.removeprefix("Attune: "): runs for side, runs in
             zip(rungs, interleaved(programs, rungs, 1).values(), strict=True)}
    return [
        "### What each trick buys",
        "",
        f"2 × {length} tokens a step; one process each, {steps - 1} steps after one to warm up.",
        "",
        *rows_of_table(found),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of two short steps, nothing written")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (default %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps per run, the first not timed (default %(default)s)")
    parser.add_argument("--profile", choices=["dev", "release"], default="dev", help="cargo profile (default %(default)s)")
    parser.add_argument("--no-write", action="store_true", help="print the tables only")
    parser.add_argument("--program", type=pathlib.Path, help="the example, built already")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.no_write = 1, 2, True
    if options.steps < 2 or options.rounds < 1:
        parser.error("at least one round of two steps: the first step is not timed")

    length, batch = (64, 2) if options.quick else (512, 8)
    programs = Programs(options.profile, options.program)
    load = os.getloadavg()[0]
    versions = programs.run(Side("PEFT", dict(steps=1, batch=1, length=8))).versions
    parts = [
        [
            "LoRA steps: random Llama of 213 M parameters (16 layers, hidden 1024), r 8 on all seven linears, AdamW.",
            f"Attune: {options.profile} profile. {common.machine()}; load average {load:.1f} at the start. "
            f"{', '.join(f'{name} {version}' for name, version in versions.items())}. "
            f"Commit {common.commit()}, {datetime.date.today()}.",
        ],
        whole_rows(programs, options.rounds, options.steps, length),
        short_rows(programs, min(options.rounds, 2), options.steps, batch),
        ladder(programs, options.steps, length),
    ]
    text = "\n\n".join("\n".join(part) for part in parts)
    print(f"\n{text}")
    if not options.no_write:
        common.write("bench", text)


if __name__ == "__main__":
    main()
