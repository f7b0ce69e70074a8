"""How many processors this process may use: those that it may run on, and the time that its cgroup is given."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

from convert.errors import UserError

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """How many processes or threads are worth starting: processors by affinity and by quota, at least 1."""
    return max(1, int(min(len(allowed_processors()), cgroup_processors(_CGROUP))))


def allowed_processors() -> frozenset[int]:
    """Numbers of the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cgroup_processors(cgroup: Path = _CGROUP, membership: Path = _MEMBERSHIP) -> float:
    """The smallest CPU quota over period of this process's cgroup and of those above it, infinite where there is none.

    Args:
        cgroup: where the hierarchy is mounted, of version 2, or of version 1 with the controller in the folder `cpu`.
        membership: the kernel's list of this process's cgroups (cgroups(7)); a container may see its own as the root.
    """
    lines = membership.read_text().splitlines() if membership.is_file() else []
    paths = [PurePosixPath(line.split(":", 2)[2].lstrip("/")) for line in lines]
    names = {PurePosixPath(), *paths, *(parent for path in paths for parent in path.parents)}
    return min(_quota(root / name) for name in names for root in (cgroup, cgroup / "cpu"))


def _quota(folder: Path) -> float:
    two, one = folder / "cpu.max", folder / "cpu.cfs_quota_us"
    if two.is_file():
        quota, period = two.read_text().split()[:2]
    elif one.is_file():
        quota, period = one.read_text(), (folder / "cpu.cfs_period_us").read_text()
    else:
        return math.inf
    return math.inf if quota == "max" or int(quota) <= 0 else int(quota) / int(period)


def require_shared_memory() -> None:
    """Refuse a machine whose processes can share no locks; Python keeps them in /dev/shm.

    Raises:
        UserError: /dev/shm cannot be written, as in some containers.
    """
    import multiprocessing

    try:
        multiprocessing.Lock()
    except OSError as error:
        raise UserError(
            f"processes cannot share locks ({error.strerror or error}): /dev/shm is needed, as a folder that can be written; a "
            "container gets it by --shm-size or --tmpfs /dev/shm"
        ) from error
