"""Logits -> what is kept of each image: 44 bytes instead of 4,000; pure.

A table of scores is a numpy array [n] of type SCORE, one element per image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinydarknet.feed.order import PADDING

TOP_K = 5

SCORE = np.dtype(
    [
        ("id", np.int64),  # of the image, PADDING where a batch holds none
        ("label", np.int32),
        ("place", np.int32),  # how many classes come before the right one
        ("guesses", np.int32, (TOP_K,)),  # likeliest first, -1 where there are fewer classes
        ("probability", np.float32),  # of the first guess
        ("loss", np.float32),  # -log of the right class's probability, natural logarithm
    ]
)
"""What is known about one image."""


def score_batch(logits: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """One batch's scores, SCORE [B]. Of equal logits the lower class comes first, as in argmax.

    Args:
        logits: float [B, classes].
        labels: int [B]; anything where `ids` is PADDING.
        ids: int64 [B].

    Raises:
        ValueError: a logit is no finite number, or a label lies beyond the classes.
    """
    from scipy.special import logsumexp

    classes = logits.shape[1]
    present = ids != PADDING
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers, got NaN or infinity")
    if (labels[present] < 0).any() or (labels[present] >= classes).any():
        raise ValueError(f"labels must be in [0, {classes}), the network's classes, got {labels[present].tolist()}")
    wide = logits.astype(np.float64)
    rows = np.arange(len(wide))
    own_label = np.where(present, labels, 0)
    own = wide[rows, own_label]
    top = wide.max(axis=1)
    log_sum = logsumexp(wide, axis=1)
    earlier = np.arange(classes)[None, :] < own_label[:, None]

    scores = np.empty(len(wide), SCORE)
    scores["id"], scores["label"] = ids, labels
    scores["place"] = ((wide > own[:, None]) | ((wide == own[:, None]) & earlier)).sum(axis=1)
    scores["probability"] = np.exp(top - log_sum)
    scores["loss"] = np.maximum(log_sum - own, 0.0)
    scores["guesses"] = -1
    for guess in range(min(TOP_K, classes)):
        best = wide.argmax(axis=1)
        scores["guesses"][:, guess] = best
        wide[rows, best] = -np.inf
    return scores


REFERENCE_BATCH = 128
"""Images per device and step in the reference's evaluation, which drops an incomplete last one."""


@dataclass(frozen=True)
class Score:
    """Hits among so many images."""

    top1: int
    """Images whose class had the highest logit."""
    top5: int
    """Images whose class was among the five highest."""
    total: int
    seconds: float = 0.0
    """Wall time of the pass that counted them; 0 where they were derived from another's."""

    @property
    def accuracies(self) -> dict[str, float]:
        """In the reference's words."""
        return {"top_1_accuracy": self.top1 / self.total, "top_5_accuracy": self.top5 / self.total}

    def line(self) -> str:
        """The reference's line, for those who grep for "accuracy: "."""
        return f"accuracy:  {self.accuracies}"

    def interval(self, hits: int) -> tuple[float, float]:
        """The 95 % Wilson score interval (Wilson 1927) of hits / total."""
        from scipy.stats import binomtest

        interval = binomtest(hits, self.total).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)


def count(scores: np.ndarray, seconds: float = 0.0) -> Score:
    """Count hits in a table of scores, SCORE [n]."""
    place = scores["place"]
    return Score(int((place == 0).sum()), int((place < TOP_K).sum()), len(scores), seconds)


def reference_positions(rows: int, batch_size: int, ranks: int) -> np.ndarray:
    """Which images the reference's evaluation counts, int64 positions in [0, rows), an image twice where it does.

    MindSpore deals the images out to the ranks in turn, begins again at the front until every rank has as many,
    and `drop_remainder=True` leaves out each rank's last, incomplete batch: 80 of 50,000 images at batch 128 on one
    rank, 848 on eight.
    """
    rank_rows = -(-rows // ranks)
    counted = rank_rows // batch_size * batch_size
    return (np.arange(ranks)[:, None] + ranks * np.arange(counted, dtype=np.int64)[None, :]).reshape(-1) % rows


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
            Bin(i / bins, (i + 1) / bins, int(images[i]), float(confidences[i]), float(accuracies[i]))
            for i in range(bins)
        ),
        expected_error=float((gaps * images).sum() / len(scores)),
        maximum_error=float(gaps.max()),
        mean_confidence=float(confidence.mean()),
        mean_loss=float(scores["loss"].astype(np.float64).mean()),
    )
