"""A run's own folder: what it was told, where it stands, what it logged. Nothing in it is ever deleted but surplus checkpoints.

config.json      the resolved options; environment.json: versions, git revision, dataset digests
.lock            held while a process trains here
log.jsonl        one line per event; log.csv: the steps
checkpoints/     step-000001251.ckpt ..., best.ckpt
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from convert.durable_files import require_utf8
from convert.errors import UserError
from convert.json_fields import write_json

CONFIG_NAME = "config.json"
ENVIRONMENT_NAME = "environment.json"
BEST_NAME = "best.ckpt"
LOCK_NAME = ".lock"
LOG_NAMES = ("log.jsonl", "log.csv")

_STEP_PATTERN = re.compile(r"step-(\d{9,})\.ckpt")


class RunFolder:
    """The paths of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._lock: IO[str] | None = None

    @property
    def best(self) -> Path:
        """The checkpoint with the best evaluation so far."""
        return self.checkpoints / BEST_NAME

    def checkpoint(self, step: int) -> Path:
        """The checkpoint after `step` updates."""
        return self.checkpoints / f"step-{step:09d}.ckpt"

    def newest_first(self) -> list[Path]:
        """The step checkpoints, newest first."""
        found = [path for path in self.checkpoints.glob("step-*.ckpt") if _STEP_PATTERN.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.stem.removeprefix("step-")), reverse=True)

    def prune(self, keep: int) -> None:
        """Remove all but the `keep` newest step checkpoints; the best stays."""
        for path in self.newest_first()[keep:]:
            path.unlink(missing_ok=True)

    def traces(self) -> list[str]:
        """What a run has left here: the names of its log, if there is one, and of its checkpoints."""
        logs = [name for name in LOG_NAMES if (self.path / name).exists()]
        return [*logs, *sorted(path.name for path in self.checkpoints.glob("*.ckpt"))]

    def lock(self) -> None:
        """Hold the folder until this process ends; raises BlockingIOError if another one does."""
        self._lock = (self.path / LOCK_NAME).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self) -> None:
        """Let another process train here."""
        if self._lock is not None:
            self._lock.close()

    def write_json(self, name: str, fields: Mapping[str, Any]) -> None:
        """Write `fields` to the file `name`, whole or not at all."""
        write_json(self.path / name, fields)


def open_run_folder(path: Path | None, resume: bool, root: Path = Path("runs")) -> RunFolder:
    """A new folder for a new run, or the present one of a run to go on with.

    Raises:
        UserError: a new run would land in a folder that holds one, or there is no run to go on with.
    """
    if path is None:
        path = root / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    require_utf8(path)
    folder = RunFolder(path)
    holds_run = (path / CONFIG_NAME).is_file()
    if resume and not holds_run:
        raise UserError(
            f"{path} holds no run to go on with, it has no {CONFIG_NAME}: check --run-dir"
            + ("" if folder.traces() else ", or start without --resume")
        )
    if (holds_run or folder.traces()) and not resume:
        what = "already holds a run" if holds_run else f"holds {folder.traces()[0]} of a run without its {CONFIG_NAME}"
        advice = "go on with it by --resume, or choose" if holds_run else "choose"
        raise UserError(f"{path} {what}: {advice} another --run-dir")
    try:
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        folder.lock()
    except BlockingIOError as error:
        raise UserError(f"another run is training in {path}: wait for it or stop it") from error
    except OSError as error:
        raise UserError(f"cannot make the run folder {path} ({error.strerror}): choose another --run-dir") from error
    return folder


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready fields; paths become strings."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def git_revision() -> str:
    """The source's git revision, with "+changes" where the tree differs from it; "" outside a repository."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")
