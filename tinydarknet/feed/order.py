"""Which image goes where: a dataset's rows as a pure function of (seed, epoch), cut into steps and ranks.

Nothing here depends on the number of workers, and at an equal global batch nothing depends on the number of ranks.
"""

from __future__ import annotations

import numpy as np

from tinydarknet.feed.hashing import hash_ids

PADDING = -1
"""Row, and id, of no image at all, in evaluation batches that the dataset cannot fill."""

PADDING_LABEL = -1
"""The label that goes with it; never counted."""

_TAIL_SALT = 0x7A11
_TAIL_ROWS_MAX = 1 << 14


def steps_per_epoch(rows: int, batch_size: int, world_size: int) -> int:
    """Full global batches in an epoch; the `rows % (batch_size * world_size)` images left over are not trained on.

    ImageNet, 8 ranks of 128: 1,251 steps, 143 images left over.
    """
    return rows // (batch_size * world_size)


def epoch_order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """All rows in [0, rows), shuffled, int64 [rows].

    The last eighth (16,384 rows at most) is a window that moves on from epoch to epoch over a fixed permutation,
    so that the images an incomplete last batch leaves out differ each epoch and every image is left out equally often.
    """
    ids = np.arange(rows, dtype=np.int64)
    shuffled = ids[np.argsort(hash_ids(seed, epoch, ids), kind="stable")]
    tail_rows = min(rows // 8, _TAIL_ROWS_MAX)
    if tail_rows == 0:
        return shuffled
    fixed = np.argsort(hash_ids(seed ^ _TAIL_SALT, 0, ids), kind="stable")
    window = fixed[(epoch * tail_rows + np.arange(tail_rows)) % rows]
    in_tail = np.zeros(rows, bool)
    in_tail[window] = True
    late = in_tail[shuffled]
    return np.concatenate([shuffled[~late], shuffled[late]])


def rank_batch(order: np.ndarray, step: int, batch_size: int, rank: int, world_size: int) -> np.ndarray:
    """The rows that `rank` sees at `step` of an epoch, int64 [batch_size]: every world_size-th of the global batch."""
    global_batch = batch_size * world_size
    return order[step * global_batch + rank : (step + 1) * global_batch : world_size]


def evaluation_steps(rows: int, batch_size: int, world_size: int) -> int:
    """Batches that every rank needs so that together they see every image."""
    return -(-rows // (batch_size * world_size))


def evaluation_batch(rows: int, step: int, batch_size: int, rank: int, world_size: int) -> np.ndarray:
    """The rows that `rank` evaluates at `step`, int64 [batch_size]; every row once over ranks and steps, then PADDING."""
    ids = step * batch_size * world_size + rank + world_size * np.arange(batch_size, dtype=np.int64)
    return np.where(ids < rows, ids, PADDING)
