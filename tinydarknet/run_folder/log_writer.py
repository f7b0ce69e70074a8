"""Tells people and programs how a run goes: a progress bar or plain lines, JSONL, CSV, TensorBoard, the reference's lines."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from convert.errors import UserError
from convert.processors import require_shared_memory

STEP_COLUMNS: tuple[str, ...] = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "images_per_s",
    "waiting_share",
    "image_size",
)
SCALARS = {
    "step": ("loss", "learning_rate", "images_per_s", "waiting_share"),
    "evaluation": ("top_1_accuracy", "top_5_accuracy"),
}
"""What TensorBoard shows of which event."""

BOARD_FLUSH_S = 10
"""How old TensorBoard's figures may be; waiting for its writer's thread at every step would take milliseconds."""


class Reporter:
    """Speaks for the first rank; on the others it is silent and writes nothing."""

    def __init__(self, folder: Path, speaks: bool, first_step: int, total_steps: int) -> None:
        """Append to log.jsonl and log.csv in `folder`; the bar runs to `total_steps`, on a terminal only.

        Raises:
            UserError: they cannot be written.
        """
        self._speaks = speaks
        self._folder = folder
        if speaks:
            with self._told_failures():
                self._open(folder)
        on_terminal = speaks and sys.stderr.isatty()
        self._bar = tqdm(
            total=total_steps, initial=first_step, unit="step", disable=not on_terminal, dynamic_ncols=True
        )

    def _open(self, folder: Path) -> None:
        self._log = (folder / "log.jsonl").open("a", encoding="utf-8")
        self._table = (folder / "log.csv").open("a", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._table, STEP_COLUMNS, extrasaction="ignore")
        if self._table.tell() == 0:
            self._rows.writeheader()
        require_shared_memory()  # its writer holds a lock
        from tensorboardX import SummaryWriter  # changes the environment as it is imported

        self._scalars = SummaryWriter(str(folder), flush_secs=BOARD_FLUSH_S, filename_suffix=f".{os.getpid()}")

    @contextlib.contextmanager
    def _told_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write the logs in {self._folder} ({error.strerror}): make room, or check the folder; then --resume"
            ) from error

    @property
    def on_terminal(self) -> bool:
        """Whether a progress bar is shown."""
        return not self._bar.disable

    def say(self, line: str) -> None:
        """Print one line, above the bar if there is one."""
        if self._speaks:
            if self.on_terminal:
                self._bar.write(line)
            else:
                print(line, flush=True)

    def warn(self, line: str) -> None:
        """Print one line whichever rank this is: what concerns its own part of the data."""
        if self._speaks:
            self.say(line)
        else:
            print(line, flush=True)

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Write one event to the logs; in JSONL and CSV it is on its way to the disk when this returns.

        Raises:
            UserError: they cannot be written.
        """
        if self._speaks:
            with self._told_failures():
                self._write(kind, fields)

    def _write(self, kind: str, fields: Mapping[str, Any]) -> None:
        now = time.time()
        clocks = {"unix_time_s": round(now, 3), "process_cpu_s": round(time.process_time(), 3)}
        self._log.write(json.dumps({"event": kind, **fields, **clocks}) + "\n")
        self._log.flush()
        if kind == "step":
            self._rows.writerow(dict(fields))
            self._table.flush()
        if kind in SCALARS:
            for name in SCALARS[kind]:
                self._scalars.add_scalar(f"{kind}/{name}", fields[name], fields["step"], walltime=now)

    def advance(self, steps: int, postfix: Mapping[str, str]) -> None:
        """Move the bar on."""
        if self.on_terminal:
            self._bar.set_postfix(dict(postfix), refresh=False)
            self._bar.update(steps)

    def close(self) -> None:
        """Take the bar down and close the logs.

        Raises:
            UserError: what was still to be written cannot be.
        """
        self._bar.close()
        if self._speaks:
            with self._told_failures(), self._log, self._table:
                self._scalars.close()


def loss_line(epoch: int, step_in_epoch: int, loss: float) -> str:
    """The reference's line (LossMonitor); epoch and step count from 1."""
    return f"epoch: {epoch} step: {step_in_epoch}, loss is {loss:.7f}"


def epoch_time_line(epoch_ms: float, steps: int) -> str:
    """The reference's line (TimeMonitor); milliseconds."""
    return f"Epoch time: {epoch_ms:.3f}, per step time: {epoch_ms / steps:.3f}"


def duration(seconds: float) -> str:
    """Such as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
