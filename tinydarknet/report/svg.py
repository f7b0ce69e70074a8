"""Series -> inline SVG by matplotlib, in the page's own colours and fonts, so that one drawing serves light, dark and print.

Text from files never gets in here: matplotlib would read mathematics into it. Names stand in the page's HTML.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BUCKETS = 400
"""More points than this cannot be told apart on a page."""


@dataclass(frozen=True)
class Envelope:
    """Consecutive points in buckets of nearly equal count: float64 [n], n <= the buckets asked for."""

    x: np.ndarray
    """Last x of each bucket."""
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def envelope(x: np.ndarray, y: np.ndarray, buckets: int = BUCKETS) -> Envelope:
    """Minimum, mean and maximum of `y` in at most `buckets` buckets; fewer points than buckets stay as they are."""
    count = min(len(x), buckets)
    if count == 0:
        empty = np.zeros(0)
        return Envelope(empty, empty, empty, empty)
    edges = np.linspace(0, len(x), count + 1).astype(np.int64)
    first, sizes = edges[:-1], np.diff(edges)
    return Envelope(
        x[edges[1:] - 1].astype(np.float64),
        np.minimum.reduceat(y, first),
        np.add.reduceat(y, first) / sizes,
        np.maximum.reduceat(y, first),
    )


def moving_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Mean of each element with its neighbours, `window` in all and fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    first, end = np.maximum(index - window // 2, 0), np.minimum(index + (window + 1) // 2, len(y))
    return (sums[end] - sums[first]) / (end - first)


WIDTH, HEIGHT = 440, 250
"""SVG units; a page shows them at 350 to 560 pixels, so that 11 units are 9 to 14 pixels."""

_COLOURS = {
    "#010101": "ink",
    "#020202": "muted",
    "#030303": "grid",
    "#040404": "paper",
    **{f"#0505{number:02x}": f"series-{number}" for number in range(1, 7)},
}
"""Stand-ins that matplotlib draws with -> CSS variables of the page."""
_STAND_IN = {name: colour for colour, name in _COLOURS.items()}
SERIES = 6
"""Colours that can be told apart; further series repeat them with dashes."""


@dataclass(frozen=True)
class Line:
    """One series to draw; NaN-free float64 arrays of one length."""

    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    """Number of the series; decides colour and dashes."""


def lines(
    name: str,
    series: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    smooth: bool = False,
    markers: bool = False,
    from_zero: bool = False,
    marks: Sequence[int] = (),
) -> str:
    """Lines over a common x.

    `smooth` draws a moving mean, over the single values of one series (or over the range in each bucket, if there are more values
    than a page can show); `markers` puts a dot on each value; `marks` are x where a dashed upright line goes.
    """

    def draw(axes: Axes) -> None:
        for x in marks:
            axes.axvline(x, color=_STAND_IN["muted"], linewidth=0.8, dashes=(2, 3), zorder=1)
        for line in series:
            colour = _STAND_IN[f"series-{line.colour % SERIES + 1}"]
            dashes = "-" if line.colour < SERIES else "--"
            if smooth:
                _smoothed(axes, line, colour, dashes, with_range=len(series) == 1)
                continue
            short = envelope(line.x, line.y)
            axes.plot(
                short.x,
                short.mean,
                color=colour,
                linestyle=dashes,
                linewidth=1.6,
                marker="o" if markers and len(short.x) <= 60 else None,
                markersize=3.2,
            )
        if from_zero:
            axes.set_ylim(bottom=0)

    return _svg(name, draw, x_label, y_label)


def histogram(name: str, values: np.ndarray, x_label: str, y_label: str, marks: Sequence[float]) -> tuple[str, int]:
    """Bars of `values`, cut off behind 1.2 times the last of `marks`; returns also how many values lie behind."""
    end = max(1.2 * max(marks), float(values.min()) * 1.05)
    shown = values[values <= end]

    def draw(axes: Axes) -> None:
        bins = int(np.clip(2 * len(shown) ** (1 / 3), 10, 60))  # Rice's rule
        ends = (0.99 * float(shown.min()), 1.01 * float(shown.max()))  # apart even if all values are equal
        axes.hist(
            shown,
            bins=bins,
            range=ends,
            color=_STAND_IN["series-1"],
            alpha=0.85,
            edgecolor=_STAND_IN["paper"],
            linewidth=0.6,
        )
        for mark in marks:
            axes.axvline(mark, color=_STAND_IN["ink"], linewidth=0.9, dashes=(2, 3))

    return _svg(name, draw, x_label, y_label), len(values) - len(shown)


def distributions(name: str, series: Sequence[Line], x_label: str, y_label: str) -> str:
    """Cumulative shares of several sets of values (`Line.y`), 0 to 100 %, to the 99th percentile of the widest."""

    def draw(axes: Axes) -> None:
        for line in series:
            shares = np.linspace(0, 99, 100)
            axes.plot(
                np.percentile(line.y, shares),
                shares,
                color=_STAND_IN[f"series-{line.colour % SERIES + 1}"],
                linestyle="-" if line.colour < SERIES else "--",
                linewidth=1.6,
            )
        axes.set_ylim(0, 100)

    return _svg(name, draw, x_label, y_label)


def _smoothed(axes: Axes, line: Line, colour: str, dashes: str, with_range: bool) -> None:
    short = envelope(line.x, line.y)
    if with_range and len(line.x) > BUCKETS:
        axes.fill_between(short.x, short.low, short.high, color=colour, alpha=0.22, linewidth=0)
    elif with_range:
        axes.plot(short.x, short.mean, color=colour, alpha=0.35, linewidth=0.8)
    mean = moving_mean(short.mean, max(1, len(short.x) // 25))
    axes.plot(short.x, mean, color=colour, linestyle=dashes, linewidth=1.8)


def _svg(name: str, draw: Callable[[Axes], None], x_label: str, y_label: str) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with _style(name):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.margins(x=0.015)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=x_label == "step", steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(_plain_number)
        axes.yaxis.set_major_formatter(_plain_number)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(text.getvalue(), name)


def _plain_number(value: float, _position: float | None = None) -> str:
    return f"{value:,.10g}"


@contextmanager
def _style(name: str) -> Iterator[None]:
    from matplotlib import rc_context

    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "path.simplify_threshold": 0.3,
        "font.size": 11,
        "axes.labelsize": 11,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "text.color": _STAND_IN["ink"],
        "axes.labelcolor": _STAND_IN["muted"],
        "xtick.color": _STAND_IN["grid"],
        "ytick.color": _STAND_IN["grid"],
        "xtick.labelcolor": _STAND_IN["muted"],
        "ytick.labelcolor": _STAND_IN["muted"],
        "axes.edgecolor": _STAND_IN["grid"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": _STAND_IN["grid"],
        "grid.linewidth": 0.8,
        "ytick.left": False,
        "xtick.major.size": 3,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
    }
    with rc_context(settings):
        yield


def _for_page(svg: str, name: str) -> str:
    """Only the <svg> element: no size of its own, the page's colours and fonts, ids that no other drawing has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<style type="text/css">.*?</style>', "", svg, flags=re.DOTALL)  # would style the whole page
    svg = re.sub(
        r"<svg[^>]*>", f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" data-plot="{name}">', svg, count=1
    )
    svg = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"font-family: [^;\"]*; ?", "", svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", svg)
