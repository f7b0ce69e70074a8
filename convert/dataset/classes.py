"""Classes: the fixed table of ImageNet-1k, tables from files, and the labels that follow from them.

A label is the index of the class's wnid in the sorted list of wnids. The devkit numbers the same classes
in another order (its ids 1 to 1,000), which is the classic way to train on wrong labels: a table in any
other order than sorted wnids is recognised and refused, unless forced.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
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

    Args:
        path: the file.
        force_order: accept rows in another order than sorted wnids; labels are then the row numbers.

    Raises:
        UserError: unreadable, no column `wnid`, duplicate wnids, or another order than sorted wnids.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"cannot read the class table {path} ({error}): give a tab-separated file with a header row"
        ) from error
    if not rows or "wnid" not in rows[0]:
        raise UserError(
            f"the class table {path} has no column 'wnid': its first line must name the columns, separated by tabs"
        )
    try:
        table = tuple(
            TableClass(row["wnid"], int(row.get("devkit_id") or 0), row.get("name") or row["wnid"]) for row in rows
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"the class table {path} has a bad row ({error}): devkit_id must be a number") from error
    wnids = [entry.wnid for entry in table]
    if len(set(wnids)) != len(wnids):
        raise UserError(f"the class table {path} names a wnid twice: remove the duplicate rows")
    if wnids != sorted(wnids) and not force_order:
        raise UserError(
            f"the class table {path} is not in the order of its wnids{_devkit_remark(wnids)}: labels would not mean what "
            "ImageNet models expect; sort its rows by wnid, or say --force-labels if you mean it"
        )
    return table


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
