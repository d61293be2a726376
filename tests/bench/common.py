"""What the benchmarks share: building, running and weighing one process, and where their tables go."""

import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REPORT = ROOT / "docs" / "performance.md"


def target_folder() -> pathlib.Path:
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT)
    return pathlib.Path(json.loads(metadata)["target_directory"])


def build(profile: str, example: str = "measured_run") -> pathlib.Path:
    command = ["cargo", "build", "--profile", profile, "--workspace", "--example", example]
    messages = subprocess.check_output([*command, "--message-format=json-render-diagnostics"], cwd=ROOT, text=True)
    for message in map(json.loads, messages.splitlines()):
        if message.get("target", {}).get("name") == example and message.get("executable"):
            return pathlib.Path(message["executable"])
    sys.exit(f"error: cargo built no {example}")


def measure(command: list[str | pathlib.Path], environment: dict[str, str] | None = None) -> dict:
    """Runs a program that prints one JSON line; the kernel says what it held in memory at most."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {}))
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))} ended with {process.returncode}")
    # macOS counts bytes, Linux kilobytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return json.loads(output.splitlines()[-1]) | {"peak_memory": peak}


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
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def write(section: str, text: str) -> None:
    """Replaces what stands between the markers of a section of the report."""
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    old = REPORT.read_text()
    if begin not in old:
        old += f"\n{begin}\n{end}\n"
    before, after = old.split(begin)[0], old.split(end, 1)[1]
    REPORT.write_text(f"{before}{begin}\n{text}\n{end}{after}")
