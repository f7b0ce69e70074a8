"""All that an evaluation found -> a folder: tables, figures, the worst images, and one JSON file that comes last."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convert.durable_files import published, write_bytes
from convert.image.contact_sheet import Tile, draw_sheet
from convert.json_fields import to_json, write_json
from tinydarknet.evaluate import plots
from tinydarknet.evaluate.result import EvaluationResult
from tinydarknet.evaluate.tables import (
    ClassRow,
    ConfusedPair,
    SizeRow,
    WorstImage,
    class_rows,
    confused_pairs,
    csv_text,
    worst_images,
)

SUMMARY_NAME = "evaluation.json"
SUMMARY_PAIRS = 100
"""Confused pairs in the JSON file; the CSV file has all."""
PICTURE_SIDE_MIN = 180
"""Pixels; a key below it is some 170 wide."""


def write_folder(folder: Path, result: EvaluationResult, keys: list[str], *, figures: bool) -> list[str]:
    """Write every file whole, the summary last; returns their names.

    Args:
        folder: made if it is not there; files of these names in it are replaced.
        result: what goes into them.
        keys: of all images, in the order of `result.scores`.
        figures: draw the plots, which takes matplotlib.
    """
    classes = class_rows(result.scores, result.classes)
    pairs = confused_pairs(result.scores, result.classes)
    worst = worst_images(result.scores, result.pictures, keys, result.classes)
    texts = {
        "classes.csv": csv_text(ClassRow, classes),
        "confusion.csv": csv_text(ConfusedPair, pairs),
        "calibration.json": to_json(result.calibration),
        "worst.csv": csv_text(WorstImage, worst),
    }
    if len(result.sizes) > 1:
        texts["sweep.csv"] = csv_text(SizeRow, result.sizes)
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    names = [*texts, "images.parquet", "worst.png"]
    write_images(folder / "images.parquet", result.scores, keys)
    draw_worst(folder / "worst.png", worst, result.pictures)
    if figures:
        names += _draw_figures(folder, result, pairs)
    head = {
        "confused": [dataclasses.asdict(pair) for pair in pairs[:SUMMARY_PAIRS]],
        "worst": [dataclasses.asdict(row) for row in worst],
    }
    write_json(folder / SUMMARY_NAME, {**result.fields(), **head, "files": sorted(names)})
    return [*sorted(names), SUMMARY_NAME]


def write_images(path: Path, scores: np.ndarray, keys: list[str]) -> None:
    """Write one row per image to a Parquet file: key and the fields of SCORE."""
    columns: dict[str, Any] = {"id": scores["id"], "key": pa.array(keys, pa.string())}
    for name in ("label", "place", "probability", "loss"):
        columns[name] = scores[name]
    guesses = np.ascontiguousarray(scores["guesses"])
    columns["guesses"] = pa.FixedSizeListArray.from_arrays(pa.array(guesses.reshape(-1)), guesses.shape[1])
    with published(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def draw_worst(path: Path, rows: Sequence[WorstImage], pictures: Mapping[int, np.ndarray]) -> None:
    """Write a picture file with one captioned tile for each of `rows`: key, class, first guess, their probabilities.

    Args:
        path: of the file.
        rows: in the order in which they are drawn.
        pictures: by id, RGB uint8 [S, S, 3].
    """
    tiles = [
        Tile(
            pictures[row.id],
            (row.key, f"{row.own_probability:.2%} {row.name}", f"taken for {row.probability:.0%} {row.guess_name}"),
        )
        for row in rows
    ]
    draw_sheet(tiles, path, max(PICTURE_SIDE_MIN, tiles[0].pixels.shape[0]))


def _draw_figures(folder: Path, result: EvaluationResult, pairs: Sequence[ConfusedPair]) -> list[str]:
    plots.draw_confusion(folder / "confusion.png", result.scores, result.classes, pairs)
    plots.draw_calibration(folder / "calibration.png", result.calibration)
    sizes = result.sizes
    if len(sizes) < 2:
        return ["confusion.png", "calibration.png"]
    curves = {f"top-{k}": [getattr(row, f"top{k}") / row.total for row in sizes] for k in (1, 5)}
    if result.flip is not None:
        flips = {
            f"top-{k} with mirror images": [getattr(row, f"flip_top{k}") / row.total for row in sizes] for k in (1, 5)
        }
        curves |= flips
    plots.draw_sweep(folder / "sweep.png", [row.image_size for row in sizes], curves)
    return ["confusion.png", "calibration.png", "sweep.png"]
