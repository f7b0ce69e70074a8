"""Scores -> how often the network's probabilities come true; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15
"""As in Guo et al. 2017, On Calibration of Modern Neural Networks."""


@dataclass(frozen=True)
class Bin:
    """The images whose first guess had a probability in (low, high]."""

    low: float
    high: float
    images: int
    confidence: float
    """Mean probability of their first guesses; 0 without images."""
    accuracy: float
    """The part of them whose first guess was right; 0 without images."""


@dataclass(frozen=True)
class Calibration:
    """How far probabilities and their coming true lie apart."""

    bins: tuple[Bin, ...]
    expected_error: float
    """ECE: mean over all images of |accuracy - confidence| of their bin (Guo et al. 2017, equation 3)."""
    maximum_error: float
    """MCE: the largest |accuracy - confidence| of a bin (equation 5)."""
    mean_confidence: float
    """Mean probability of the first guess."""
    mean_loss: float
    """Mean negative logarithm of the right class's probability."""


def calibrate(scores: np.ndarray, bins: int = BINS) -> Calibration:
    """Sort a table of scores, SCORE [n], into `bins` bins of equal width by the probability of the first guess."""
    confidence = scores["probability"].astype(np.float64)
    right = scores["place"] == 0
    number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    images = np.bincount(number, minlength=bins)
    filled = np.maximum(images, 1)
    confidences = np.bincount(number, confidence, bins) / filled
    accuracies = np.bincount(number, right, bins) / filled
    gaps = np.abs(accuracies - confidences)
    return Calibration(
        bins=tuple(
            Bin(
                index / bins,
                (index + 1) / bins,
                int(images[index]),
                float(confidences[index]),
                float(accuracies[index]),
            )
            for index in range(bins)
        ),
        expected_error=float((gaps * images).sum() / len(scores)),
        maximum_error=float(gaps.max()),
        mean_confidence=float(confidence.mean()),
        mean_loss=float(scores["loss"].astype(np.float64).mean()),
    )
