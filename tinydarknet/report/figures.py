"""Which drawings a page has, and what each of them shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinydarknet.report import plots
from tinydarknet.report.plots import BUCKETS, Line
from tinydarknet.report.summary import StepTime, Summary, steady, step_time_ms
from tinydarknet.run_folder.log_reader import Evaluation, RunLog


@dataclass(frozen=True)
class Drawing:
    """One plot with the words around it."""

    title: str
    note: str
    svg: str
    """Trusted: made here, no text of a file in it."""
    keys: tuple[tuple[str, int], ...] = ()
    """What each colour stands for: label, number of the series."""


def run_drawings(log: RunLog, summary: Summary) -> list[Drawing]:
    """The course of one run; none before its first step."""
    if not len(log.steps):
        return []
    starts = [session.first_step for session in log.sessions[1:]]
    dashed = f"; dashed: resumed ({len(starts)}x)" if starts else ""
    spread = "range and mean" if len(log.steps) > BUCKETS else "each step and moving mean"
    steps = log.steps

    def over_steps(name: str, values: np.ndarray, label: str, *, smooth: bool = False, from_zero: bool = True) -> str:
        series = [Line(steps.step, values)]
        return plots.lines(name, series, "step", label, smooth=smooth, from_zero=from_zero, marks=starts)

    loss = over_steps("loss", steps.loss, "loss", smooth=True, from_zero=False)
    rate = over_steps("rate", steps.learning_rate, "learning rate")
    throughput = over_steps("throughput", steps.images_per_s, "images/s", smooth=True)
    waiting = over_steps("waiting", 100 * steps.waiting_share, "waiting, %")
    drawings = [
        Drawing("Training loss", f"cross entropy of a batch, {spread}{dashed}", loss),
        *([_accuracy_drawing(log.evaluations, starts)] if log.evaluations else []),
        Drawing("Learning rate", "at each logged step", rate),
        Drawing("Throughput", f"over all ranks, {spread}{dashed}", throughput),
        Drawing("Waiting for data", f"share of all time since the start{dashed}", waiting),
    ]
    if len(set(steps.image_size.tolist())) > 1:
        sizes = over_steps("image-size", steps.image_size.astype(np.float64), "image side, pixels")
        drawings.append(Drawing("Image size", "of the training images", sizes))
    if summary.step_time is not None:
        drawings.append(_step_time_drawing(log, summary.step_time))
    return drawings


def _accuracy_drawing(evaluations: Sequence[Evaluation], starts: Sequence[int]) -> Drawing:
    at = np.array([0.0 + entry.step for entry in evaluations])
    top1, top5 = (Line(at, values, number) for number, values in enumerate(_accuracies(evaluations)))
    svg = plots.lines("accuracy", [top5, top1], "step", "accuracy, %", markers=True, marks=starts)
    keys = (("top-1", 0), ("top-5", 1))
    return Drawing("Validation accuracy", f"of {evaluations[-1].total:,} images", svg, keys)


def _step_time_drawing(log: RunLog, time: StepTime) -> Drawing:
    counted = step_time_ms(log)[steady(log)]
    svg, behind = plots.histogram(
        "step-time", counted, "step time, ms", "steps", (time.p50_ms, time.p95_ms, time.p99_ms)
    )
    more = f"; {behind:,} slower still" if behind else ""
    return Drawing("Step time", f"dashed: 50, 95 and 99 % of the steps are within; without first steps{more}", svg)


def comparison_drawings(names: Sequence[str], logs: Sequence[RunLog]) -> list[Drawing]:
    """The same course of several runs over each other; runs without steps are left out of it."""
    drawn = [(number, log) for number, log in enumerate(logs) if len(log.steps)]
    if not drawn:
        return []
    keys = tuple((names[number], number) for number, _ in drawn)

    def over_steps(column: str, factor: float = 1.0) -> list[Line]:
        return [Line(log.steps.step, factor * getattr(log.steps, column), number) for number, log in drawn]

    drawings = [
        Drawing(
            "Training loss",
            "cross entropy of a batch, moving mean",
            plots.lines("loss", over_steps("loss"), "step", "loss", smooth=True),
            keys,
        )
    ]
    scored = [(number, log.evaluations) for number, log in drawn if log.evaluations]
    series = [
        Line(np.array([0.0 + entry.step for entry in entries]), _accuracies(entries)[0], number)
        for number, entries in scored
    ]
    if series:
        svg = plots.lines("accuracy", series, "step", "top-1 accuracy, %", markers=True)
        drawings.append(Drawing("Validation accuracy", "top-1, each on its own validation dataset", svg, keys))
    drawings += [
        Drawing(
            "Learning rate",
            "at each logged step",
            plots.lines("rate", over_steps("learning_rate"), "step", "learning rate", from_zero=True),
            keys,
        ),
        Drawing(
            "Throughput",
            "over all ranks, moving mean",
            plots.lines("throughput", over_steps("images_per_s"), "step", "images/s", smooth=True, from_zero=True),
            keys,
        ),
        Drawing(
            "Waiting for data",
            "share of all time since the start",
            plots.lines("waiting", over_steps("waiting_share", 100), "step", "waiting, %", from_zero=True),
            keys,
        ),
    ]
    times = [(number, step_time_ms(log)[steady(log)]) for number, log in drawn]
    series = [Line(values, values, number) for number, values in times if len(values)]
    if series:
        svg = plots.distributions("step-time", series, "step time, ms", "steps within, %")
        drawings.append(
            Drawing("Step time", "share of the steps that took no longer; to 99 %, without first steps", svg, keys)
        )
    return drawings


def _accuracies(entries: Sequence[Evaluation]) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 and top-5, percent."""
    return (
        np.array([100 * entry.top1 / entry.total for entry in entries]),
        np.array([100 * entry.top5 / entry.total for entry in entries]),
    )
