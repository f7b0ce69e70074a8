"""Figures are pictures with something on them, also of small and odd tables; without matplotlib a sentence."""

import sys

import numpy as np
import pytest
from PIL import Image
from scores_making import scores_of

from convert.dataset.manifest import ClassEntry
from convert.errors import UserError
from tinydarknet.evaluate.plots import check_matplotlib, draw_calibration, draw_confusion, draw_sweep, short_name
from tinydarknet.evaluate.result_folder import draw_worst
from tinydarknet.evaluate.scores import calibrate
from tinydarknet.evaluate.tables import confused_pairs, worst_images


def classes(count: int) -> tuple[ClassEntry, ...]:
    return tuple(ClassEntry(f"n{label:08}", f"${label}_$ name, {'other ' * 9}") for label in range(count))


def is_drawn(path) -> bool:
    return np.asarray(Image.open(path).convert("L")).std() > 5


@pytest.mark.parametrize("count", [2, 100])
def test_confusion_of_few_and_of_many_classes(count, tmp_path):
    labels = np.arange(500) % count
    scores = scores_of(labels, np.random.default_rng(3).integers(0, count, 500), count)
    draw_confusion(tmp_path / "a.png", scores, classes(count), confused_pairs(scores, classes(count)))
    assert is_drawn(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_are_escaped(tmp_path):
    scores = scores_of([0, 1], [1, 0], 2)
    foreign = (ClassEntry("n0", "\u732b, cat"), ClassEntry("n1", "\u30a4\u30cc"))
    draw_confusion(tmp_path / "a.png", scores, foreign, confused_pairs(scores, foreign))
    assert is_drawn(tmp_path / "a.png")
    assert short_name("\u732b, cat") == r"\u732b"


def test_no_confusion_at_all_is_drawn_too(tmp_path):
    scores = scores_of([0, 1], [0, 1], 2)
    draw_confusion(tmp_path / "a.png", scores, classes(2), [])
    draw_calibration(tmp_path / "b.png", calibrate(scores))
    draw_sweep(tmp_path / "c.png", [160, 192], {"top-1": [0.1, 0.2]})
    assert all(is_drawn(tmp_path / f"{name}.png") for name in "abc")


def test_without_matplotlib_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install 'tinydarknet\[plots\]', or leave them out with --no-plots"):
        check_matplotlib()


def test_the_worst_images_stand_in_their_order(tmp_path):
    scores = scores_of([0, 1, 1], [1, 1, 0], 2)
    pictures = {2: np.full((32, 32, 3), (200, 0, 0), np.uint8), 0: np.full((32, 32, 3), (0, 200, 0), np.uint8)}
    draw_worst(tmp_path / "worst.png", worst_images(scores, pictures, ["a", "b", "c"], classes(2)), pictures)
    sheet = np.asarray(Image.open(tmp_path / "worst.png"))
    half = sheet.shape[1] // 2
    assert (
        (sheet[:, :half] == (200, 0, 0)).all(axis=2).sum() == (sheet[:, half:] == (0, 200, 0)).all(axis=2).sum() == 1024
    )


def test_names_are_cut_to_the_first():
    assert short_name("tench, Tinca tinca") == "tench"
    assert len(short_name("x" * 90)) == 24
