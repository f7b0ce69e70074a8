"""Classes: the fixed table of ImageNet-1k, tables from files, and the labels that follow from them.

A label is the index of the class's wnid in the sorted list of wnids. The devkit numbers the same classes
in another order (its ids 1 to 1,000), which is the classic way to train on wrong labels: a table in any
other order than sorted wnids is recognised and refused, unless forced.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from convert.dataset.manifest import ClassEntry
from convert.errors import UserError

IMAGENET1K_PATH = Path(__file__).with_name("imagenet1k.tsv")
WNID_PATTERN = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class TableClass:
    """One row of a class table; its label is its position in the table."""

    wnid: str
    devkit_id: int
    """ILSVRC2012_ID of the development kit, 1 to 1,000; 0 where a table has none."""
    name: str


@lru_cache(maxsize=1)
def load_imagenet1k() -> tuple[TableClass, ...]:
    """The 1,000 classes of ILSVRC 2012 in label order (sorted wnids)."""
    return read_table(IMAGENET1K_PATH)


def read_table(path: Path, *, force_order: bool = False) -> tuple[TableClass, ...]:
    """Read a tab-separated class table with a header row: `wnid`, and optionally `devkit_id` and `name`.

    Every line is a class and nothing is quoted; wnids are taken in Unicode's normal form C, as those of folders are.

    Args:
        path: the file; UTF-8, or UTF-16 as Excel's "Unicode text" is.
        force_order: accept rows in another order than sorted wnids; labels are then the row numbers.

    Raises:
        UserError: unreadable, no column `wnid`, duplicate wnids, or another order than sorted wnids.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the class table {path} ({error}): give a tab-separated file with a header row"
        ) from error
    header, *lines = (line.rstrip("\r").split("\t") for line in normalised(text).split("\n"))
    if "wnid" not in header:
        raise UserError(
            f"the class table {path} has no column 'wnid': its first line must name the columns, separated by tabs"
        )
    table = tuple(_row(path, number, header, cells) for number, cells in enumerate(lines, 2) if cells != [""])
    if not table:
        raise UserError(f"the class table {path} has no rows: give one line for each class")
    wnids = [entry.wnid for entry in table]
    if len(set(wnids)) != len(wnids):
        raise UserError(f"the class table {path} names a wnid twice: remove the duplicate rows")
    if wnids != sorted(wnids) and not force_order:
        raise UserError(
            f"the class table {path} is not in the order of its wnids{_devkit_remark(wnids)}: labels would not mean what "
            "ImageNet models expect; sort its rows by wnid, or say --force-labels if you mean it"
        )
    return table


def _row(path: Path, number: int, header: list[str], cells: list[str]) -> TableClass:
    row = dict(zip(header, map(str.strip, cells), strict=False))
    devkit_id = row.get("devkit_id") or "0"
    if len(cells) > len(header) or not row.get("wnid") or not (devkit_id.isascii() and devkit_id.isdigit()):
        raise UserError(
            f"the class table {path} has a bad row, line {number}: a wnid is needed, devkit_id must be a number, and there are no "
            f"more columns than the {len(header)} of the first line"
        )
    return TableClass(row["wnid"], int(devkit_id), row.get("name") or row["wnid"])


def normalised(text: str) -> str:
    """Text in Unicode's normal form C: macOS writes the names of folders in another one, which looks the same."""
    return unicodedata.normalize("NFC", text)


def _devkit_remark(wnids: list[str]) -> str:
    devkit_order = [entry.wnid for entry in sorted(load_imagenet1k(), key=lambda entry: entry.devkit_id)]
    return " but in that of the development kit" if wnids == devkit_order[: len(wnids)] else ""


def table_for(choice: str, *, force_order: bool = False) -> tuple[TableClass, ...]:
    """The table that gives label numbers their meaning: that of the file `choice`, or ImageNet-1k's."""
    return load_imagenet1k() if choice in ("auto", "imagenet1k") else read_table(Path(choice), force_order=force_order)


def resolve_classes(choice: str, found: Iterable[str], *, force_order: bool = False) -> tuple[ClassEntry, ...]:
    """The classes of a dataset in label order.

    Args:
        choice: `auto` (the wnids found), `imagenet1k` (the fixed 1,000) or the path of a table.
        found: the wnids that the source holds.
        force_order: see `read_table`.

    Raises:
        UserError: the source holds a wnid that the chosen table lacks.
    """
    found = sorted(set(found))
    if choice == "auto":
        names = {entry.wnid: entry.name for entry in load_imagenet1k()}
        return tuple(ClassEntry(wnid, names.get(wnid, wnid)) for wnid in found)
    table = table_for(choice, force_order=force_order)
    unknown = sorted(set(found) - {entry.wnid for entry in table})
    if unknown:
        raise UserError(
            f"the source holds {len(unknown)} classes that {choice} lacks, the first is {unknown[0]}: "
            "give a table that has them, or --classes auto"
        )
    return tuple(ClassEntry(entry.wnid, entry.name) for entry in table)


def class_notes(choice: str, entries: Sequence[ClassEntry], found: Iterable[str]) -> list[str]:
    """What to tell about the classes before anything is converted: those without images, and labels that surprise.

    Args:
        choice: see `resolve_classes`, which gave the `entries`.
        entries: the classes in label order.
        found: the wnids that the source holds.
    """
    present, notes = set(found), []
    if missing := [entry for entry in entries if entry.wnid not in present]:
        first = ", ".join(
            f"{entry.wnid} ({entry.name})" if entry.name != entry.wnid else entry.wnid for entry in missing[:3]
        )
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        notes.append(f"{len(missing):,} of the {len(entries):,} classes of {choice} have no images: {first}{more}")
    if len(present) == 1:
        notes.append(
            f"all images are of one class, {next(iter(present))}, from which no network learns: is this the folder of one class "
            "instead of that of a split?"
        )
    wnids = [entry.wnid for entry in entries]
    if all(wnid.isdecimal() for wnid in wnids) and wnids != (by_number := sorted(wnids, key=int)):
        label = next(label for label, pair in enumerate(zip(wnids, by_number, strict=True)) if pair[0] != pair[1])
        notes.append(
            f"the classes are named by numbers, which sort as text, so that label {label} is class {wnids[label]} and not "
            f"{by_number[label]}: to number them otherwise give them names of equal length, such as {int(wnids[label]):04d}"
        )
    return notes
