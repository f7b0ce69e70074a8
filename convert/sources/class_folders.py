"""Images in folders of their classes, whether on a disk or in an archive: which folder is a class, and which is none.

A class is told by the folder that an image lies in, or by the ground truth for validation images that lie in none. What
only looks like a class is refused: shards of samples, splits, folders of all images, thumbnails.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from convert.dataset.classes import WNID_PATTERN, normalised
from convert.entries import Account, Entry
from convert.errors import UserError
from convert.sources.base import Place, image_key
from convert.sources.labels import Truth, lacks_class, like_split_image, refuse_misplaced
from convert.sources.splits import names_a_split

_OF_ALL_IMAGES = """
all data dataset files default image images img imgs pic pics picture pictures photo photos jpeg jpegs jpegimages jpg png
thumb thumbs thumbnail thumbnails preview previews mask masks label labels annotation annotations unlabeled unlabelled
unsup val valid validation test testing dev eval holdout
"""
NO_CLASSES = frozenset(_OF_ALL_IMAGES.split())
"""Names of folders of images that are no classes, in lower case; `train` may be one, among others."""
_NUMBERED = re.compile(r"\d$")
_LABEL_FILE = (".json", ".txt", ".cls", ".csv", ".xml", ".npy", ".pyd", ".pickle", ".caption", ".label")


class Placed(NamedTuple):
    """An entry of a file that holds images of classes."""

    entry: Entry
    """Named by its path with all folders; a class tar counts as a folder."""
    file: str
    """Relative to the source's folder."""


@dataclass
class ClassFolders:
    """Turns images in folders of classes into places."""

    path: Path
    """The source, for messages."""
    truth: Truth | None
    """Labels of images that lie in no class."""
    force_labels: bool
    account: Account
    _folder_of: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    """All folders, empty ones too."""
    _split_image: str = ""
    """An image that is named like one of a validation or test split."""

    def places(self, found: Iterable[Placed]) -> Iterator[Place]:
        """Where each image is.

        Raises:
            UserError: a folder is no class, holds none of a class's images, or holds those of another one.
        """
        folder, images, companions = None, set(), set()
        for (name, kind, offset, length), file in found:
            above, _, base = name.rpartition("/")
            if kind == "folder":
                self._seen.add(name)
                continue
            if above != folder:
                self._refuse_samples(folder or "", images & companions)
                folder, images, companions = above, set(), set()
                self._seen.add(above)
            stem, suffix = posixpath.splitext(base)
            if kind == "label" or (kind != "image" and suffix.lower() in _LABEL_FILE):
                companions.add(stem)
            if kind != "image":
                self.account.leave_out(name)
                continue
            if not above and self.truth is None and self.account.insisted:
                self.account.leave_out(name)
                continue
            images.add(stem)
            self._split_image = self._split_image or (name if like_split_image(base) else "")
            wnid = self._class_of(above, base)
            yield Place(image_key(wnid, base), wnid, file, offset, length)
        self._refuse_samples(folder or "", images & companions)
        self._refuse_other_classes()

    def _class_of(self, folder: str, name: str) -> str:
        wnid = normalised(posixpath.basename(folder))
        if lacks_class(wnid, name):
            if self.truth is not None:
                return self.truth.wnid_of(name)
            raise UserError(
                f"{self.path / folder} holds {name}, so it is a split and not a class: give that folder or archive itself, and for "
                "validation images --devkit FOLDER"
                if folder
                else f"{self.path}: nothing tells the class of {name}: all images lie in folders of their classes, or all are "
                "validation images, for which there is --devkit FOLDER"
            )
        if self.truth is not None:
            raise UserError(
                f"{self.path} holds images in {folder} beside validation images in no class folder: move away what does not belong "
                "to the split"
            )
        if self._folder_of.get(wnid) != folder:
            self._refuse_other_depth(folder, wnid)
            self._folder_of[wnid] = folder
        if not self.force_labels:
            refuse_misplaced(f"{folder}/{name} in {self.path}", name, wnid)
        return wnid

    def _refuse_other_depth(self, folder: str, wnid: str) -> None:
        if wnid in self._folder_of:
            raise UserError(
                f"{self.path} holds the class {wnid} twice, in {self._folder_of[wnid]} and {folder}: give one split, all "
                "images of a class directly in its folder"
            )
        known = next(iter(self._folder_of.values()), folder)
        above = posixpath.dirname(folder)
        if above != posixpath.dirname(known) or WNID_PATTERN.fullmatch(posixpath.basename(above)):
            deeper = max(folder, known, key=lambda name: name.count("/"))
            raise UserError(
                f"{self.path / deeper} holds images too deep for one split: give the folder of one split, with all images of a "
                "class directly in the folder of that class"
            )

    def _refuse_samples(self, folder: str, samples: set[str]) -> None:
        """Raise UserError if images and their own label files lie in what is numbered like a shard or a part."""
        wnid = posixpath.basename(folder)
        if samples and _NUMBERED.search(wnid) and not WNID_PATTERN.fullmatch(wnid) and not self.account.insisted:
            raise UserError(
                f"{folder or self.path} holds samples with files of their own, such as {min(samples)}, so it is a shard and no "
                "class: labels are read from .cls files in WebDataset's shards only (--source webdataset), not from .json or .txt"
            )

    def _refuse_other_classes(self) -> None:
        folders = self._folder_of.values()
        above = {posixpath.dirname(folder) for folder in folders}
        for folder in sorted(self._seen - set(folders) - {""}):
            if posixpath.dirname(folder) in above:
                raise UserError(
                    f"the class folder {self.path / folder} holds no images: get them, or remove the folder if the class is to be "
                    "left out"
                )
        if self.account.insisted:
            return
        alone = len(self._folder_of) == 1
        for wnid, folder in sorted(self._folder_of.items()):
            no_class = wnid.lower() in NO_CLASSES or (alone and (names_a_split(wnid) or self._split_image))
            if no_class and not WNID_PATTERN.fullmatch(wnid):
                raise UserError(
                    f"{self.path / folder} is no class by its name or its images{self._split_image and f' ({self._split_image})'}: "
                    "give the folder that holds the class folders of one split; if it is a class, rename it or say --source"
                )
