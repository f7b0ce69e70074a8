"""How everything here is measured: warm-up, repeats, wall and CPU time side by side, the environment in every result."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from convert.files import write_bytes
from tinydarknet.training.run_folder import git_revision

REFERENCE_STEP_MS = 104.0
"""Published for the reference: Ascend 910, 8 cards, batch 128 each, 56 CPU cores."""

REFERENCE_IMAGES_PER_S = 8 * 128 / (REFERENCE_STEP_MS / 1e3)
"""What those 8 cards consume: 9,846 images/s."""

_REPORTED_PACKAGES = ("mindspore", "numpy", "opencv-python-headless", "pyarrow")


def cpu_seconds() -> float:
    """CPU time so far of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def process_memory_mb(field: Literal["VmRSS", "VmHWM", "RssAnon"]) -> float:
    """This process's resident memory in megabytes: present, greatest so far, or without mapped files; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    raise OSError(f"/proc/self/status has no {field}")


def drop_from_page_cache(directory: Path) -> None:
    """Ask the kernel to forget a dataset's files, so that the next use reads the disk; Linux only."""
    for path in directory.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())  # dirty pages would stay
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99, by the nearest rank."""
    ordered = sorted(values)
    return {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}


def environment() -> dict[str, Any]:
    """The machine, the versions and the source revision that a result depends on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _REPORTED_PACKAGES},
        "git": git_revision(),
    }


def emit(results: Sequence[Mapping[str, Any]], json_path: Path | None) -> None:
    """Print every result as one JSON line with the environment; write the same lines to `json_path` if given."""
    shared = {"environment": environment()}
    lines = [json.dumps({**result, **shared}) for result in results]
    print("\n".join(lines), flush=True)
    if json_path is not None:
        write_bytes(json_path, ("\n".join(lines) + "\n").encode())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
