"""Labels that do not come from folder names: the devkit's ground truth, and label numbers in packed datasets."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from convert.dataset.classes import WNID_PATTERN, TableClass
from convert.errors import UserError
from convert.sources.splits import names_a_split

TRUTH_NAME = "ILSVRC2012_validation_ground_truth.txt"
META_NAME = "meta.mat"
VALIDATION_IMAGES = 50_000

_NUMBER = re.compile(r"val_(\d{8})\.\w+$")
_SPLIT_IMAGE = re.compile(r"ILSVRC2012_(?:val|test)_\d{8}\.")
_LANDMARKS = ((1, "n01751748"), (293, "n01440764"))
"""Two validation images of ILSVRC 2012 and their classes; in label numbers 65 and 0, in devkit ids 490 and 449."""


@dataclass(frozen=True)
class Truth:
    """The class of every validation image."""

    path: Path
    wnids: tuple[str, ...]
    """Of image number 1, 2, ..."""

    def wnid_of(self, name: str) -> str:
        """The class of `ILSVRC2012_val_00000001.JPEG` and its like.

        Raises:
            UserError: the name has no number, or the ground truth does not reach that far.
        """
        match = _NUMBER.search(name)
        if match is None:
            raise UserError(
                f"{name} has no number like ILSVRC2012_val_00000001.JPEG: {self.path} cannot tell its class"
            )
        number = int(match.group(1))
        if not 1 <= number <= len(self.wnids):
            raise UserError(f"{name}: {self.path} has only {len(self.wnids):,} lines")
        return self.wnids[number - 1]

    def refuse_other_length(self, names: Iterable[str]) -> None:
        """Raise UserError for a ground truth that neither is as long as ImageNet's nor ends with the last of these images."""
        last = max((int(match[1]) for match in map(_NUMBER.search, names) if match), default=0)
        if len(self.wnids) not in (VALIDATION_IMAGES, last):
            raise UserError(
                f"{self.path} has {len(self.wnids):,} lines, the last image is number {last:,}, and ImageNet's has "
                f"{VALIDATION_IMAGES:,}: a line too many or too few shifts all classes behind it; get the original, or one "
                "line for each image"
            )


def lacks_class(folder: str, name: str) -> bool:
    """Whether an image lies where nothing tells its class: in no folder, or a validation image in `val` itself.

    Args:
        folder: the name of the folder or the archive that the image lies in, without a suffix; "" if in none.
        name: of the image.
    """
    return not folder or (names_a_split(folder) and _SPLIT_IMAGE.search(name) is not None)


def find_truth(source: Path, devkit: Path | None, table: Sequence[TableClass], force: bool) -> Truth:
    """Find and read the ground truth of a flat validation split.

    Args:
        source: the images' folder or tar.
        devkit: a folder that holds the files, or the ground truth itself; None: look around `source`.
        table: gives the wnids of devkit ids if there is no meta.mat beside the ground truth.
        force: accept a ground truth that does not agree with the known landmarks.

    Raises:
        UserError: not found, unreadable, or in another numbering than the devkit's.
    """
    around = [devkit] if devkit else [source, source.parent]
    folders = [folder / part for folder in around for part in ("", "data", "ILSVRC2012_devkit_t12/data", "devkit/data")]
    found = [devkit] if devkit and devkit.is_file() else [folder / TRUTH_NAME for folder in folders]
    path = next((candidate for candidate in found if candidate.is_file()), None)
    if path is None:
        raise UserError(
            f"{source} holds validation images without class folders, and {TRUTH_NAME} is not beside them: "
            "say --devkit FOLDER, it is in ILSVRC2012_devkit_t12.tar.gz"
        )
    try:
        numbers = [int(line) for line in path.read_text(encoding="utf-8-sig").split()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a list of one class number per line ({error})") from error
    wnid_of_id = _read_meta(path.with_name(META_NAME)) or {entry.devkit_id: entry.wnid for entry in table}
    unknown = sorted(set(numbers) - set(wnid_of_id))
    if unknown and not force:
        raise UserError(
            f"{path} has the class number {unknown[0]}, which is no id of the development kit (1 to {max(wnid_of_id)}): "
            "it is not the original ground truth; say --devkit with the right one"
        )
    wnids = tuple(wnid_of_id.get(number, f"unknown-{number}") for number in numbers)
    if len(wnids) == VALIDATION_IMAGES and not force:
        for number, wnid in _LANDMARKS:
            if wnids[number - 1] != wnid:
                raise UserError(
                    f"{path} says that ILSVRC2012_val_{number:08d} is {wnids[number - 1]}, but it is {wnid}: the file does not "
                    "number the classes as the development kit does; get the original, or say --force-labels"
                )
    return Truth(path, wnids)


def _read_meta(path: Path) -> dict[int, str]:
    """wnid per devkit id from `meta.mat`; empty when there is none.

    It is read by a process of its own: scipy crashes over some damaged files.
    """
    if not path.is_file():
        return {}
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
            wnids = aside.submit(_synsets, path).result()
    except (ValueError, BrokenExecutor) as error:
        why = error if isinstance(error, ValueError) else "scipy crashes over it"
        raise UserError(
            f"{path} is not the development kit's table of classes ({why}): get it anew or remove it"
        ) from error
    return {number: wnid for number, wnid in wnids.items() if number <= 1000}


def _synsets(path: Path) -> dict[int, str]:
    """wnid per id of all synsets; raises ValueError over whatever is wrong with the file."""
    from scipy.io import loadmat

    try:
        synsets = loadmat(path, squeeze_me=True, struct_as_record=True)["synsets"]
        numbers, wnids = map(int, synsets["ILSVRC2012_ID"]), map(str, synsets["WNID"])
        pairs = list(zip(numbers, wnids, strict=True))
    except Exception as error:  # of any kind: scipy trusts the file
        raise ValueError(str(error)) from error
    if len(dict(pairs)) != len(pairs) or not all(WNID_PATTERN.fullmatch(wnid) for _, wnid in pairs):
        raise ValueError("an id twice, or a wnid that is none")
    return dict(pairs)


def wnids_of_labels(
    path: Path, labels: Sequence[int], names: Iterable[str], table: Sequence[TableClass], force: bool
) -> list[str]:
    """The wnid of each image of a packed dataset, from its label number, checked against what the names tell.

    Args:
        path: the dataset, for messages.
        labels: one per image.
        names: file names; those with a wnid in them, and the landmarks of the validation set, are checked.
        table: the classes in label order.
        force: do not check.

    Raises:
        UserError: a label without a class, or labels in another order than sorted wnids.
    """
    wrong = next((label for label in labels if not 0 <= label < len(table)), None)
    if wrong is not None:
        raise UserError(
            f"{path} has the label {wrong}, the table has classes 0 to {len(table) - 1}: "
            "the test split has no labels, and another class table is given with --classes FILE.tsv"
        )
    if not force:
        _check_labels(path, labels, names, table)
    return [table[label].wnid for label in labels]


def _check_labels(path: Path, labels: Sequence[int], names: Iterable[str], table: Sequence[TableClass]) -> None:
    landmarks = {f"val_{number:08d}": wnid for number, wnid in _LANDMARKS}
    label_of = {entry.wnid: label for label, entry in enumerate(table)}
    devkit_ids = {entry.wnid: entry.devkit_id for entry in table}
    checked = wrong = as_devkit = 0
    example = ""
    for label, name in zip(labels, names, strict=True):
        match = WNID_PATTERN.search(name)
        wnid = match.group() if match else next((known for part, known in landmarks.items() if part in name), None)
        if wnid not in label_of:
            continue
        checked += 1
        if label != label_of[wnid]:
            wrong += 1
            as_devkit += devkit_ids[wnid] in (label, label + 1)
            example = example or f"{name} has label {label}, but {wnid} is label {label_of[wnid]}"
    if wrong:
        order = "the development kit's order" if as_devkit == checked else "another order"
        raise UserError(
            f"{path} numbers its classes in {order}, not in that of sorted wnids ({example}; {wrong:,} of {checked:,} differ): "
            "a network trained on it would not match others; say --force-labels if you mean it"
        )
