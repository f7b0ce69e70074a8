"""Scores -> rows for people and machines: by class, by pair of classes taken for each other, by image, by image size; pure."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from convert.dataset.manifest import ClassEntry
from tinydarknet.evaluate.scores import TOP_K


@dataclass(frozen=True)
class ClassRow:
    """One class; fractions are None where there is nothing to divide by."""

    label: int
    wnid: str
    name: str
    images: int
    top1: int
    top5: int
    top1_accuracy: float | None
    top5_accuracy: float | None
    guessed: int
    """Images of any class whose first guess it is."""
    precision: float | None
    """The part of those that are of this class."""
    mean_loss: float | None


@dataclass(frozen=True)
class ConfusedPair:
    """A class and another that images of it were taken for at first guess."""

    label: int
    wnid: str
    name: str
    guess: int
    guess_wnid: str
    guess_name: str
    images: int
    share_of_class: float
    """Of all images of the class."""


@dataclass(frozen=True)
class WorstImage:
    """An image that the network did badly on."""

    id: int
    key: str
    label: int
    wnid: str
    name: str
    guess: int
    guess_wnid: str
    guess_name: str
    probability: float
    """Of the guess."""
    own_probability: float
    """Of the right class."""
    loss: float


@dataclass(frozen=True)
class SizeRow:
    """The counts at one image size."""

    image_size: int
    top1: int
    top5: int
    total: int
    flip_top1: int | None
    """With mirror images; None without --flip."""
    flip_top5: int | None
    seconds: float


def class_rows(scores: np.ndarray, classes: Sequence[ClassEntry]) -> list[ClassRow]:
    """Every class in label order, those without images too, from a table of scores, SCORE [n]."""
    label, place = scores["label"], scores["place"]
    images, top1, top5, guessed = (
        np.bincount(labels, minlength=len(classes)).tolist()
        for labels in (label, label[place == 0], label[place < TOP_K], scores["guesses"][:, 0])
    )
    loss = np.bincount(label, scores["loss"], len(classes)).tolist()
    return [
        ClassRow(
            label=number,
            wnid=entry.wnid,
            name=entry.name,
            images=images[number],
            top1=top1[number],
            top5=top5[number],
            top1_accuracy=_ratio(top1[number], images[number]),
            top5_accuracy=_ratio(top5[number], images[number]),
            guessed=guessed[number],
            precision=_ratio(top1[number], guessed[number]),
            mean_loss=_ratio(loss[number], images[number]),
        )
        for number, entry in enumerate(classes)
    ]


def confused_pairs(scores: np.ndarray, classes: Sequence[ClassEntry]) -> list[ConfusedPair]:
    """Every pair that occurs, most images first, then by label and guess."""
    wrong = scores[scores["place"] > 0]
    codes, counts = np.unique(
        wrong["label"].astype(np.int64) * len(classes) + wrong["guesses"][:, 0], return_counts=True
    )
    images = np.bincount(scores["label"], minlength=len(classes))
    pairs = []
    for index in np.argsort(-counts, kind="stable"):
        label, guess = divmod(int(codes[index]), len(classes))
        own, other = classes[label], classes[guess]
        share = round(int(counts[index]) / int(images[label]), 6)
        pairs.append(ConfusedPair(label, own.wnid, own.name, guess, other.wnid, other.name, int(counts[index]), share))
    return pairs


def worst_images(
    scores: np.ndarray, ids: Iterable[int], keys: list[str], classes: Sequence[ClassEntry]
) -> list[WorstImage]:
    """The images `ids`, in that order.

    Args:
        scores: SCORE [n], in the order of the ids.
        ids: which ones.
        keys: of all n images.
        classes: in label order.
    """
    rows = []
    for position in np.searchsorted(scores["id"], list(ids)).tolist():
        score = scores[position]
        label, guess, loss = int(score["label"]), int(score["guesses"][0]), float(score["loss"])
        rows.append(
            WorstImage(
                id=int(score["id"]),
                key=keys[position],
                label=label,
                wnid=classes[label].wnid,
                name=classes[label].name,
                guess=guess,
                guess_wnid=classes[guess].wnid,
                guess_name=classes[guess].name,
                probability=round(float(score["probability"]), 6),
                own_probability=round(float(np.exp(-loss)), 6),
                loss=round(loss, 6),
            )
        )
    return rows


def csv_text(kind: type, rows: Iterable[object]) -> str:
    """Rows of the dataclass `kind` as CSV under a header line; None becomes an empty cell.

    Spreadsheets run text that begins with one of =+-@ as a formula: it gets an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in dataclasses.fields(kind)]
    writer.writerow(names)
    writer.writerows([_inert(getattr(row, name)) for name in names] for row in rows)
    return out.getvalue()


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _ratio(part: float, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
