"""Tells people and programs how a run goes: a progress bar or plain lines, JSONL, and the reference's lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm


class Reporter:
    """Speaks for the first rank; on the others it is silent and writes nothing."""

    def __init__(self, log: Path, speaks: bool, first_step: int, total_steps: int) -> None:
        """Append to `log`; the bar runs from `first_step` to `total_steps`, on a terminal only."""
        self._speaks = speaks
        self._log = log.open("a", encoding="utf-8") if speaks else None
        on_terminal = speaks and sys.stderr.isatty()
        self._bar = tqdm(
            total=total_steps, initial=first_step, unit="step", disable=not on_terminal, dynamic_ncols=True
        )

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

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Append one line to the JSONL log; it is on its way to the disk when this returns."""
        if self._log is not None:
            record = {"event": kind, **fields, "unix_time_s": round(time.time(), 3)}
            self._log.write(json.dumps(record) + "\n")
            self._log.flush()

    def advance(self, steps: int, postfix: Mapping[str, str]) -> None:
        """Move the bar on."""
        if self.on_terminal:
            self._bar.set_postfix(dict(postfix), refresh=False)
            self._bar.update(steps)

    def close(self) -> None:
        """Take the bar down and close the log."""
        self._bar.close()
        if self._log is not None:
            self._log.close()


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
