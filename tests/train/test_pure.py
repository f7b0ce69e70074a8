"""Milestones and image sizes: tables."""

import numpy as np
import pytest

from tinydarknet.train.schedule import Milestones, Segment, segments, size_of_epoch, step_costs


@pytest.mark.parametrize(
    ("first", "every", "evaluate", "expected"),
    [(0, 10, 10, 10), (0, 4, 10, 2), (0, 10, 0, 10), (10, 10, 20, 10), (4, 4, 10, 2), (7, 10, 10, 1), (0, 5, 10, 5)],
)
def test_stretch_meets_every_milestone(first, every, evaluate, expected):
    marks = Milestones(10, 40, every, evaluate)
    assert marks.stretch(first, 40) == expected
    visited = set(range(first, 41, expected))
    assert {
        s for s in range(first + 1, 41) if marks.saves_after(s) or marks.evaluates_after(s) or s % 10 == 0
    } <= visited


def test_no_stretch_crosses_a_change_of_size():
    """Sizes change after 10 and 30 of 40 steps; a checkpoint is due every 20."""
    marks, sizes = Milestones(10, 40, 20, 0), (32, 64, 64, 96)
    rest = segments(sizes, 4, 10, first_step=0)
    lengths = [marks.stretch(part.first_step, part.last_step) for part in rest]
    assert lengths == [10, 10, 10]
    for part, length in zip(rest, lengths, strict=True):
        assert (part.last_step - part.first_step) % length == 0


@pytest.mark.parametrize(
    ("sizes", "epochs", "expected"),
    [
        ((224,), 3, [224, 224, 224]),
        ((128, 160, 192, 224), 4, [128, 160, 192, 224]),
        ((128, 160, 192, 224), 10, [128, 128, 128, 160, 160, 192, 192, 192, 224, 224]),
        ((128, 224, 224), 6, [128, 128, 224, 224, 224, 224]),
    ],
)
def test_each_size_has_its_share_of_the_epochs(sizes, epochs, expected):
    assert [size_of_epoch(sizes, epoch, epochs) for epoch in range(epochs)] == expected


def test_segments_cover_what_is_left_once():
    assert segments((128, 160), 4, 10, 0) == [Segment(0, 20, 128), Segment(20, 40, 160)]
    assert segments((128, 160), 4, 10, 7) == [Segment(7, 20, 128), Segment(20, 40, 160)]
    assert segments((128, 160), 4, 10, 20) == [Segment(20, 40, 160)]
    assert segments((128, 160), 4, 10, 33) == [Segment(33, 40, 160)]
    assert segments((224,), 2, 5, 0) == [Segment(0, 10, 224)]
    assert segments((224,), 2, 5, 10) == []


def test_a_smaller_step_costs_its_pixels():
    np.testing.assert_allclose(step_costs((112, 224), 2, 3), [0.25, 0.25, 0.25, 1, 1, 1])


def test_the_last_step_saves_and_evaluates():
    marks = Milestones(10, 45, 20, 20)
    assert [s for s in range(46) if s and marks.saves_after(s)] == [20, 40, 45]
    assert [s for s in range(46) if s and marks.evaluates_after(s)] == [20, 40, 45]
    assert not Milestones(10, 45, 20, 0).evaluates_after(45)
