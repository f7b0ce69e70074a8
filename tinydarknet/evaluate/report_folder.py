"""All that an evaluation found -> a folder: tables, figures, the worst images, and one JSON file that comes last."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convert.contact_sheet import Tile, draw_sheet
from convert.dataset.manifest import ClassEntry
from convert.durable_files import published, write_bytes
from convert.json_fields import to_json, write_json
from tinydarknet.evaluate import plots
from tinydarknet.evaluate.scores import Calibration
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

PICTURE_SIDE_MIN = 180
"""Pixels; a key below it is some 170 wide."""


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
            (
                row.key,
                f"{row.own_probability:.2%} {row.name}",
                f"taken for {row.probability:.0%} {row.guess_name}",
            ),
        )
        for row in rows
    ]
    draw_sheet(tiles, path, max(PICTURE_SIDE_MIN, tiles[0].pixels.shape[0]))


SUMMARY_NAME = "evaluation.json"
SUMMARY_PAIRS = 100
"""Confused pairs in the JSON file; the CSV file has all."""


@dataclass(frozen=True)
class Findings:
    """What is written."""

    scores: np.ndarray
    """SCORE [n]."""
    keys: list[str]
    """Of the n images."""
    classes: Sequence[ClassEntry]
    """In label order."""
    calibration: Calibration
    pictures: dict[int, np.ndarray]
    """Of the worst images, worst first: by id, RGB uint8 [S, S, 3]."""
    sizes: Sequence[SizeRow]
    """By rising size; fewer than two are no sweep."""


def write_findings(folder: Path, findings: Findings, summary: dict[str, Any], *, figures: bool) -> list[str]:
    """Write every file whole, the summary last; returns their names.

    Args:
        folder: made if it is not there; files of these names in it are replaced.
        findings: what goes into the tables and figures.
        summary: what goes into the JSON file beside the tables' heads.
        figures: draw the plots, which takes matplotlib.
    """
    classes = class_rows(findings.scores, findings.classes)
    pairs = confused_pairs(findings.scores, findings.classes)
    worst = worst_images(findings.scores, findings.pictures, findings.keys, findings.classes)
    texts = {
        "classes.csv": csv_text(ClassRow, classes),
        "confusion.csv": csv_text(ConfusedPair, pairs),
        "calibration.json": to_json(findings.calibration),
        "worst.csv": csv_text(WorstImage, worst),
    }
    if len(findings.sizes) > 1:
        texts["sweep.csv"] = csv_text(SizeRow, findings.sizes)
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    names = [*texts, "images.parquet", "worst.png"]
    write_images(folder / "images.parquet", findings.scores, findings.keys)
    draw_worst(folder / "worst.png", worst, findings.pictures)
    if figures:
        names += _draw(folder, findings, pairs)
    head = {"confused": [dataclasses.asdict(pair) for pair in pairs[:SUMMARY_PAIRS]]}
    head["worst"] = [dataclasses.asdict(row) for row in worst]
    write_json(folder / SUMMARY_NAME, {**summary, **head, "files": sorted(names)})
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


def _draw(folder: Path, findings: Findings, pairs: Sequence[ConfusedPair]) -> list[str]:
    plots.draw_confusion(folder / "confusion.png", findings.scores, findings.classes, pairs)
    plots.draw_calibration(folder / "calibration.png", findings.calibration)
    names = ["confusion.png", "calibration.png"]
    if len(findings.sizes) > 1:
        curves = {
            "top-1": [row.top1 / row.total for row in findings.sizes],
            "top-5": [row.top5 / row.total for row in findings.sizes],
        }
        flips = {
            "top-1 with mirror images": [
                row.flip_top1 / row.total for row in findings.sizes if row.flip_top1 is not None
            ],
            "top-5 with mirror images": [
                row.flip_top5 / row.total for row in findings.sizes if row.flip_top5 is not None
            ],
        }
        curves |= {name: values for name, values in flips.items() if values}
        plots.draw_sweep(folder / "sweep.png", [row.image_size for row in findings.sizes], curves)
        names.append("sweep.png")
    return names
