"""From probabilities to the likeliest classes, and how they are told."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.dataset.manifest import ClassEntry
from convert.image.contact_sheet import Tile


@dataclass(frozen=True)
class Guess:
    """One class that a picture may show."""

    label: int
    wnid: str
    name: str
    probability: float


def best_guesses(probabilities: np.ndarray, classes: tuple[ClassEntry, ...], count: int) -> list[Guess]:
    """The `count` likeliest of one picture's classes (float64 [classes]), likeliest first."""
    best = np.argsort(-probabilities, kind="stable")[:count].tolist()
    return [
        Guess(label, classes[label].wnid, classes[label].name, round(float(probabilities[label]), 6)) for label in best
    ]


def as_text(path: Path, guesses: list[Guess]) -> str:
    """For people: the path, and a line for each guess."""
    lines = [f"  {100 * guess.probability:6.2f} %  {guess.wnid}  {guess.name}" for guess in guesses]
    return "\n".join([_printable(path), *lines])


def as_json(path: Path, guesses: list[Guess]) -> str:
    """For programs: one JSON object on one line."""
    return json.dumps(
        {"image": _printable(path), "guesses": [dataclasses.asdict(guess) for guess in guesses]}, ensure_ascii=False
    )


def as_tile(path: Path, pixels: np.ndarray, guesses: list[Guess]) -> Tile:
    """For a contact sheet: what the network saw, uint8 [3, S, S], with its likeliest class."""
    best = guesses[0]
    return Tile(
        np.ascontiguousarray(pixels.transpose(1, 2, 0)),
        (f"{100 * best.probability:.1f} % {best.name.split(',')[0]}", _printable(Path(path.stem))),
    )


def _printable(path: Path) -> str:
    """The path in Unicode: bytes of a name that are no UTF-8 as \\udc80 to \\udcff."""
    return str(path).encode(errors="backslashreplace").decode()
