"""Reading results: what harness.emit wrote, line by line; which field says what was measured, and which how."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convert.errors import UserError

Result = dict[str, Any]

IDENTITY: dict[str, tuple[str, ...]] = {
    "feed_rate": ("feed", "short_side", "image_size", "batch_size", "threads", "page_cache"),
    "convert_rate": ("encoding", "check", "short_side", "workers"),
    "convert_scaling": ("encoding", "check", "short_side", "workers"),
    "convert_scale": ("images", "shards"),
    "step_time": ("device", "ranks", "image_size", "batch_size", "threads", "slow"),
    "clients": ("framework", "loader", "network", "from", "device", "image_size", "batch_size"),
    "peers": ("loader", "image_size", "batch_size", "workers"),
    "scaling": ("axis", "value"),
    "open_rate": ("rows", "shards", "ranks", "batch_size"),
    "infer_rate": ("kind", "image_size", "batch_size"),
    "learning": ("feed", "seed", "image_size", "batch_size", "recipe", "options", "epochs", "epoch"),
    "stored_size": ("short_side", "image_size"),
}
"""By benchmark: the fields that say what a line measured; two lines that agree in them can be compared."""

HIGHER_IS_BETTER = ("_per_s", "_per_core_s", "speedup", "_over_loop", "times_reference", "psnr_db_mean", "_accuracy")
LOWER_IS_BETTER = ("_ms", "_s", "_mb", "_mb_growth", "_ms_per_step", "_levels_mean")


def load_results(path: Path) -> list[Result]:
    """The results in a file of JSON lines, or in all such files of a folder, in the order of their names.

    Raises:
        UserError: there is none, or a line is no result; names file and line.
    """
    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not paths:
        raise UserError(f"{path} holds no results (*.jsonl): run a benchmark with --json {path}/NAME.jsonl")
    return [result for one in paths for result in _load(one)]


def _load(path: Path) -> Iterable[Result]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): check the path") from error
    for number, line in enumerate(lines, start=1):
        try:
            result = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number} is no JSON ({error.msg}): measure again") from error
        if not isinstance(result, dict) or not isinstance(result.get("benchmark"), str):
            raise UserError(f"{path}, line {number} is no result of a benchmark: it has no field benchmark")
        yield result


def of_benchmark(results: Iterable[Result], name: str) -> list[Result]:
    """The results of one benchmark, in order."""
    return [result for result in results if result["benchmark"] == name]


def identity(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What a result measured, as words: ("feed_rate", "feed=planes", ...)."""
    fields = IDENTITY.get(result["benchmark"], ())
    return (result["benchmark"], *(f"{name}={result[name]}" for name in fields if result.get(name) is not None))


def metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The measured numbers of a result by name, percentiles by their median; no minima, maxima or environment."""
    found: dict[str, float] = {}
    for name, value in result.items():
        if name.endswith(("_min", "_max")) or name in IDENTITY.get(result["benchmark"], ()):
            continue
        if isinstance(value, dict) and "p50" in value:
            found[name] = value["p50"]
        elif isinstance(value, float) and is_metric(name):
            found[name] = value
    return found


def is_metric(name: str) -> bool:
    """Whether a field's name says that it was measured, by its unit."""
    return name.endswith((*HIGHER_IS_BETTER, *LOWER_IS_BETTER))


def higher_is_better(name: str) -> bool:
    """Whether more of this is an improvement."""
    return name.endswith(HIGHER_IS_BETTER)
