"""Which files of a folder belong to a split, told by their names: train-00000-of-00294.parquet, imagenet1k-validation-00.tar."""

from __future__ import annotations

import re
from pathlib import Path

from convert.errors import UserError
from convert.sources.base import visible

_MARK = re.compile(r"(?:^|[-_.])(train|training|val|valid|validation|test)(?=[-_.])", re.IGNORECASE)
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=[-.])")
_SHORT = {"training": "train", "valid": "val", "validation": "val"}


def files_with_suffix(folder: Path, suffix: str) -> list[Path]:
    """The files directly in `folder` whose names end in `suffix` in any case, hidden ones left out, sorted by name."""
    return sorted(
        Path(entry.path) for entry in visible(folder) if entry.name.lower().endswith(suffix) and entry.is_file()
    )


def files_of_split(path: Path, suffix: str, split: str) -> list[Path]:
    """The files of one split, sorted by name.

    Args:
        path: a folder, or one file, which is the split whatever its name.
        suffix: of the files in a folder, such as ".parquet", in any case.
        split: as the user named it; "" if not. It matters only where the folder holds several splits.

    Raises:
        UserError: the folder holds several splits and `split` is none of them.
    """
    if not path.is_dir():
        return [path]
    files = files_with_suffix(path, suffix)
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(_split_in(file.name), []).append(file)
    wanted = _SHORT.get(split.lower(), split.lower())
    if len(by_split) > 1 and wanted and wanted in by_split:
        by_split = {wanted: by_split[wanted]}
    if len(by_split) < 2:
        return _all_parts(path, next(iter(by_split.values()), []))
    found = ", ".join(f"{name or 'unnamed'} ({len(members):,} files)" for name, members in sorted(by_split.items()))
    raise UserError(f"{path} holds several splits, {found}: say --split with one of them")


def _all_parts(folder: Path, files: list[Path]) -> list[Path]:
    """The same files; raises UserError if one of those that 00000-of-00294 promises is missing."""
    found: dict[int, set[int]] = {}
    for match in filter(None, (_PART.search(file.name) for file in files)):
        found.setdefault(int(match[2]), set()).add(int(match[1]))
    for count, numbers in found.items():
        if missing := sorted(set(range(count)) - numbers):
            raise UserError(
                f"{folder} lacks {len(missing):,} of {count:,} files, the first is number {missing[0]:05d}-of-{count:05d}: get "
                "what is missing, or rename the others if only they are meant"
            )
    return files


def names_a_split(name: str) -> bool:
    """Whether a folder or an archive, its suffix left out, is named like a split: val, ILSVRC2012_img_val."""
    return _split_in(f"{name}.") != ""


def _split_in(name: str) -> str:
    """The split that a file name tells, in its short form; "" if it tells none."""
    marks = [match[1].lower() for match in _MARK.finditer(name)]
    return _SHORT.get(marks[-1], marks[-1]) if marks else ""
