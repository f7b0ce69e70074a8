"""Which files of a folder belong to a split, told by their names: train-00000-of-00294.parquet, imagenet1k-validation-00.tar."""

from __future__ import annotations

import re
from pathlib import Path

from convert.entries import Account, EntryKind, walk
from convert.errors import UserError

_MARK = re.compile(r"(?:^|[-_.])(train|training|val|valid|validation|test)(?=[-_.])", re.IGNORECASE)
_PART = re.compile(r"^(.*?)-?(\d+)-of-(\d+)(?=[-.])|^(part-)(\d+)-|^(.*?)(\d+)\.[a-z]+$", re.IGNORECASE)
_SHORT = {"training": "train", "valid": "val", "validation": "val"}


def files_of_split(path: Path, kind: EntryKind, split: str, account: Account) -> list[Path]:
    """The files of one split, sorted by name.

    Args:
        path: a folder, or one file, which is the split whatever its name.
        kind: of the files in a folder.
        split: as the user named it; "" if not. It matters only where the folder holds several splits.
        account: of what else the folder holds.

    Raises:
        UserError: the folder holds several splits and `split` is none of them, or some files lie deeper, or are missing.
    """
    if not path.is_dir():
        return [path]
    by_split: dict[str, list[str]] = {}
    for entry in account.take(walk(path), kind):
        if "/" in entry.name:
            raise UserError(
                f"{path} holds {entry.name}, in a folder of its own: give the folder that holds it directly"
            )
        by_split.setdefault(_split_in(entry.name), []).append(entry.name)
    wanted = _SHORT.get(split.lower(), split.lower())
    if len(by_split) > 1 and wanted and wanted in by_split:
        by_split = {wanted: by_split[wanted]}
    if len(by_split) < 2:
        names = sorted(next(iter(by_split.values()), []))
        _refuse_holes(path, names)
        return [path / name for name in names]
    found = ", ".join(f"{name or 'unnamed'} ({len(members):,} files)" for name, members in sorted(by_split.items()))
    raise UserError(f"{path} holds several splits, {found}: say --split with one of them")


def _refuse_holes(folder: Path, names: list[str]) -> None:
    """Raise UserError if one of numbered files is missing: of 00000-of-00294, or between the first and the last."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for match in filter(None, map(_PART.match, names)):
        prefix, number, count = next(
            (match[first], match[first + 1], match[3] if first == 1 else "") for first in (1, 4, 6) if match[first + 1]
        )
        found.setdefault((prefix, count), {})[int(number)] = number
    for (_, count), numbers in found.items():
        first, last = min(numbers), max(numbers)
        padded = any(len(text) > 1 and text.startswith("0") for text in numbers.values())
        wanted = range(min(first, 1) if padded else first, last + 1)
        if count:
            wanted = range(int(last == int(count)), max(last, int(count) - 1) + 1)
        missing = len(wanted) - sum(number in wanted for number in numbers)
        if missing and (count or padded or missing <= len(numbers)):  # else they are years, dates and the like
            hole = next(number for number in wanted if number not in numbers)
            label = f"{hole:0{len(numbers[last])}d}" + (f"-of-{count}" if count else "")
            raise UserError(
                f"{folder} lacks {missing:,} of {len(wanted):,} files, the first is number {label}: get what is "
                "missing, or rename the others if only they are meant"
            )


def names_a_split(name: str) -> bool:
    """Whether a folder or an archive, its suffix left out, is named like a split: val, ILSVRC2012_img_val."""
    return _split_in(f"{name}.") != ""


def _split_in(name: str) -> str:
    """The split that a file name tells, in its short form; "" if it tells none."""
    marks = [match[1].lower() for match in _MARK.finditer(name)]
    return _SHORT.get(marks[-1], marks[-1]) if marks else ""
