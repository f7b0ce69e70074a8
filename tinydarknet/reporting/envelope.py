"""Long series made short enough to draw; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BUCKETS = 400
"""More points than this cannot be told apart on a page."""


@dataclass(frozen=True)
class Envelope:
    """Consecutive points in buckets of nearly equal count: float64 [n], n <= the buckets asked for."""

    x: np.ndarray
    """Last x of each bucket."""
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def envelope(x: np.ndarray, y: np.ndarray, buckets: int = BUCKETS) -> Envelope:
    """Minimum, mean and maximum of `y` in at most `buckets` buckets; fewer points than buckets stay as they are."""
    count = min(len(x), buckets)
    if count == 0:
        empty = np.zeros(0)
        return Envelope(empty, empty, empty, empty)
    edges = np.linspace(0, len(x), count + 1).astype(np.int64)
    first, sizes = edges[:-1], np.diff(edges)
    return Envelope(
        x[edges[1:] - 1].astype(np.float64),
        np.minimum.reduceat(y, first),
        np.add.reduceat(y, first) / sizes,
        np.maximum.reduceat(y, first),
    )


def moving_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Mean of each element with its neighbours, `window` in all and fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    first, end = np.maximum(index - window // 2, 0), np.minimum(index + (window + 1) // 2, len(y))
    return (sums[end] - sums[first]) / (end - first)
