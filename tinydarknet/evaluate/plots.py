"""Tables -> figures, drawn by matplotlib, which only the extra "plots" installs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convert.dataset.manifest import ClassEntry
from convert.durable_files import published
from convert.errors import UserError
from tinydarknet.evaluate.scores import Calibration
from tinydarknet.evaluate.tables import ConfusedPair

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = 25
"""Confused pairs in the figure."""
MATRIX_CLASSES = 30
"""Classes in its matrix."""
DOTS_PER_INCH = 120


def check_matplotlib() -> None:
    """Find out before the work whether its results can be drawn.

    Raises:
        UserError: they cannot.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UserError(
            "the figures need matplotlib: pip install 'tinydarknet[plots]', or leave them out with --no-plots"
        ) from error


def draw_confusion(
    path: Path, scores: np.ndarray, classes: Sequence[ClassEntry], pairs: Sequence[ConfusedPair]
) -> None:
    """Write the most confused pairs as bars, and the classes in them as a matrix, to a PNG file.

    Args:
        path: of the file.
        scores: SCORE [n].
        classes: in label order.
        pairs: most confused first.
    """
    top = pairs[:PAIRS]
    confused = dict.fromkeys(label for pair in top for label in (pair.label, pair.guess))
    members = sorted(list(confused)[:MATRIX_CLASSES]) or list(range(min(len(classes), MATRIX_CLASSES)))
    figure = _figure(16, max(4.0, 0.3 * max(len(top), len(members)) + 1.5))
    bars, matrix = figure.subplots(1, 2, width_ratios=(1, 1.2))

    names = [f"{short_name(pair.name)} taken for {short_name(pair.guess_name)}" for pair in top]
    bars.barh(range(len(top)), [pair.images for pair in top], color="tab:red")
    bars.set_yticks(range(len(top)), names, fontsize=8, parse_math=False)
    bars.invert_yaxis()
    bars.xaxis.get_major_locator().set_params(integer=True)
    bars.set_xlabel("images")
    bars.set_title(f"the {len(top)} most confused pairs")

    counts = np.zeros((len(members), len(members)))
    for row, label in enumerate(members):
        guesses = scores["guesses"][scores["label"] == label, 0]
        counts[row] = [(guesses == guess).mean() if len(guesses) else 0.0 for guess in members]
    shades = matrix.imshow(counts, cmap="Blues", vmin=0, aspect="auto")
    labels = [short_name(classes[label].name) for label in members]
    matrix.set_xticks(range(len(members)), labels, fontsize=7, rotation=90, parse_math=False)
    matrix.set_yticks(range(len(members)), labels, fontsize=7, parse_math=False)
    matrix.set_xlabel("first guess")
    matrix.set_ylabel("class")
    matrix.set_title("the classes in them")
    figure.colorbar(shades, ax=matrix, label="part of the class's images")
    _save(figure, path)


def draw_calibration(path: Path, calibration: Calibration) -> None:
    """Write the reliability diagram, and how many images each bar stands for, to a PNG file."""
    figure = _figure(6, 7)
    reliability, histogram = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    filled = [part for part in calibration.bins if part.images]
    middles = [(part.low + part.high) / 2 for part in filled]
    width = 0.92 / len(calibration.bins)
    reliability.bar(middles, [part.accuracy for part in filled], width, color="tab:blue", label="right")
    reliability.plot(
        [part.confidence for part in filled], [part.accuracy for part in filled], "o", color="black", markersize=4
    )
    reliability.plot([0, 1], [0, 1], "--", color="grey", label="as sure as right")
    reliability.set_ylim(0, 1)
    reliability.set_ylabel("part of the images whose first guess is right")
    reliability.legend(loc="upper left")
    reliability.set_title(f"expected calibration error {calibration.expected_error:.4f}")
    histogram.bar(middles, [part.images for part in filled], width, color="grey")
    histogram.set_xlim(0, 1)
    histogram.set_xlabel("probability of the first guess")
    histogram.set_ylabel("images")
    _save(figure, path)


def draw_sweep(path: Path, sizes: Sequence[int], accuracies: Mapping[str, Sequence[float]]) -> None:
    """Write accuracies by image size to a PNG file.

    Args:
        path: of the file.
        sizes: sides in pixels, rising.
        accuracies: curves by name, fractions.
    """
    figure = _figure(7, 5)
    axes = figure.subplots()
    for name, values in accuracies.items():
        axes.plot(sizes, [100 * value for value in values], "o-", label=name)
    axes.set_xticks(sizes)
    axes.set_xlabel("image side, pixels")
    axes.set_ylabel("images right, %")
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def short_name(name: str) -> str:
    """The first of a class's names, cut to 24 letters; letters that the font lacks are escaped."""
    known = _letters_of_the_font()
    first = name.partition(",")[0]
    first = "".join(letter if ord(letter) in known else ascii(letter)[1:-1] for letter in first)
    return first if len(first) <= 24 else first[:23] + "…"


@lru_cache(maxsize=1)
def _letters_of_the_font() -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())


def _figure(width_inches: float, height_inches: float) -> Figure:
    """A figure of its own, outside pyplot's global state: no display is asked for."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), dpi=DOTS_PER_INCH, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with published(path) as temporary:
        figure.savefig(temporary)
