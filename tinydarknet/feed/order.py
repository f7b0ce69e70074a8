"""Which image goes where: a dataset's rows as a pure function of (seed, epoch), cut into steps and ranks.

Nothing here depends on the number of workers, and at an equal global batch nothing depends on the number of ranks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from convert.errors import check_integer
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


@dataclass(frozen=True)
class Rank:
    """One of the processes that share a run's batches."""

    number: int = 0
    """Which, in [0, of)."""
    of: int = 1
    """How many there are."""

    def __post_init__(self) -> None:
        check_integer("of", self.of, least=1)
        check_integer("rank", self.number, least=0, below=self.of)


class Stream(Protocol):
    """The rows of a run, batch by batch, for one rank."""

    @property
    def batch_size(self) -> int:
        """Images per step on this rank."""
        ...

    @property
    def seed(self) -> int:
        """Of everything random about the images."""
        ...

    @property
    def rows(self) -> int:
        """Images of the dataset."""
        ...

    @property
    def world_size(self) -> int:
        """Ranks that share every step."""
        ...

    @property
    def first_step(self) -> int:
        """Where batch 0 stands in the run."""
        ...

    @property
    def steps(self) -> int:
        """Batches in this stream."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Batches of a whole epoch."""
        ...

    def batch_rows(self, step: int) -> tuple[int, np.ndarray]:
        """The epoch and the rows, int64 [batch_size], of batch `step` in [0, steps)."""
        ...


@dataclass(frozen=True)
class TrainingStream:
    """Global steps [first_step, last_step) of a training run; epoch `g // steps_per_epoch` holds global step g."""

    rows: int
    batch_size: int
    seed: int
    rank: int
    world_size: int
    first_step: int
    last_step: int
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_ranks(self.rank, self.world_size, self.batch_size)
        if steps_per_epoch(self.rows, self.batch_size, self.world_size) == 0:
            raise ValueError(
                f"one step takes batch_size x ranks = {self.batch_size * self.world_size} images, "
                f"the dataset has {self.rows}: use a smaller batch_size"
            )
        if not 0 <= self.first_step <= self.last_step:
            raise ValueError(f"need 0 <= first_step <= last_step, got {self.first_step} and {self.last_step}")

    @property
    def steps(self) -> int:
        """Batches in this stream."""
        return self.last_step - self.first_step

    @property
    def steps_per_epoch(self) -> int:
        """Batches of a whole epoch."""
        return steps_per_epoch(self.rows, self.batch_size, self.world_size)

    def batch_rows(self, step: int) -> tuple[int, np.ndarray]:
        """The epoch and the rows, int64 [batch_size], of batch `step` in [0, steps)."""
        epoch, step_in_epoch = divmod(self.first_step + step, self.steps_per_epoch)
        with self._lock:  # so that threads that reach a new epoch together shuffle it once
            order = _recent_order(self.rows, self.seed, epoch)
        return epoch, rank_batch(order, step_in_epoch, self.batch_size, self.rank, self.world_size)


@dataclass(frozen=True)
class EvaluationStream:
    """Every row once over all ranks, in stored order, filled up with padding so that every batch is whole."""

    rows: int
    batch_size: int
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    first_step: int = 0

    def __post_init__(self) -> None:
        _check_ranks(self.rank, self.world_size, self.batch_size)

    @property
    def steps(self) -> int:
        """Batches in this stream."""
        return evaluation_steps(self.rows, self.batch_size, self.world_size)

    @property
    def steps_per_epoch(self) -> int:
        """The same."""
        return self.steps

    def batch_rows(self, step: int) -> tuple[int, np.ndarray]:
        """Epoch 0 and the rows, int64 [batch_size], of batch `step` in [0, steps)."""
        return 0, evaluation_batch(self.rows, step, self.batch_size, self.rank, self.world_size)


def _check_ranks(rank: int, world_size: int, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"need 0 <= rank < world_size, got rank {rank} and world_size {world_size}")


@lru_cache(maxsize=2)
def _recent_order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """This epoch's order and the last one's, which read-ahead still uses: 10 MB each for ImageNet."""
    order = epoch_order(rows, seed, epoch)
    order.flags.writeable = False
    return order
