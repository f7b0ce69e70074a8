"""A run's own folder: what it was told, where it stands, what it logged. Nothing in it is ever deleted but surplus checkpoints.

config.json      the resolved options; environment.json: versions, git revision, dataset digests
log.jsonl        one line per event; log.csv: the steps
checkpoints/     step-000001251.ckpt ..., best.ckpt
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from convert.errors import UserError
from convert.json_fields import write_json

CONFIG_NAME = "config.json"
ENVIRONMENT_NAME = "environment.json"
BEST_NAME = "best.ckpt"

_STEP_PATTERN = re.compile(r"step-(\d{9,})\.ckpt")


class RunFolder:
    """The paths of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

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
    folder = RunFolder(path)
    holds_run = (path / CONFIG_NAME).is_file()
    if resume and not holds_run:
        raise UserError(
            f"{path} holds no run to go on with, it has no {CONFIG_NAME}: check --run-dir, or start without --resume"
        )
    if holds_run and not resume:
        raise UserError(f"{path} already holds a run: go on with it by --resume, or choose another --run-dir")
    try:
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
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
