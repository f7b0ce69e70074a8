"""Scores -> counts: exact, and, for comparison, in the reference's way; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinydarknet.evaluation.scores import TOP_K

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
        z, n, p = 1.959964, self.total, hits / self.total
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)


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
