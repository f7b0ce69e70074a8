"""Hits as integers, from logits and labels; pure."""

from __future__ import annotations

import numpy as np

TOP_K = 5


def ranks_of_labels(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the right one, int64 [B]; -1 where the label is -1 (padding).

    Of equal logits the lower class comes first, as in argmax.

    Args:
        logits: float [B, classes].
        labels: int [B], -1 for rows that hold no image.
    """
    own = np.take_along_axis(logits, np.maximum(labels, 0)[:, None].astype(np.int64), axis=1)
    earlier = np.arange(logits.shape[1])[None, :] < labels[:, None]
    before = (logits > own) | ((logits == own) & earlier)
    return np.where(labels < 0, -1, before.sum(axis=1))


def count_hits(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(right at first guess, right among the first five, images counted), int64 [3]; rows labelled -1 do not count.

    Raises:
        ValueError: a logit is no finite number, or a label lies beyond the classes.
    """
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers, got NaN or infinity")
    if labels.max(initial=-1) >= logits.shape[1]:
        raise ValueError(f"labels must be below the {logits.shape[1]} classes, got {labels.max()}")
    ranks = ranks_of_labels(logits, labels)
    return np.array([(ranks == 0).sum(), ((ranks >= 0) & (ranks < TOP_K)).sum(), (ranks >= 0).sum()], np.int64)
