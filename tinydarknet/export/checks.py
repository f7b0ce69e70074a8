"""Whether an exported network gives the checkpoint's answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from convert.dataset.manifest import load_manifest
from convert.errors import UserError
from tinydarknet.evaluate.scores import count, score_batch
from tinydarknet.export.design import Design, OutputKind
from tinydarknet.export.runners import Inputs, Runner, run_in_batches
from tinydarknet.export.samples import dataset_images

TOLERANCE = 1e-4
"""Largest |difference| of the output, logits or probabilities, accepted in float32; of the largest logit where that is
above 1, because rounding grows with it."""

LOG_TOLERANCE = 1e-3
"""The same for natural logarithms of probabilities: near 0 and 1 a softmax hides what its logits differ by."""

_PROBABILITY_MIN = 1e-6
"""Smaller probabilities count as that much in a logarithm: rounding grows with the distance to the likeliest class."""


@dataclass(frozen=True)
class Expected:
    """What the checkpoint itself says about some images."""

    inputs: Inputs
    logits: np.ndarray
    """float32 [n, classes]."""
    origin: str
    """Where the images come from."""


@dataclass(frozen=True)
class Comparison:
    """How far an exported network is from its checkpoint."""

    images: int
    origin: str
    batches: tuple[int, ...]
    """Images per call that were tried."""
    max_abs_difference: float
    """Of the output."""
    max_abs_output: float
    """The checkpoint's own largest |output|."""
    max_log_difference: float | None
    """Of the natural logarithms of probabilities; None for logits."""
    top1_equal: int
    """Images of `images` with the same likeliest class, at the worst of the batches."""

    def __str__(self) -> str:
        batches = " and ".join(str(batch) for batch in self.batches)
        logarithms = "" if self.max_log_difference is None else f" (of logarithms {self.max_log_difference:.2e})"
        return (
            f"{self.images} {self.origin} in batches of {batches}: max |difference| {self.max_abs_difference:.2e}"
            f"{logarithms}, top-1 equal for {self.top1_equal} of {self.images}"
        )


def compare(run: Runner, output: OutputKind, expected: Expected, batches: Sequence[int]) -> Comparison:
    """Run the images in batches of each size and hold the output against the checkpoint's."""
    is_logits = output == "logits"
    wanted = expected.logits if is_logits else softmax(expected.logits.astype(np.float64), axis=1)
    found = [run_in_batches(run, expected.inputs, batch) for batch in batches]
    return Comparison(
        images=len(wanted),
        origin=expected.origin,
        batches=tuple(batches),
        max_abs_difference=max(_max_difference(part, wanted) for part in found),
        max_abs_output=float(np.abs(wanted).max()),
        max_log_difference=None if is_logits else max(_max_difference(_log(part), _log(wanted)) for part in found),
        top1_equal=min(int((part.argmax(1) == expected.logits.argmax(1)).sum()) for part in found),
    )


def require_equal(comparison: Comparison, what: str) -> None:
    """Refuse a float32 export that computes something else.

    Raises:
        UserError: it differs by more than is accepted, or finds another likeliest class.
    """
    tolerance = TOLERANCE * max(1.0, comparison.max_abs_output)
    within = comparison.max_abs_difference <= tolerance and (comparison.max_log_difference or 0) <= LOG_TOLERANCE
    if not within or comparison.top1_equal < comparison.images:
        raise UserError(
            f"{what} does not compute what the checkpoint does, at most {tolerance:.1e} (of logarithms "
            f"{LOG_TOLERANCE:.0e}) is accepted: {comparison}; nothing was written"
        )


def _max_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Infinite where something is no number, which no comparison would notice."""
    difference = float(np.abs(found.astype(np.float64) - wanted).max())
    return math.inf if math.isnan(difference) else difference


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), _PROBABILITY_MIN))


@dataclass(frozen=True)
class Accuracy:
    """Hits on an evaluation set."""

    top1: int
    top5: int
    total: int
    dataset_digest: str
    """Of the evaluation set (its manifest's logical digest)."""

    def __str__(self) -> str:
        return f"top-1 {self.top1} and top-5 {self.top5} of {self.total}"

    @property
    def top1_fraction(self) -> float:
        """Top-1 accuracy, 0 to 1."""
        return self.top1 / self.total


def measure_accuracy(run: Runner, design: Design, data_path: Path) -> Accuracy:
    """Run every image of a dataset once.

    Raises:
        UserError: no dataset, a damaged one, or a network whose output is no number.
    """
    tables = []
    for images in dataset_images(design.image_size, data_path):
        inputs = images.inputs(design.input, design.model.normalization)
        answers = run_in_batches(run, inputs, design.batch or len(images.labels))
        try:
            # of probabilities as of logits: only their order counts
            tables.append(score_batch(answers, images.labels, np.arange(len(answers))))
        except ValueError as error:
            raise UserError(f"cannot score the export on {data_path}: {error}") from error
    score = count(np.concatenate(tables))
    return Accuracy(score.top1, score.top5, score.total, load_manifest(data_path).logical_digest)
