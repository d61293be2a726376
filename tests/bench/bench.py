#!/usr/bin/env python3
"""One LoRA step, Attune beside transformers + PEFT: same model, same adapter, same tokens, same machine.

    python3 tests/bench/bench.py [--quick] [--rounds N] [--steps N] [--profile dev|release] [--no-write]

The two run in turn, each in a process of its own, so that neither inherits the other's warm memory and both meet
the same neighbours. The losses must agree step by step, or the run is not a comparison and fails.
The table goes to docs/performance.md, between its markers. Needs cargo, Python with venv, 7 GB of memory.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE.parent / "parity" / "requirements.txt"
REPORT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
# Losses of two correct float32 programs: the same to five digits.
TOLERANCE = 1e-4


@dataclasses.dataclass
class Run:
    """One process: its steps after the first, which pays for cold memory."""

    losses: list[float]
    seconds: list[float]
    cpu_seconds: list[float]
    tokens: int
    threads: int
    peak_memory: int
    versions: dict[str, str]

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / statistics.median(self.seconds[1:])

    @property
    def tokens_per_cpu_second(self) -> float:
        return self.tokens / statistics.median(self.cpu_seconds[1:])


def measure(command: list[str | pathlib.Path]) -> Run:
    """Runs a program that prints its steps as one JSON line; the kernel says what it held in memory at most."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {command[0]} ended with {process.returncode}")
    # macOS counts bytes, Linux kilobytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # A program may say more than is compared here.
    said = json.loads(output.splitlines()[-1]) | {"peak_memory": peak}
    return Run(**{field.name: said[field.name] for field in dataclasses.fields(Run)})


def target_folder() -> pathlib.Path:
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT)
    return pathlib.Path(json.loads(metadata)["target_directory"])


def peer_python(target: pathlib.Path) -> pathlib.Path:
    """A Python with the pinned reference implementations, beside the build folder; made on first use."""
    folder = target / "python"
    python = folder / "bin" / "python"
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    probe = f"from importlib.metadata import version as v; assert all(v(n) == w for n, w in {pinned!r}.items())"
    if not python.exists() or subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
        print(f"Installing {', '.join(f'{n} {v}' for n, v in pinned.items())} into {folder}", flush=True)
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.check_call([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS])
    return python


def build(profile: str) -> pathlib.Path:
    command = ["cargo", "build", "--profile", profile, "--workspace", "--example", "lora_step"]
    messages = subprocess.check_output([*command, "--message-format=json-render-diagnostics"], cwd=ROOT, text=True)
    for message in map(json.loads, messages.splitlines()):
        if message.get("target", {}).get("name") == "lora_step" and message.get("executable"):
            return pathlib.Path(message["executable"])
    sys.exit("error: cargo built no lora_step")


def check_same_work(ours: Run, peer: Run) -> None:
    for step, (a, b) in enumerate(zip(ours.losses, peer.losses, strict=True)):
        if not abs(a - b) <= TOLERANCE * abs(b):
            sys.exit(f"error: the loss of step {step} is {a} here and {b} there: not the same work")


def machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        name = found.group(1) if found else name
    elif sys.platform == "darwin":
        name = subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.system()} {platform.machine()}, {name}, {os.cpu_count()} cores, {memory:.0f} GB"


def commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if git("status", "--porcelain") else "")


def spread(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def table(rounds: list[tuple[Run, Run]], profile: str, load: float) -> str:
    ours, peer = zip(*rounds)

    def row(name: str, runs: tuple[Run, ...]) -> str:
        cells = (
            spread([run.tokens_per_second for run in runs], 0),
            spread([run.tokens_per_cpu_second for run in runs], 1),
            spread([run.peak_memory / 1e9 for run in runs], 2),
        )
        return f"| {name} | {' | '.join(cells)} |"

    def ratio(of) -> str:
        return spread([of(a) / of(b) for a, b in rounds], 2)

    versions = ", ".join(f"{name} {version}" for name, version in peer[0].versions.items())
    return "\n".join(
        [
            "LoRA step: random Llama of 213 M parameters (16 layers, hidden 1024), r 8 on all seven linears, AdamW,",
            f"2 × 512 tokens, float32. Median (least–most) of {len(rounds)} rounds, {len(ours[0].seconds) - 1} steps each after one to warm up.",
            "",
            "| | tokens/s | tokens per CPU second | peak memory, GB |",
            "|---|---|---|---|",
            row(f"Attune, {profile} profile, {ours[0].threads} threads", ours),
            row(f"transformers + PEFT, {peer[0].threads} threads", peer),
            f"| Attune ÷ PEFT, round by round | {ratio(lambda run: run.tokens_per_second)} "
            f"| {ratio(lambda run: run.tokens_per_cpu_second)} | {ratio(lambda run: run.peak_memory)} |",
            "",
            f"Losses agree at every step ({', '.join(f'{loss:.4f}' for loss in ours[0].losses)}).",
            f"{machine()}; load average {load:.1f} at the start. {versions}. Commit {commit()}, {datetime.date.today()}.",
        ]
    )


def write(text: str) -> None:
    old = REPORT.read_text() if REPORT.exists() else f"# Performance\n\nMeasured by `make bench`.\n\n{BEGIN}\n{END}\n"
    if BEGIN not in old:
        old += f"\n{BEGIN}\n{END}\n"
    before, after = old.split(BEGIN)[0], old.split(END, 1)[1]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of two steps, nothing written")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (default %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="steps per run, the first not timed (default %(default)s)")
    parser.add_argument("--profile", choices=["dev", "release"], default="dev", help="cargo profile (default %(default)s)")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.no_write = 1, 2, True
    if options.steps < 2 or options.rounds < 1:
        parser.error("at least one round of two steps: the first step is not timed")

    target = target_folder()
    python = peer_python(target)
    example = build(options.profile)
    model = target / "bench" / "m212"
    if not (model / "adapter" / "adapter_model.safetensors").exists():
        print(f"Writing the random model to {model}", flush=True)
        subprocess.check_call([python, HERE / "peer.py", "prepare", model])
    load = os.getloadavg()[0]

    sides = {"Attune": [example, model, str(options.steps)], "PEFT": [python, HERE / "peer.py", "run", model, str(options.steps)]}
    rounds = []
    for number in range(options.rounds):
        # The one that goes first changes, so that a slow drift of the machine favours neither.
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        runs = {}
        for name in order:
            run = runs[name] = measure(sides[name])
            print(f"round {number + 1}: {name} {run.tokens_per_second:.0f} tokens/s, "
                  f"{run.tokens_per_cpu_second:.1f} per CPU second, {run.peak_memory / 1e9:.2f} GB", flush=True)
        check_same_work(runs["Attune"], runs["PEFT"])
        rounds.append((runs["Attune"], runs["PEFT"]))
    text = table(rounds, options.profile, load)
    print(f"\n{text}")
    if not options.no_write:
        write(text)


if __name__ == "__main__":
    main()
