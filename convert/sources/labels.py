"""Labels that do not come from folder names: the devkit's ground truth, and label numbers in packed datasets."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from convert.dataset.classes import WNID_PATTERN, TableClass
from convert.errors import UserError
from convert.sources.splits import names_a_split

TRUTH_NAME = "ILSVRC2012_validation_ground_truth.txt"
KAGGLE_TRUTH_NAME = "LOC_val_solution.csv"
META_NAME = "meta.mat"
VALIDATION_IMAGES = 50_000

_NUMBER = re.compile(r"val_(\d{8})(?=[._]|$)")
_SPLIT_IMAGE = re.compile(r"ILSVRC2012_(?:val|test)_\d{8}")
_LIKE_SPLIT_IMAGE = re.compile(r"(?:^|_)(?:val|test)_\d+\.", re.IGNORECASE)
_TRAINING_IMAGE = re.compile(r"(n\d{8})_\d+(?:_\1)?\.")
_WNID_IN_NAME = re.compile(r"(?<![A-Za-z0-9])n\d{8}(?!\d)")
_FIRST_WNIDS = """
n01751748 n09193705 n02105855 n04263257 n03125729 n01735189 n02346627 n02776631 n03794056 n02328150
n01917289 n02125311 n02484975 n04065272 n03496892 n02066245 n01914609 n01616318 n02971356 n03126707
"""
LANDMARKS = dict(enumerate(_FIRST_WNIDS.split(), 1)) | {293: "n01440764", 25_000: "n03595614", 50_000: "n02437616"}
"""Validation images of ILSVRC 2012 by number, and their classes: in devkit ids 490, 361, 171 ..."""


@dataclass(frozen=True)
class Truth:
    """The class of every validation image."""

    path: Path
    wnids: Mapping[int, str]
    """By the image's number, from 1."""
    force: bool = False
    """Do not check what is known."""

    def wnid_of(self, name: str) -> str:
        """The class of `ILSVRC2012_val_00000001.JPEG` and its like.

        Raises:
            UserError: the name has no number, or the ground truth does not hold it.
        """
        match = _NUMBER.search(name)
        if match is None:
            hint = (
                "; its class seems to be in its name: put it into a folder of that class"
                if _WNID_IN_NAME.search(name)
                else ""
            )
            raise UserError(
                f"{name} has no number like ILSVRC2012_val_00000001.JPEG: {self.path} cannot tell its class{hint}"
            )
        wnid = self.wnids.get(int(match.group(1)))
        if wnid is None:
            raise UserError(f"{name}: {self.path} has only {len(self.wnids):,} lines, and none for it")
        return wnid

    def check(self, names: Iterable[str]) -> None:
        """Refuse a ground truth that does not fit these images, or contradicts what is known of ImageNet's.

        Raises:
            UserError: it neither is as long as ImageNet's nor ends with the last of these images, or a landmark differs.
        """
        numbers, imagenet = [0], len(self.wnids) == VALIDATION_IMAGES
        for name in names:
            if match := _NUMBER.search(name):
                numbers.append(int(match[1]))
                imagenet = imagenet or is_split_image(name)
        last = max(numbers)
        if self.path.suffix != ".csv" and len(self.wnids) not in (VALIDATION_IMAGES, last):
            raise UserError(
                f"{self.path} has {len(self.wnids):,} lines, the last image is number {last:,}, and ImageNet's has "
                f"{VALIDATION_IMAGES:,}: a line too many or too few shifts all classes behind it; get the original, or one "
                "line for each image"
            )
        for number, wnid in LANDMARKS.items() if imagenet and not self.force else ():
            if self.wnids.get(number, wnid) != wnid:
                raise UserError(
                    f"{self.path} says that ILSVRC2012_val_{number:08d} is {self.wnids[number]}, but it is {wnid}: the file does "
                    "not number images and classes as the development kit does; get the original, or say --force-labels"
                )


def is_split_image(name: str) -> bool:
    """Whether a file is named like ImageNet's validation or test images, whose names tell no class."""
    return _SPLIT_IMAGE.search(name) is not None


def like_split_image(name: str) -> bool:
    """Whether a file is named like any dataset's validation or test images: val_0.JPEG, test_17.png."""
    return _LIKE_SPLIT_IMAGE.search(name) is not None


def lacks_class(folder: str, name: str) -> bool:
    """Whether an image lies where nothing tells its class: in no folder, or a validation image in `val` itself.

    Args:
        folder: the name of the folder or the archive that the image lies in, without a suffix; "" if in none.
        name: of the image.
    """
    return not folder or (names_a_split(folder) and is_split_image(name))


def known_wnid(name: str) -> str | None:
    """The class of one of ImageNet's images, if its file name or what is known of the validation set tells it."""
    if match := _WNID_IN_NAME.search(name):
        return match.group()
    number = _NUMBER.search(name) if is_split_image(name) else None
    return LANDMARKS.get(int(number[1])) if number else None


def refuse_misplaced(title: str, name: str, folder: str) -> None:
    """Raise UserError, about `title`, if one of ImageNet's images lies in the folder of another class or of several."""
    is_wnid, training = WNID_PATTERN.fullmatch(folder), _TRAINING_IMAGE.match(name)
    wnid = known_wnid(name) if is_wnid else training[1] if training else None
    if wnid not in (None, folder) and (is_wnid or names_a_split(folder) or folder[-1:].isdigit()):
        raise UserError(
            f"{title} is an image of {wnid} and not of {folder}: put it into the folder of its class, or say --force-labels if "
            "you mean it"
        )


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
    if devkit and not devkit.exists():
        raise UserError(f"--devkit {devkit} does not exist: give the folder that holds {TRUTH_NAME}")
    if devkit and devkit.is_file() and devkit.suffix.lower() not in (".txt", ".csv"):
        raise UserError(f"--devkit {devkit} is no ground truth: unpack it, and give the folder that holds {TRUTH_NAME}")
    around = [devkit] if devkit else [source, source.absolute().parent]
    folders = [folder / part for folder in around for part in ("", "data", "ILSVRC2012_devkit_t12/data", "devkit/data")]
    found = [devkit] if devkit and devkit.is_file() else [folder / TRUTH_NAME for folder in folders]
    # Kaggle's archive has it beside ILSVRC/Data/CLS-LOC/val
    kaggle = [folder / KAGGLE_TRUTH_NAME for folder in (*around, *([] if devkit else source.absolute().parents[1:4]))]
    path = next((candidate for candidate in (*found, *kaggle) if candidate.is_file()), None)
    if path is None:
        raise UserError(
            f"{source} holds images without class folders, and {devkit or 'beside them'} holds neither {TRUTH_NAME} (from "
            f"ILSVRC2012_devkit_t12.tar.gz, unpacked) nor Kaggle's {KAGGLE_TRUTH_NAME}: say --devkit FOLDER"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            return Truth(path, dict(_kaggle_rows(text)), force)
        numbers = [int(line) for line in text.split()]
    except (OSError, ValueError) as error:
        line = "an image and its class" if path.suffix.lower() == ".csv" else "one class number"
        raise UserError(f"{path} is not a list of {line} per line ({error})") from error
    wnid_of_id = _read_meta(path.with_name(META_NAME)) or {entry.devkit_id: entry.wnid for entry in table}
    unknown = sorted(set(numbers) - set(wnid_of_id))
    if unknown and not force:
        raise UserError(
            f"{path} has the class number {unknown[0]}, which is no id of the development kit (1 to {max(wnid_of_id)}): "
            "it is not the original ground truth; say --devkit with the right one"
        )
    wnids = {row: wnid_of_id.get(number, f"unknown-{number}") for row, number in enumerate(numbers, 1)}
    return Truth(path, wnids, force)


def _kaggle_rows(text: str) -> Iterator[tuple[int, str]]:
    """Number and wnid of each image of Kaggle's LOC_val_solution.csv: `ILSVRC2012_val_00048981,n03995372 85 1 499 272 ...`.

    Raises:
        ValueError: a line of another kind, several classes for one image, or an image twice.
    """
    seen = set()
    for row, line in enumerate(text.splitlines()):
        name, _, boxes = line.replace('"', "").partition(",")  # which spreadsheets add
        match, wnids = _NUMBER.search(name), set(WNID_PATTERN.findall(boxes))
        if (row == 0 and match is None) or not line.strip():
            continue  # the names of the columns
        if match is None or len(wnids) != 1 or match[1] in seen:
            raise ValueError(f"line {row + 1}, {line[:60]!r}, does not tell one class of one new image")
        seen.add(match[1])
        yield int(match[1]), wnids.pop()


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


@dataclass
class LabelNumbers:
    """The wnids that label numbers of a packed dataset mean, checked against what the file names tell."""

    table: Sequence[TableClass]
    """The classes in label order, where a file does not name its own."""
    force: bool
    """Do not check."""
    assumed: bool
    """The table is ImageNet's, and nobody has said so."""
    images: int = 0
    known: int = 0
    """Images whose names have shown that their labels are right."""

    def wnids(
        self, path: Path, labels: Sequence[int], names: Iterable[str], own: Sequence[TableClass] = ()
    ) -> list[str]:
        """The wnid of each image.

        Args:
            path: the file, for messages.
            labels: one per image.
            names: file names; those with a wnid in them, and the landmarks of the validation set, are checked.
            own: the classes that the file names itself, in label order.

        Raises:
            UserError: a label without a class, or labels in another order than sorted wnids.
        """
        table = own or self.table
        wrong = next((label for label in labels if not 0 <= label < len(table)), None)
        if wrong is not None:
            raise UserError(
                f"{path} has the label {wrong}, the table has classes 0 to {len(table) - 1}: "
                "the test split has no labels, and another class table is given with --classes FILE.tsv"
            )
        self.images += len(labels)
        if own:
            self.known += len(labels)
        elif not self.force:
            self.known += _check_labels(path, labels, names, table)
        return [table[label].wnid for label in labels]

    def notes(self) -> list[str]:
        """That the meaning of the labels was guessed, if it was."""
        if not self.assumed or self.known or not self.images:
            return []
        return [
            "the labels are numbers without names, and were taken for ImageNet's 1,000 classes: if they are others, say "
            "--classes FILE.tsv with the wnid and name of each, else --classes imagenet1k"
        ]


def _check_labels(path: Path, labels: Sequence[int], names: Iterable[str], table: Sequence[TableClass]) -> int:
    """How many labels the names confirm; raises UserError if one contradicts."""
    label_of = {entry.wnid: label for label, entry in enumerate(table)}
    devkit_ids = {entry.wnid: entry.devkit_id for entry in table}
    checked = wrong = as_devkit = 0
    example = ""
    for label, name in zip(labels, names, strict=True):
        wnid = known_wnid(name)
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
    return checked
