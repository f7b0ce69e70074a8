"""processors."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


_CGROUP = Path("/sys/fs/cgroup")


def allowed_processors() -> frozenset[int]:
    """Numbers of the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cgroup_processors(cgroup: Path = _CGROUP) -> float:
    """Quota over period of the cgroup's CPU controller (version 2 or 1), infinite where there is none."""
    limit = cgroup / "cpu.max"
    if limit.is_file():
        quota, period = limit.read_text().split()[:2]
        return float("inf") if quota == "max" else int(quota) / int(period)
    quota_file, period_file = cgroup / "cpu/cpu.cfs_quota_us", cgroup / "cpu/cpu.cfs_period_us"
    if quota_file.is_file() and period_file.is_file():
        quota = int(quota_file.read_text())
        return quota / int(period_file.read_text()) if quota > 0 else float("inf")
    return float("inf")
