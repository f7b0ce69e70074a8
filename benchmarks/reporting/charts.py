"""Results -> SVG files, the same bytes from the same results: no dates, no random ids, text left as text."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.prediction.budget import ASSUMED_COMPUTE_MS, REFERENCE_STEP_MS, Host, predict_step
from benchmarks.reporting.learning_page import Curve, settings
from benchmarks.reporting.markdown import JITTER_CASES, JITTERS
from benchmarks.reporting.results import Result, of_benchmark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _OTHERS = "#1f6f8b", "#b0b7bd"
_CORES = (1, 2, 4, 8, 16, 32, 56, 96)
_STYLE = {
    "svg.hashsalt": "tinydarknet",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_all(results: Sequence[Result]) -> dict[str, bytes]:
    """SVG files by their places in docs/, one for every kind of results that is there."""
    drawers: dict[str, tuple[str, Callable[[Figure, list[Result]], None]]] = {
        "benchmarks/peers.svg": ("peers", _peers),
        "benchmarks/budget.svg": ("feed_rate", _budget),
        "benchmarks/jitter.svg": ("feed_rate", _jitter),
        "benchmarks/scaling.svg": ("scaling", _scaling),
        "learning/epochs.svg": ("learning", partial(_learning, x="epoch", words="epoch")),
        "learning/cpu_seconds.svg": ("learning", partial(_learning, x="elapsed_cpu_s", words="CPU seconds")),
    }
    drawn = {}
    for name, (benchmark, draw) in drawers.items():
        found = of_benchmark(results, benchmark)
        if found:
            drawn[name] = _svg(lambda figure, draw=draw, found=found: draw(figure, found))
    return drawn


def _svg(draw: Callable[[Figure], None]) -> bytes:
    with _figure() as figure:
        draw(figure)
        output = io.BytesIO()
        figure.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
        # matplotlib leaves blanks at the ends of lines
        return b"\n".join(line.rstrip() for line in output.getvalue().splitlines()) + b"\n"


@contextlib.contextmanager
def _figure() -> Iterator[Figure]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(7.5, 3.2), layout="constrained")


def _peers(figure: Figure, peers: list[Result]) -> None:
    run = [peer for peer in reversed(peers) if "images_per_core_s" in peer]
    axes = figure.subplots()
    rates = [peer["images_per_core_s"] for peer in run]
    names = [f"{peer['loader']} (this project)" if peer["ours"] else peer["loader"] for peer in run]
    axes.barh(names, rates, color=[_OURS if peer["ours"] else _OTHERS for peer in run])
    for place, rate in enumerate(rates):
        axes.text(rate * 1.05, place, f"{rate:,.0f}", va="center")
    axes.set_xscale("log")
    axes.set_xlim(100, 2 * max(rates))
    axes.set_xlabel("images per core-second, logarithmic")


def _budget(figure: Figure, rates: list[Result]) -> None:
    axes = figure.subplots()
    for rate in rates:
        hosts = [Host(cores=cores) for cores in _CORES]
        steps = [predict_step(rate["feed"], rate["images_per_core_s"], host).step_ms for host in hosts]
        axes.plot(_CORES, steps, marker="o", markersize=3, label=rate["feed"])
    axes.axhline(REFERENCE_STEP_MS, color="black", linestyle=":", linewidth=1)
    axes.text(1, REFERENCE_STEP_MS * 1.08, "published for the reference on 56 cores: 104 ms")
    axes.axhline(ASSUMED_COMPUTE_MS, color="black", linestyle="--", linewidth=1)
    axes.set_ylim(bottom=ASSUMED_COMPUTE_MS / 2)
    axes.text(1, ASSUMED_COMPUTE_MS * 0.72, f"a card without waiting, assumed: {ASSUMED_COMPUTE_MS:.0f} ms")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(_CORES, [str(cores) for cores in _CORES])
    axes.set_xlabel("cores of a host with 8 cards, batch 128 each")
    axes.set_ylabel("step, ms, predicted")
    axes.legend(frameon=False)


def _jitter(figure: Figure, _: list[Result]) -> None:
    axes = figure.subplots()
    for case in JITTER_CASES:
        style = ("--" if case.feed_share < 1 else "-") if case.varies == "feed" else ":"
        label = f"{case.words}, {case.queue} ready"
        axes.plot([100 * jitter for jitter in JITTERS], case.ratios, style, marker="o", markersize=3, label=label)
    axes.set_xlabel("standard deviation of what varies, % of its mean")
    axes.set_ylabel("simulated step / max(compute, feed)")
    figure.legend(frameon=False, loc="outside right upper", fontsize=7)


def _learning(figure: Figure, results: list[Result], x: str, words: str) -> None:
    """One panel for each setting: the mean of the seeds as a line, from the lowest to the highest as a band."""
    by_setting = settings(results)
    panels: Any = figure.subplots(1, len(by_setting), squeeze=False, sharey=True)
    for axes, ((image_size, *_), curves) in zip(panels.flat, by_setting.items(), strict=True):
        for feed, colour in _FEED_COLOURS.items():
            _learning_band(axes, [curve for curve in curves if curve.feed == feed], x, feed, colour)
        axes.set_title(f"{image_size} pixels", fontsize=9)
        axes.set_xlabel(words)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    panels.flat[0].set_ylabel("top-1, %")
    panels.flat[0].legend(frameon=False)


def _learning_band(axes: Axes, curves: list[Curve], x: str, feed: str, colour: str) -> None:
    if not curves:
        return
    epochs = list(zip(*(curve.epochs for curve in curves), strict=True))
    places = [sum(run[x] for run in runs) / len(runs) for runs in epochs]
    scores = [[100 * run["top_1_accuracy"] for run in runs] for runs in epochs]
    axes.fill_between(
        places, [min(of) for of in scores], [max(of) for of in scores], color=colour, alpha=0.15, linewidth=0
    )
    axes.plot(places, [sum(of) / len(of) for of in scores], marker="o", markersize=3, color=colour, label=feed)


_FEED_COLOURS = {"planes": _OURS, "jpeg": "#7fb069", "reference": "#d1495b", "torch": "#6c6f73"}

_PANELS: tuple[tuple[str, str, str, str], ...] = (
    ("threads", "images_per_core_s", "threads of one rank", "images per core-second"),
    ("ranks", "images_per_core_s", "ranks at once", "images per core-second"),
    ("batch", "images_per_core_s", "batch size", "images per core-second"),
    ("shards", "open_s", "shards", "seconds to open"),
    ("rows", "open_s", "rows", "seconds to open"),
    ("rows", "added_peak_rss_mb", "rows", "MB of memory"),
)


def _scaling(figure: Figure, results: list[Result]) -> None:
    figure.set_size_inches(7.5, 4.6)
    panels: Any = figure.subplots(2, 3)
    for axes, (axis, metric, x_name, y_name) in zip(panels.flat, _PANELS, strict=True):
        _scaling_panel(axes, [result for result in results if result["axis"] == axis], metric)
        axes.set_xlabel(x_name)
        axes.set_ylabel(y_name)


def _scaling_panel(axes: Axes, results: list[Result], metric: str) -> None:
    values = [result["value"] for result in results]
    axes.plot(values, [result[metric] for result in results], marker="o", markersize=3, color=_OURS)
    axes.set_ylim(bottom=0)
    if values and max(values) > 50 * min(values):
        axes.set_xscale("log")
        axes.minorticks_off()
