"""Which files of a folder belong to a split, told by their names: train-00000-of-00294.parquet, imagenet1k-validation-00.tar."""

from __future__ import annotations

import re
from pathlib import Path

from convert.errors import UserError

_MARK = re.compile(r"(?:^|[-_.])(train|training|val|valid|validation|test)(?=[-_.])", re.IGNORECASE)
_SHORT = {"training": "train", "valid": "val", "validation": "val"}


def files_with_suffix(folder: Path, suffix: str) -> list[Path]:
    """The files directly in `folder` whose names end in `suffix` in any case, hidden ones left out, sorted by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(suffix) and not path.name.startswith(".") and path.is_file()
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
    if len(by_split) < 2:
        return files
    if wanted and wanted in by_split:
        return by_split[wanted]
    found = ", ".join(f"{name or 'unnamed'} ({len(members):,} files)" for name, members in sorted(by_split.items()))
    raise UserError(f"{path} holds several splits, {found}: say --split with one of them")


def _split_in(name: str) -> str:
    """The split that a file name tells, in its short form; "" if it tells none."""
    marks = [match[1].lower() for match in _MARK.finditer(name)]
    return _SHORT.get(marks[-1], marks[-1]) if marks else ""
