"""Logits -> what is kept of each image: 44 bytes instead of 4,000; pure.

A table of scores is a numpy array [n] of type SCORE, one element per image.
"""

from __future__ import annotations

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
    log_sum = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
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
