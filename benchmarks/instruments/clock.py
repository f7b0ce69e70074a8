"""The one clock of every measurement: CPU time of a process with its children. Standard library only: peers run it too."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_PROC = Path("/proc")


def cpu_seconds() -> float:
    """CPU time so far of this process, of its children that have ended, and (on Linux) of those still at work."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _living_descendants_seconds()


def wall_seconds_since_start() -> float:
    """How long this process has been running; Linux only."""
    ticks = int(_stat_fields(_PROC / "self")[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _living_descendants_seconds() -> float:
    if not _PROC.is_dir():
        return 0.0
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat_fields(entry)
        except OSError:  # it has ended while we looked
            continue
        number = int(entry.name)
        parents[number] = int(fields[1])
        ticks[number] = sum(map(int, fields[11:15]))  # its own, and of its children that have ended
    mine = {os.getpid()}
    grown = True
    while grown:
        found = {number for number, parent in parents.items() if parent in mine} - mine
        mine |= found
        grown = bool(found)
    return sum(ticks[number] for number in mine - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


def _stat_fields(process: Path) -> list[str]:
    """What follows the command's name in /proc/PID/stat: state, parent, ... (proc(5))."""
    return (process / "stat").read_text().rpartition(")")[2].split()
