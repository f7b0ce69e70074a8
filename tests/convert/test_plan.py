"""The planner: every row in exactly one shard, an order that depends on the seed and the blocks alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.job.plan import auto_shard_rows, plan_shards, shuffled_rows


@given(rows=st.integers(1, 500), seed=st.integers(0, 2**40), shard_rows=st.integers(1, 600))
def test_every_row_is_in_one_shard_once(rows, seed, shard_rows):
    plans = plan_shards(np.full(rows, -1), seed, shard_rows)
    assert sorted(np.concatenate([plan.rows for plan in plans])) == list(range(rows))
    assert [plan.index for plan in plans] == list(range(len(plans)))
    sizes = [len(plan.rows) for plan in plans]
    assert [plan.first_id for plan in plans] == [0, *np.cumsum(sizes)[:-1]]
    assert max(sizes) <= shard_rows
    assert max(sizes) - min(sizes) <= 1
    assert len(plans) == -(-rows // shard_rows)


@given(blocks=st.lists(st.integers(-1, 5), min_size=1, max_size=80), seed=st.integers(0, 2**32))
def test_blocks_stay_together(blocks, seed):
    order = shuffled_rows(np.array(blocks), seed)
    assert sorted(order) == list(range(len(blocks)))
    named = [blocks[row] if blocks[row] >= 0 else -1 - row for row in order]
    assert len([block for block, _ in itertools.groupby(named)]) == len(set(named))


@given(rows=st.integers(1, 100), seed=st.integers(0, 1000))
def test_same_seed_same_order(rows, seed):
    assert np.array_equal(shuffled_rows(np.full(rows, -1), seed), shuffled_rows(np.full(rows, -1), seed))


def test_order_never_changes():
    """Resumed conversions and published digests depend on it."""
    assert shuffled_rows(np.full(10, -1), 0).tolist() == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]
    assert shuffled_rows(np.array([0, 0, 0, 1, 1, 1, -1, -1]), 1).tolist() == [5, 4, 3, 0, 1, 2, 6, 7]


@pytest.mark.parametrize(("rows", "shard_rows"), [(1, 64), (600, 64), (50_000, 3_125), (1_281_167, 10_010)])
def test_auto_shard_rows(rows, shard_rows):
    assert auto_shard_rows(rows) == shard_rows


def test_imagenet_makes_128_shards():
    assert -(-1_281_167 // auto_shard_rows(1_281_167)) == 128


@pytest.mark.parametrize(("rows", "shard_rows"), [(0, 1), (1, 0)])
def test_senseless_plans_are_refused(rows, shard_rows):
    with pytest.raises(ValueError, match="at least 1 row and shard_rows >= 1"):
        plan_shards(np.full(rows, -1), 0, shard_rows)
