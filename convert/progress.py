"""What workers tell the run about themselves, through a small file in each shard's work folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from convert.manifest import STAGING_NAME
from convert.staging import WORK_PREFIX

PROGRESS_NAME = "progress.json"
_SECONDS = 0.5


class Progress:
    """Tells how far a shard is and who works on it."""

    def __init__(self, folder: Path, shard: int) -> None:
        self._path = folder / PROGRESS_NAME
        self._shard = shard
        self._next = 0.0
        self.report(0)

    def report(self, images_done: int) -> None:
        """Write the count, at most twice a second."""
        if time.monotonic() >= self._next:
            state = {"shard": self._shard, "pid": os.getpid(), "images": images_done}
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(self._path)
            self._next = time.monotonic() + _SECONDS


def states(output: Path) -> list[dict[str, int]]:
    """What the workers last told: shard, pid, images (done of that shard)."""
    found = []
    for path in (output / STAGING_NAME).glob(f"{WORK_PREFIX}*/{PROGRESS_NAME}"):
        try:
            found.append(json.loads(path.read_text()))
        except (OSError, ValueError):  # gone or replaced this moment; NFS calls it a stale handle, or shows it half
            continue
    return found
