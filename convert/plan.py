"""Which image goes where: pure functions of the listing's size, the seed and the shard size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARDS_AIMED_AT = 16
"""Enough for parallel work on a small dataset ..."""
SHARD_ROWS_MIN = 64
SHARD_ROWS_MAX = 10_010
"""... and 128 shards of about 1.3 GB (at 130 KB an image) for ImageNet's 1,281,167 training images."""


@dataclass(frozen=True)
class ShardPlan:
    """One shard: its number, the id of its first row, and the listing rows that it holds, in order."""

    index: int
    first_id: int
    """Position of the first row in the plan order; ids of the shard are `first_id` up to `first_id + len(rows)`."""
    rows: np.ndarray
    """int64 [n]: row numbers of the listing."""


def auto_shard_rows(rows: int) -> int:
    """Images per shard when the user does not say: 16 shards, of at least 64 and at most 10,010 images."""
    return min(max(-(-rows // SHARDS_AIMED_AT), SHARD_ROWS_MIN), SHARD_ROWS_MAX)


def shuffled_rows(blocks: np.ndarray, seed: int) -> np.ndarray:
    """A permutation of the listing: a function of the blocks and the seed alone.

    Rows whose block is -1 stand alone, and if all do this is a uniform shuffle. Rows of one block
    stay together (in shuffled order), so that a Parquet row group is read once.

    Args:
        blocks: int64 [rows], the listing's column.
        seed: any non-negative integer.

    Returns:
        int64 [rows].
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(blocks))
    if np.any(blocks >= 0):
        # blocks in the order in which the shuffle first meets them; the stable sort keeps the shuffle inside a block
        block_ids = np.where(blocks >= 0, blocks, -1 - np.arange(len(blocks)))[order]
        _, first_seen, inverse = np.unique(block_ids, return_index=True, return_inverse=True)
        order = order[np.argsort(first_seen[inverse], kind="stable")]
    return order


def plan_shards(blocks: np.ndarray, seed: int, shard_rows: int) -> list[ShardPlan]:
    """Cut the shuffled listing into shards whose sizes differ by at most one row.

    Args:
        blocks: int64 [rows], the listing's column.
        seed: of the shuffle.
        shard_rows: the most rows a shard may hold, at least 1.

    Raises:
        ValueError: no rows, or `shard_rows` below 1.
    """
    if len(blocks) == 0 or shard_rows < 1:
        raise ValueError(
            f"a plan needs at least 1 row and shard_rows >= 1, got {len(blocks)} rows and shard_rows {shard_rows}"
        )
    order = shuffled_rows(blocks, seed)
    shard_count = -(-len(order) // shard_rows)
    bounds = [len(order) * index // shard_count for index in range(shard_count + 1)]
    return [ShardPlan(index, bounds[index], order[bounds[index] : bounds[index + 1]]) for index in range(shard_count)]
