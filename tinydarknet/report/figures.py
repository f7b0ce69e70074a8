"""Which plots a page has, and what each of them shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinydarknet.report.summary import StepTime, Summary, steady, step_time_ms
from tinydarknet.report.svg import BUCKETS, Line, distributions, histogram, lines
from tinydarknet.run_folder.log_reader import LoggedScore, RunLog


@dataclass(frozen=True)
class Plot:
    """One plot with the words around it."""

    title: str
    note: str
    svg: str
    """Trusted: made here, no text of a file in it."""
    keys: tuple[tuple[str, int], ...] = ()
    """What each colour stands for: label, number of the series."""


def run_plots(log: RunLog, summary: Summary) -> list[Plot]:
    """The course of one run; none before its first step."""
    if not len(log.steps):
        return []
    starts = [session.first_step for session in log.sessions[1:]]
    dashed = f"; dashed: resumed ({len(starts)}x)" if starts else ""
    spread = "range and mean" if len(log.steps) > BUCKETS else "each step and moving mean"
    steps = log.steps

    def over_steps(name: str, values: np.ndarray, label: str, *, smooth: bool = False, from_zero: bool = True) -> str:
        series = [Line(steps.step, values)]
        return lines(name, series, "step", label, smooth=smooth, from_zero=from_zero, marks=starts)

    loss = over_steps("loss", steps.loss, "loss", smooth=True, from_zero=False)
    rate = over_steps("rate", steps.learning_rate, "learning rate")
    throughput = over_steps("throughput", steps.images_per_s, "images/s", smooth=True)
    waiting = over_steps("waiting", 100 * steps.recent_waiting_share, "waiting, %")
    plots = [
        Plot("Training loss", f"cross entropy of a batch, {spread}{dashed}", loss),
        *([_accuracy_plot(log.evaluations, starts)] if log.evaluations else []),
        Plot("Learning rate", "at each logged step", rate),
        Plot("Throughput", f"over all ranks, {spread}{dashed}", throughput),
        Plot("Waiting for data", f"share of the time of the steps just before, without first steps{dashed}", waiting),
    ]
    if len(set(steps.image_size.tolist())) > 1:
        sizes = over_steps("image-size", steps.image_size.astype(np.float64), "image side, pixels")
        plots.append(Plot("Image size", "of the training images", sizes))
    if summary.step_time is not None:
        plots.append(_step_time_plot(log, summary.step_time))
    return plots


def _accuracy_plot(evaluations: Sequence[LoggedScore], starts: Sequence[int]) -> Plot:
    top1, top5 = (Line(_steps(evaluations), values, number) for number, values in enumerate(_accuracies(evaluations)))
    svg = lines("accuracy", [top5, top1], "step", "accuracy, %", markers=True, marks=starts)
    keys = (("top-1", 0), ("top-5", 1))
    return Plot("Validation accuracy", f"of {evaluations[-1].total:,} images", svg, keys)


def _step_time_plot(log: RunLog, time: StepTime) -> Plot:
    counted = step_time_ms(log)[steady(log)]
    svg, behind = histogram("step-time", counted, "step time, ms", "steps", (time.p50_ms, time.p95_ms, time.p99_ms))
    more = f"; {behind:,} slower still" if behind else ""
    return Plot("Step time", f"dashed: 50, 95 and 99 % of the steps are within; without first steps{more}", svg)


def comparison_plots(names: Sequence[str], logs: Sequence[RunLog]) -> list[Plot]:
    """The same course of several runs over each other; runs without steps are left out of it."""
    drawn = [(number, log) for number, log in enumerate(logs) if len(log.steps)]
    if not drawn:
        return []
    keys = tuple((names[number], number) for number, _ in drawn)

    def over_steps(
        name: str, column: str, label: str, *, factor: float = 1.0, smooth: bool = False, from_zero: bool = True
    ) -> str:
        series = [Line(log.steps.step, factor * getattr(log.steps, column), number) for number, log in drawn]
        return lines(name, series, "step", label, smooth=smooth, from_zero=from_zero)

    loss = over_steps("loss", "loss", "loss", smooth=True, from_zero=False)
    plots = [Plot("Training loss", "cross entropy of a batch, moving mean", loss, keys)]
    scored = [(number, log.evaluations) for number, log in drawn if log.evaluations]
    if scored:
        series = [Line(_steps(entries), _accuracies(entries)[0], number) for number, entries in scored]
        svg = lines("accuracy", series, "step", "top-1 accuracy, %", markers=True)
        plots.append(Plot("Validation accuracy", "top-1, each on its own validation dataset", svg, keys))
    rate = over_steps("rate", "learning_rate", "learning rate")
    throughput = over_steps("throughput", "images_per_s", "images/s", smooth=True)
    waiting = over_steps("waiting", "recent_waiting_share", "waiting, %", factor=100)
    plots += [
        Plot("Learning rate", "at each logged step", rate, keys),
        Plot("Throughput", "over all ranks, moving mean", throughput, keys),
        Plot("Waiting for data", "share of the time of the steps just before, without first steps", waiting, keys),
    ]
    times = [(number, step_time_ms(log)[steady(log)]) for number, log in drawn]
    series = [Line(values, values, number) for number, values in times if len(values)]
    if series:
        svg = distributions("step-time", series, "step time, ms", "steps within, %")
        note = "share of the steps that took no longer; to 99 %, without first steps"
        plots.append(Plot("Step time", note, svg, keys))
    return plots


def _steps(entries: Sequence[LoggedScore]) -> np.ndarray:
    return np.array([float(entry.step) for entry in entries])


def _accuracies(entries: Sequence[LoggedScore]) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 and top-5, percent."""
    top1, top5 = (
        np.array([100 * getattr(entry, name) / entry.total for entry in entries]) for name in ("top1", "top5")
    )
    return top1, top5
