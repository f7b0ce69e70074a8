"""A run's log -> the figures that people compare; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinydarknet.run_folder.log_reader import LoggedScore, RunLog


@dataclass(frozen=True)
class StepTime:
    """Percentiles over the logged steps, milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Summary:
    """Where a run stands."""

    state: Literal["finished", "stopped", "no end logged"]
    """The last is a run that goes on, or was killed."""
    steps: int
    total_steps: int
    epochs: float
    total_epochs: float
    last_loss: float | None
    best: LoggedScore | None
    """The evaluation with the most hits at the first guess; the earliest of equals."""
    last: LoggedScore | None
    images_per_s: float | None
    """Median over the steps in `steady`."""
    step_time: StepTime | None
    """Over the steps in `steady`."""
    waiting_share: float | None
    """0 to 1: of the time since the last start's first step."""
    trained_s: float
    """Wall time from start to last event, all starts added up."""


def summarise(log: RunLog) -> Summary:
    """The figures of the whole run."""
    last = log.sessions[-1]
    steps, time_ms = log.steps, step_time_ms(log)[steady(log)]
    rates = steps.images_per_s[steady(log)]
    return Summary(
        state="no end logged" if last.status is None else "finished" if last.status == 0 else "stopped",
        steps=last.last_step,
        total_steps=last.total_steps,
        epochs=last.last_step / last.steps_per_epoch,
        total_epochs=last.total_steps / last.steps_per_epoch,
        last_loss=float(steps.loss[-1]) if len(steps) else None,
        best=max(log.evaluations, key=lambda entry: (entry.top1 / entry.total, -entry.step), default=None),
        last=log.evaluations[-1] if log.evaluations else None,
        images_per_s=float(np.median(rates)) if len(rates) else None,
        step_time=StepTime(*(float(value) for value in np.percentile(time_ms, (50, 95, 99)))) if len(time_ms) else None,
        waiting_share=float(steps.waiting_share[-1]) if len(steps) else None,
        trained_s=sum(session.last_unix_s - session.start_unix_s for session in log.sessions),
    )


def step_time_ms(log: RunLog) -> np.ndarray:
    """Milliseconds per step of each logged step: float64 [steps]; the log has them as images/s of a global batch."""
    return 1000 * log.sessions[-1].global_batch / log.steps.images_per_s


def steady(log: RunLog) -> np.ndarray:
    """Which logged steps were not the first of a start, in which the network is compiled: bool [steps]."""
    first = np.searchsorted(log.steps.step, [session.first_step for session in log.sessions], side="right")
    mask = np.ones(len(log.steps), bool)
    mask[first[first < len(mask)]] = False
    return mask
