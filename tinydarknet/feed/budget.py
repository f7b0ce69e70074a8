"""How many threads a rank may use: what the process is allowed to run on, shared among the ranks of the host."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")


def usable_processors() -> float:
    """Processors this process may run on: its affinity, or less where a cgroup limits its time."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(affinity, _cgroup_processors())


def feed_threads(processors: float, local_ranks: int) -> int:
    """Threads that make batches in one of `local_ranks` ranks on a host: an equal share, at least one."""
    if processors <= 0 or local_ranks < 1:
        raise ValueError(f"need processors > 0 and local_ranks >= 1, got {processors} and {local_ranks}")
    return max(1, int(processors / local_ranks))


def _cgroup_processors() -> float:
    """Quota over period of the cgroup's CPU controller (version 2 or 1), infinite where there is none."""
    if _CGROUP_V2.is_file():
        quota, period = _CGROUP_V2.read_text().split()[:2]
        return float("inf") if quota == "max" else int(quota) / int(period)
    quota_file, period_file = _CGROUP_V1 / "cpu.cfs_quota_us", _CGROUP_V1 / "cpu.cfs_period_us"
    if quota_file.is_file() and period_file.is_file():
        quota = int(quota_file.read_text())
        return quota / int(period_file.read_text()) if quota > 0 else float("inf")
    return float("inf")
