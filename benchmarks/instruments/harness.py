"""How everything here is measured: options, repeats, wall and CPU time side by side, the environment in every result."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import psutil

from benchmarks.instruments.clock import cpu_seconds, wall_seconds_since_start
from convert.cli import Command, main_single
from convert.durable_files import write_output
from tinydarknet.run_folder.paths import git_revision

_CPUINFO = Path("/proc/cpuinfo")
_REPORTED_PACKAGES = (
    "mindspore",
    "numpy",
    "numba",
    "opencv-python-headless",
    "pyarrow",
    "onnxruntime",
    "torch",
    "torchvision",
)


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What every command that measures takes."""

    json: Path | None = None
    """Write the JSON lines here too."""


Options = TypeVar("Options", bound=BenchmarkOptions)


def run_benchmark(name: str, kind: type[Options], measure: Callable[[Options], Sequence[Mapping[str, Any]]]) -> None:
    """Carry out the script `name` as the command line says: parse, measure, emit."""
    main_single(name, Command(kind, lambda options: emit(measure(options), options.json)))


def emit(results: Sequence[Mapping[str, Any]], json_path: Path | None) -> None:
    """Print every result as one JSON line with the environment; write the same lines to `json_path` if given."""
    shared = {"environment": environment()}
    lines = [json.dumps({**result, **shared}) for result in results]
    print("\n".join(lines), flush=True)
    if json_path is not None:
        write_output(json_path, ("\n".join(lines) + "\n").encode())


def anonymous_memory_mb() -> float:
    """This process's resident memory without mapped files, megabytes; Linux only."""
    memory = psutil.Process().memory_info()
    return (memory.rss - memory.shared) / 1e6


def peak_memory_mb() -> float:
    """The most that this process has had resident since it started its program, megabytes; Linux only."""
    status = Path("/proc/self/status").read_text()  # getrusage counts what its parent held, too
    return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) * 1024 / 1e6


def drop_from_page_cache(directory: Path) -> None:
    """Ask the kernel to forget a dataset's files, so that the next use reads the disk; Linux only."""
    for path in filter(Path.is_file, directory.iterdir()):  # images put aside lie in a folder
        with path.open("rb") as stream:
            os.fsync(stream.fileno())  # dirty pages would stay
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99, by the nearest rank (of fewer than 100 values the p99 is the largest), and the mean."""
    ordered = sorted(values)
    ranks = {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}
    return {**ranks, "mean": statistics.fmean(values)}


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """The median of repeats as `name`, with `name`_min and `name`_max beside it."""
    return {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}


def environment() -> dict[str, Any]:
    """The machine, the versions and the source revision that a result depends on, and what the process has cost so far."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _REPORTED_PACKAGES},
        "git": git_revision(),
        "measured_at": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "process_wall_s": wall_seconds_since_start(),
        "process_cpu_s": cpu_seconds(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    if _CPUINFO.is_file() and (found := re.search(r"^model name\s*:\s*(.+)", _CPUINFO.read_text(), re.MULTILINE)):
        return found[1].strip()
    if program := shutil.which("lscpu"):  # on Arm the kernel gives numbers only
        told = subprocess.run([program], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        if found := re.search(r"^Model name:\s*(.+)", told.stdout, re.MULTILINE):
            return found[1].strip()
    return platform.machine()
