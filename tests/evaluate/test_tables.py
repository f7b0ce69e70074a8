"""Tables by class and by pair from scores made by hand; calibration worked out on paper; CSV that stays text."""

import csv
import io

import numpy as np
import pytest
from scores_making import scores_of

from convert.dataset.manifest import ClassEntry
from tinydarknet.evaluate.scores import calibrate
from tinydarknet.evaluate.tables import ClassRow, class_rows, confused_pairs, csv_text, worst_images

CLASSES = tuple(ClassEntry(f"n0000000{label}", name) for label, name in enumerate(["ant", "=bee", "cat", "dog"]))
LABELS = [0, 0, 0, 1, 1, 2, 2, 2]
GUESSES = [0, 1, 1, 1, 2, 0, 0, 2]


@pytest.fixture
def scores() -> np.ndarray:
    return scores_of(LABELS, GUESSES, classes=4)


def test_classes(scores):
    rows = class_rows(scores, CLASSES)
    assert [row.name for row in rows] == ["ant", "=bee", "cat", "dog"]
    assert [(row.images, row.top1, row.top5, row.guessed) for row in rows] == [
        (3, 1, 3, 3), (2, 1, 2, 3), (3, 1, 3, 2), (0, 0, 0, 0),
    ]  # fmt: skip
    assert (rows[0].top1_accuracy, rows[0].precision) == (0.333333, 0.333333)
    assert (rows[3].top1_accuracy, rows[3].precision, rows[3].mean_loss) == (None, None, None)
    assert rows[1].mean_loss == pytest.approx(scores["loss"][3:5].mean(), abs=1e-6)


def test_confused_pairs(scores):
    found = [(pair.name, pair.guess_name, pair.images, pair.share_of_class) for pair in confused_pairs(scores, CLASSES)]
    assert found == [("ant", "=bee", 2, 0.666667), ("cat", "ant", 2, 0.666667), ("=bee", "cat", 1, 0.5)]
    assert confused_pairs(scores_of([0, 1], [0, 1], classes=4), CLASSES) == []


def test_worst_images_are_found_by_their_ids_where_ids_have_gaps(scores):
    scores["id"] = 10 * np.arange(8)
    rows = worst_images(scores, [70, 10], [f"key {number}" for number in range(8)], CLASSES)
    assert [(row.id, row.key, row.label, row.guess) for row in rows] == [(70, "key 7", 2, 2), (10, "key 1", 0, 1)]
    assert rows[0].own_probability == rows[0].probability  # its guess is right


def test_csv_has_a_header_empty_cells_and_no_formulas(scores):
    table = list(csv.DictReader(io.StringIO(csv_text(ClassRow, class_rows(scores, CLASSES)))))
    assert [row["name"] for row in table] == ["ant", "'=bee", "cat", "dog"]
    assert table[3]["top1_accuracy"] == ""
    assert csv_text(ClassRow, []).count("\n") == 1


def test_calibration_by_hand():
    """Three images at 0.1 of which one is right, one at 1.0 which is wrong."""
    scores = scores_of([0, 1, 1, 1], [0, 0, 0, 0], classes=2)
    scores["probability"] = [0.1, 0.1, 0.1, 1.0]
    found = calibrate(scores, bins=2)
    assert [(part.low, part.high, part.images) for part in found.bins] == [(0.0, 0.5, 3), (0.5, 1.0, 1)]
    assert found.bins[0].accuracy == pytest.approx(1 / 3)
    assert found.expected_error == pytest.approx((3 * (1 / 3 - 0.1) + 1) / 4)
    assert found.maximum_error == pytest.approx(1.0)
    assert found.mean_confidence == pytest.approx(1.3 / 4)
    assert found.mean_loss == pytest.approx(scores["loss"].mean())


def test_who_is_as_often_right_as_sure_has_no_error():
    rng = np.random.default_rng(2)
    labels = np.zeros(40_000, int)
    scores = scores_of(labels, labels, classes=2)
    scores["probability"] = rng.random(len(labels))
    scores["place"] = rng.random(len(labels)) > scores["probability"]
    assert calibrate(scores).expected_error < 0.01
    assert sum(part.images for part in calibrate(scores).bins) == len(labels)
    scores["place"] = 0
    assert calibrate(scores).expected_error == pytest.approx(0.5, abs=0.01)


def test_bins_are_closed_above():
    scores = scores_of([0, 0, 0], [0, 0, 0], classes=2)
    scores["probability"] = [0.25, 0.2500001, 1.0]
    assert [part.images for part in calibrate(scores, bins=4).bins] == [1, 1, 0, 1]
