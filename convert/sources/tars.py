"""Tar archives read in place: a tar of class tars, class tars in a folder, class folders in a tar, validation images.

Nothing is ever extracted, so no name in an archive can become a path. Names that would be dangerous to
anybody else who unpacks the archive are refused all the same, and so is every member that is not a plain
file or folder, or that claims to reach beyond its archive.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa

from convert.dataset.classes import WNID_PATTERN
from convert.errors import UserError
from convert.sources.base import IMAGE_SUFFIXES, Place, RangeReader, Reader, image_key, sorted_listing, visible
from convert.sources.labels import Truth, lacks_class
from convert.sources.splits import files_with_suffix

_COMPRESSED = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz|zip)$", re.IGNORECASE)
_PIECE_BYTES = 1 << 20


class Member(NamedTuple):
    """A plain file inside a tar file."""

    name: str
    """Without the `./` that `tar cf x.tar -C folder .` puts before it."""
    offset: int
    """Of its contents in the (outermost) tar file, bytes."""
    length: int


def members(path: Path) -> Iterator[Member]:
    """The plain files of a tar archive, in their order; hidden ones, as macOS packs them, and those in hidden folders left out.

    Raises:
        UserError: not a readable tar, or a member that is refused; the message names it.
    """
    try:
        with path.open("rb") as stream:
            yield from _members(stream, str(path), 0, path.stat().st_size)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error})") from error


def inner_members(path: Path, inner: Member) -> Iterator[Member]:
    """The plain files of a tar archive that is itself a member of the tar file `path`."""
    with path.open("rb") as stream:
        yield from _members(stream, f"{inner.name} in {path}", inner.offset, inner.offset + inner.length)


@dataclass(frozen=True)
class _Headers:
    """A tar file for tarfile, which reads nothing but headers: those that want all the memory are refused."""

    stream: BinaryIO

    def read(self, size: int) -> bytes:
        if size > _PIECE_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.stream.read(size)

    def seek(self, position: int) -> int:
        return self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()


def _members(stream: BinaryIO, title: str, start: int, end: int) -> Iterator[Member]:
    stream.seek(start)
    position = start
    try:
        archive = tarfile.TarFile(fileobj=cast("BinaryIO", _Headers(stream)), mode="r")
        while (member := archive.next()) is not None and member.offset < end:
            archive.members.clear()  # it would remember them all
            _refuse_hostile(member, title, end)
            position = archive.offset
            name = posixpath.normpath(member.name)
            if member.isreg() and not name.startswith(".") and "/." not in name:
                yield Member(name, member.offset_data, member.size)
    except (tarfile.TarError, UnicodeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{title} is not a tar archive, or is damaged ({error}); compressed archives must be unpacked first"
        ) from error
    # tarfile takes a damaged header for the end; behind the real one there are zeros
    if position >= end:
        raise UserError(f"{title} has no end mark, so it is truncated: get it anew")
    stream.seek(position)
    while position < end and (piece := stream.read(min(_PIECE_BYTES, end - position))):
        if rest := piece.lstrip(b"\0"):
            position += len(piece) - len(rest)
            raise UserError(
                f"{title} is damaged at byte {position - start:,}, or compressed, or something was appended to it there: "
                "get it anew, and give it as a plain tar"
            )
        position += len(piece)


def _refuse_hostile(member: tarfile.TarInfo, title: str, end: int) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/") or "\\" in member.name or "\0" in member.name:
        raise UserError(f"{title}: the member {member.name!r} has a path that leads out of the archive; it is refused")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise UserError(f"{title}: the member {member.name!r} is not a plain file (a link or a device?); it is refused")
    if member.size < 0 or (member.isreg() and member.offset_data + member.size > end):
        raise UserError(
            f"{title}: the member {member.name!r} claims {member.size:,} bytes, more than there are; truncated?"
        )


def refuse_compressed(name: str, title: str) -> None:
    """Raise UserError, about `title`, if `name` has a suffix of archives that cannot be read in place."""
    if _COMPRESSED.search(name):
        raise UserError(
            f"{title} is compressed, and archives are read in place: unpack it first, to a plain .tar or a folder"
        )


def is_image(name: str) -> bool:
    """Whether a member's name is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


@dataclass(frozen=True)
class TarSource:
    """One tar file, or a folder of tar files named by their classes."""

    path: Path
    truth: Truth | None
    """Labels of images that lie in no class tar or class folder."""

    def listing(self) -> pa.Table:
        """All images, sorted by key."""
        listing = sorted_listing(self.path, self._places())
        if self.truth:
            self.truth.refuse_other_length(listing.column("key").to_pylist())
        return listing

    def reader(self) -> Reader:
        """A reader of ranges of the tar files."""
        return RangeReader(self._root())

    def _root(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _places(self) -> Iterator[Place]:
        folder_of: dict[str, str] = {}
        for path, folder, (name, offset, length) in self._images():
            wnid = posixpath.basename(folder)
            if lacks_class(wnid, name):
                if self.truth is None:
                    raise UserError(
                        f"{path}: nothing tells the class of {name}: if it is a validation image give the archive itself, "
                        "with --devkit FOLDER"
                    )
                wnid = self.truth.wnid_of(name)
            elif folder_of.get(wnid) != folder:
                _refuse_other_depth(path, folder, wnid, folder_of)
                folder_of[wnid] = folder
            yield Place(image_key(wnid, name), wnid, path.name, offset, length)

    def _images(self) -> Iterator[tuple[Path, str, Member]]:
        """Tar file, class folder and place of each image; a class tar counts as a folder."""
        if self.path.is_dir():
            for entry in visible(self.path):
                _refuse_compressed_class(self.path, entry.name)
            for path in files_with_suffix(self.path, ".tar"):
                yield from _of_class_tar(path, path.stem, str(path), members(path))
            return
        for member in members(self.path):
            _refuse_compressed_class(self.path, member.name)
            if member.name.lower().endswith(".tar"):
                title, inner = f"{member.name} in {self.path}", inner_members(self.path, member)
                yield from _of_class_tar(self.path, posixpath.splitext(member.name)[0], title, inner)
            elif is_image(member.name):
                yield self.path, posixpath.dirname(member.name), member


def _of_class_tar(path: Path, folder: str, title: str, found: Iterator[Member]) -> Iterator[tuple[Path, str, Member]]:
    empty = True
    for member in found:
        if is_image(member.name):
            empty = False
            yield path, folder, member
    if empty:
        raise UserError(
            f"{title} holds no images of its class: get it anew, or remove it if the class is to be left out; "
            "an archive of class archives is given itself, not its folder"
        )


def _refuse_compressed_class(path: Path, name: str) -> None:
    if WNID_PATTERN.match(posixpath.basename(name)):
        refuse_compressed(name, f"{name} in {path}")


def _refuse_other_depth(path: Path, folder: str, wnid: str, folder_of: dict[str, str]) -> None:
    """Raise UserError if a new class folder is not one of a single split, as far as those found before tell."""
    above, known = posixpath.dirname(folder), folder_of.values()
    if wnid in folder_of:
        raise UserError(
            f"{path} holds the class {wnid} twice, in {folder_of[wnid]} and {folder}: give an archive of one split"
        )
    if above in known or WNID_PATTERN.fullmatch(posixpath.basename(above)) or folder in map(posixpath.dirname, known):
        raise UserError(
            f"{path} holds images in {folder}, a folder in or around that of another class: all images of a class must lie "
            "directly in its folder"
        )
