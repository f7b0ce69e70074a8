"""log.jsonl -> what happened, as it stands: also of a run that was killed, resumed, or is still going.

A kill may cut the last line short, and the next start then writes behind the torn piece; a resumed run goes back to its
checkpoint and does some steps again. Torn lines are counted and named, and what was logged later counts.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import UserError

LOG_NAME = "log.jsonl"
REPLACEMENTS_MAX = 1000
"""Damaged images that are remembered by name."""

_LINE_BYTES_MAX = 1 << 20
_EVENT_START = b'{"event"'
_COUNT_MAX = 1 << 53
"""Larger integers are not exact in JSON readers."""
_NUMBER_MAX = 3.5e38
"""Of float32."""
_TIME_MAX_S = 1e11
_RATE_MIN = 1e-6
"""Images/s; a slower step is no step."""
_NUMBERS = ("loss", "learning_rate", "images_per_s", "waiting_share", "recent_waiting_share")


@dataclass(frozen=True)
class Steps:
    """The logged steps, rising; all arrays have one element per line of the log."""

    step: np.ndarray
    """int64: updates done since the run's beginning, from 1; in sink mode the last of a stretch."""
    loss: np.ndarray
    """float64, as the other columns."""
    learning_rate: np.ndarray
    images_per_s: np.ndarray
    """Over all ranks, of this step (or stretch) alone."""
    waiting_share: np.ndarray
    """0 to 1: of the time since this start's first step, the share that passed waiting for data."""
    recent_waiting_share: np.ndarray
    """The same of the last steps alone; in older logs `waiting_share`."""
    image_size: np.ndarray
    """int64: side of the training images, pixels."""

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class LoggedScore:
    """Counts on the validation dataset after so many steps."""

    step: int
    top1: int
    top5: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Replacement:
    """A damaged training image whose place another one took."""

    step: int
    """When it was first noticed."""
    sentence: str
    """Where it lies and what is wrong with it."""


@dataclass(frozen=True)
class Session:
    """What one start of the training command did."""

    first_step: int
    """Steps done before it."""
    last_step: int
    """Steps done when it was last heard of."""
    total_steps: int
    steps_per_epoch: int
    global_batch: int
    """Images per step over all ranks."""
    world_size: int
    start_unix_s: float
    last_unix_s: float
    """When its last event was logged."""
    status: int | None = None
    """Exit status it logged; None while it runs, or if it was killed."""


@dataclass(frozen=True)
class RunLog:
    """A run's log, read whole."""

    steps: Steps
    evaluations: tuple[LoggedScore, ...]
    checkpoints: tuple[int, ...]
    """Steps after which a checkpoint was written."""
    replacements: tuple[Replacement, ...]
    """Each damaged image once, however often it came up; at most REPLACEMENTS_MAX."""
    sessions: tuple[Session, ...]
    """At least one."""
    superseded_steps: int
    """Lines of steps that do not count, because a resumed run went back behind them."""
    damaged_lines: tuple[int, ...]
    """Numbers, from 1, of the lines that are no whole event."""


def read_log(folder: Path) -> RunLog:
    """Read `folder`/log.jsonl line by line.

    Raises:
        UserError: there is no log, or no start of a run in it.
    """
    path = folder / LOG_NAME
    reader = _Reader()
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(_LINE_BYTES_MAX):
                number += 1
                reader.take(number, line)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): name the folder of a training run") from error
    if not reader.sessions:
        raise UserError(
            f"{path} holds no start of a training run: name the folder of one, which --run-dir of train made"
        )
    return reader.log()


class _Reader:
    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._number, self._image_size = array("q"), array("q")
        self._columns = {name: array("d") for name in _NUMBERS}
        self._evaluations: list[LoggedScore] = []
        self._checkpoints: list[int] = []
        self._replaced: dict[str, int] = {}
        self._superseded = 0
        self._damaged: list[int] = []

    def take(self, number: int, line: bytes) -> None:
        """Digest line `number`; behind a torn piece a whole event may follow."""
        whole = line.rstrip(b"\n")
        if not whole:
            return
        if self._event(whole):
            return
        self._damaged.append(number)
        start = whole.rfind(_EVENT_START)
        if start > 0:
            self._event(whole[start:])

    def log(self) -> RunLog:
        columns = {name: np.array(values, np.float64) for name, values in self._columns.items()}
        return RunLog(
            Steps(np.array(self._number, np.int64), image_size=np.array(self._image_size, np.int64), **columns),
            tuple(self._evaluations),
            tuple(self._checkpoints),
            tuple(Replacement(step, sentence) for sentence, step in self._replaced.items()),
            tuple(self.sessions),
            self._superseded,
            tuple(self._damaged),
        )

    def _event(self, line: bytes) -> bool:
        try:
            fields = json.loads(line)
            time_s = _number(fields, "unix_time_s")
            if not 0 <= time_s <= _TIME_MAX_S:
                raise ValueError(f"unix_time_s must be in [0, {_TIME_MAX_S:g}], got {time_s}")
            kind = fields["event"]
            if kind == "start":
                self._start(fields, time_s)
            elif self.sessions:
                self._heard(kind, fields, time_s)
            return True
        except (ValueError, KeyError, TypeError, RecursionError):
            return False

    def _start(self, fields: Mapping[str, Any], time_s: float) -> None:
        step = _count(fields, "step")
        numbers = {
            name: _count(fields, name, 1) for name in ("total_steps", "steps_per_epoch", "global_batch", "world_size")
        }
        self._go_back(step)
        self.sessions.append(Session(step, step, start_unix_s=time_s, last_unix_s=time_s, **numbers))

    def _heard(self, kind: object, fields: Mapping[str, Any], time_s: float) -> None:
        changes: dict[str, Any] = {"last_unix_s": time_s}
        if kind == "step":
            step, image_size = _count(fields, "step", 1), _count(fields, "image_size", 1)
            fields = {"recent_waiting_share": fields["waiting_share"], **fields}
            values = {name: _number(fields, name) for name in self._columns}
            if values["images_per_s"] < _RATE_MIN:
                raise ValueError(f"images_per_s must be at least {_RATE_MIN}, got {values['images_per_s']}")
            self._go_back(step - 1)
            self._number.append(step)
            self._image_size.append(image_size)
            for name, value in values.items():
                self._columns[name].append(value)
            changes["last_step"] = step
        elif kind == "evaluation":
            counts = {name: _count(fields, name) for name in ("step", "top1", "top5")}
            total = _count(fields, "total", 1)
            if not counts["top1"] <= counts["top5"] <= total:
                raise ValueError("top1, top5 and total must not fall")
            self._evaluations.append(LoggedScore(**counts, total=total, seconds=_number(fields, "seconds")))
        elif kind == "checkpoint":
            self._checkpoints.append(_count(fields, "step"))
        elif kind == "replaced":
            if len(self._replaced) < REPLACEMENTS_MAX:
                self._replaced.setdefault(str(fields["image"]), _count(fields, "step"))
        elif kind == "end":
            changes["status"] = _count(fields, "status")
        self.sessions[-1] = replace(self.sessions[-1], **changes)

    def _go_back(self, step: int) -> None:
        """Forget what was logged behind `step`: it is done again."""
        if self._number and self._number[-1] > step:
            keep = bisect_right(self._number, step)
            self._superseded += len(self._number) - keep
            for values in (self._number, self._image_size, *self._columns.values()):
                del values[keep:]
            self._evaluations = [entry for entry in self._evaluations if entry.step <= step]
            self._checkpoints = [number for number in self._checkpoints if number <= step]


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _NUMBER_MAX:
        raise ValueError(f"{name} must be a number within float32's range, got {value!r}")
    return float(value)


def _count(fields: Mapping[str, Any], name: str, least: int = 0) -> int:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _COUNT_MAX:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
