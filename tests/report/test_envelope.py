"""Long series made short: nothing between the lowest and the highest value is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinydarknet.report.svg import envelope, moving_mean

SERIES = st.lists(st.floats(-1e6, 1e6), max_size=200).map(np.array)


@given(SERIES, st.integers(1, 50))
def test_an_envelope_holds_every_value(y, buckets):
    x = np.arange(1, len(y) + 1)
    short = envelope(x, y, buckets)
    assert len(short.x) == min(len(y), buckets)
    if len(y) == 0:
        return
    assert short.x[-1] == len(y)
    assert (np.diff(short.x) > 0).all()
    which = np.searchsorted(short.x, x)
    assert (short.low[which] <= y).all()
    assert (y <= short.high[which]).all()
    for bucket in range(len(short.x)):
        values = y[which == bucket]
        assert values.min() == short.low[bucket]
        assert values.max() == short.high[bucket]
        assert short.mean[bucket] == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)


def test_fewer_points_than_buckets_stay_as_they_are():
    y = np.array([3.0, 1.0, 2.0])
    short = envelope(np.array([5, 6, 9]), y, 10)
    assert short.x.tolist() == [5, 6, 9]
    assert short.low.tolist() == short.mean.tolist() == short.high.tolist() == y.tolist()


def test_a_moving_mean_is_the_mean_of_the_neighbours():
    y = np.array([1.0, 2.0, 6.0, 3.0])
    assert moving_mean(y, 1).tolist() == y.tolist()
    assert moving_mean(y, 3).tolist() == pytest.approx([1.5, 3.0, 11 / 3, 4.5])
    assert moving_mean(np.full(50, 7.0), 9).tolist() == [7.0] * 50
