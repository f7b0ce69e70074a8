"""Counts: exact, with their interval, and the reference's way of losing images."""

import numpy as np
import pytest
from scores_making import scores_of

from tinydarknet.evaluate.scores import REFERENCE_BATCH, Score, count, reference_positions


def test_hits_are_counted():
    logits_place = scores_of([0, 1, 2, 3, 9], [0, 1, 2, 4, 9], classes=10)
    assert count(logits_place) == Score(4, 5, 5)


def test_the_fifth_guess_counts_and_the_sixth_does_not():
    scores = scores_of(np.zeros(10, int), np.zeros(10, int), classes=10)
    scores["place"] = np.arange(10)
    assert count(scores) == Score(1, 5, 10)


def test_wilson_interval():
    """Values from Wilson's formula, worked out for 8 of 10 and for 10 of 10."""
    low, high = Score(8, 10, 10).interval(8)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert Score(10, 10, 10).interval(10) == pytest.approx((0.7225, 1.0), abs=1e-4)


@pytest.mark.parametrize(("ranks", "counted"), [(1, 49_920), (8, 49_152)])
def test_the_reference_loses_80_of_50000_images_on_one_rank_and_848_on_eight(ranks, counted):
    positions = reference_positions(50_000, REFERENCE_BATCH, ranks)
    assert len(positions) == len(np.unique(positions)) == counted
    assert positions.max() == counted - 1  # the last ones are lost


def test_the_published_top5_is_a_count_of_49920():
    assert round(40_811 / len(reference_positions(50_000, REFERENCE_BATCH, 1)), 16) == 0.8175280448717949


def test_the_reference_repeats_images_where_ranks_come_out_uneven():
    """10 images over 4 ranks are 3 for each, two of them seen twice; in batches of 3 nothing is dropped."""
    assert sorted(reference_positions(10, 3, 4).tolist()) == [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert reference_positions(10, 4, 4).size == 0
