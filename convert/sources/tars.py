"""Tar archives read in place: a tar of class tars, class tars in a folder, class folders in a tar, validation images.

Nothing is ever extracted, so no name in an archive can become a path. Names that would be dangerous to
anybody else who unpacks the archive are refused all the same, and so is every member that is not a plain
file or folder, or that claims to reach beyond its archive.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from convert.errors import UserError
from convert.sources.base import IMAGE_SUFFIXES, Place, RangeReader, Reader, image_key, sorted_listing
from convert.sources.splits import files_with_suffix
from convert.sources.truth import Truth


class Member(NamedTuple):
    """A plain file inside a tar file."""

    name: str
    """Without the `./` that `tar cf x.tar -C folder .` puts before it."""
    offset: int
    """Of its contents in the (outermost) tar file, bytes."""
    length: int


def members(path: Path) -> Iterator[Member]:
    """The plain files of a tar archive, in their order.

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


def _members(stream: BinaryIO, title: str, start: int, end: int) -> Iterator[Member]:
    stream.seek(start)
    position = start
    try:
        archive = tarfile.TarFile(fileobj=stream, mode="r")
        while (member := archive.next()) is not None and member.offset < end:
            _refuse_hostile(member, title, end)
            position = archive.offset
            if member.isreg():
                yield Member(posixpath.normpath(member.name), member.offset_data, member.size)
    except (tarfile.TarError, UnicodeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{title} is not a tar archive, or is damaged ({error}); compressed archives must be unpacked first"
        ) from error
    # tarfile takes a damaged header for the end; the real end is a block of zeros, or nothing
    stream.seek(position)
    if position < end and stream.read(min(512, end - position)).strip(b"\0"):
        raise UserError(f"{title} is damaged at byte {position - start:,}: get it anew")


def _refuse_hostile(member: tarfile.TarInfo, title: str, end: int) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/") or "\\" in member.name:
        raise UserError(f"{title}: the member {member.name!r} has a path that leads out of the archive; it is refused")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise UserError(f"{title}: the member {member.name!r} is not a plain file (a link or a device?); it is refused")
    if member.size < 0 or (member.isreg() and member.offset_data + member.size > end):
        raise UserError(
            f"{title}: the member {member.name!r} claims {member.size:,} bytes, more than there are; truncated?"
        )


def is_image(name: str) -> bool:
    """Whether a member's name is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not posixpath.basename(name).startswith(".")


@dataclass(frozen=True)
class TarSource:
    """One tar file, or a folder of tar files named by their classes."""

    path: Path
    truth: Truth | None
    """Labels of images that lie in no class tar or class folder."""

    def listing(self) -> pa.Table:
        """All images, sorted by key."""
        return sorted_listing(self.path, self._places())

    def reader(self) -> Reader:
        """A reader of ranges of the tar files."""
        return RangeReader(self._root())

    def _root(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _places(self) -> Iterator[Place]:
        if self.path.is_dir():
            for path in files_with_suffix(self.path, ".tar"):
                yield from self._from(path, members(path), path.stem)
            return
        for member in members(self.path):
            if member.name.lower().endswith(".tar"):
                inner = inner_members(self.path, member)
                yield from self._from(self.path, inner, posixpath.splitext(posixpath.basename(member.name))[0])
            else:
                yield from self._from(self.path, iter([member]), "")

    def _from(self, path: Path, found: Iterator[Member], tar_class: str) -> Iterator[Place]:
        for name, offset, length in found:
            if not is_image(name):
                continue
            wnid = tar_class or posixpath.basename(posixpath.dirname(name))
            if not wnid and self.truth:
                wnid = self.truth.wnid_of(name)
            if not wnid:
                raise UserError(f"{path}: nothing tells the class of {name}; it lies in no folder")
            yield Place(image_key(wnid, name), wnid, path.name, offset, length)
