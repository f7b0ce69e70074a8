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
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from convert.entries import HEAD_BYTES, Entry, kind_of, refuse_pointer, walk
from convert.errors import UserError
from convert.sources.base import Source, sorted_listing
from convert.sources.class_folders import NO_CLASSES, ClassFolders, Placed
from convert.sources.labels import Truth

_PIECE_BYTES = 1 << 20


def members(path: Path) -> Iterator[Entry]:
    """The files and folders of a tar archive, in their order; rubbish left out.

    Names are without the `./` that `tar cf x.tar -C folder .` puts before them, offsets are in the outermost tar file.

    Raises:
        UserError: not a readable tar, or a member that is refused; the message names it.
    """
    try:
        with path.open("rb") as stream:
            yield from _members(stream, str(path), 0, path.stat().st_size)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error})") from error


def inner_members(path: Path, inner: Entry) -> Iterator[Entry]:
    """The files and folders of a tar archive that is itself a member of the tar file `path`."""
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


def _members(stream: BinaryIO, title: str, start: int, end: int) -> Iterator[Entry]:
    stream.seek(start)
    position = start
    try:
        archive = tarfile.TarFile(fileobj=cast("BinaryIO", _Headers(stream)), mode="r")
        while (member := archive.next()) is not None and member.offset < end:
            archive.members.clear()  # it would remember them all
            _refuse_hostile(member, title, end)
            position = archive.offset
            name = posixpath.normpath(member.name)
            if name == ".":
                continue
            kind = kind_of(name, partial(_head, stream, member)) if member.isreg() else kind_of(f"{name}/", bytes)
            if kind:
                yield Entry(name, kind, member.offset_data, member.size)
    except (tarfile.TarError, UnicodeError, ValueError, OverflowError, RecursionError) as error:
        refuse_pointer(Path(stream.name))
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


def _head(stream: BinaryIO, member: tarfile.TarInfo) -> bytes:
    stream.seek(member.offset_data)
    return stream.read(min(HEAD_BYTES, member.size))


def _refuse_hostile(member: tarfile.TarInfo, title: str, end: int) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/") or "\\" in member.name or "\0" in member.name:
        raise UserError(
            f"{title}: the member {member.name!r} has a path that leads out of the archive, or has backslashes; it is refused"
        )
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise UserError(
            f"{title}: the member {member.name!r} is not a plain file (a link, a device, sparse?); it is refused"
        )
    if member.size < 0 or (member.isreg() and member.offset_data + member.size > end):
        raise UserError(
            f"{title}: the member {member.name!r} claims {member.size:,} bytes, more than there are; truncated?"
        )


@dataclass(frozen=True)
class TarSource(Source):
    """One tar file, or a folder of tar files named by their classes."""

    truth: Truth | None
    """Labels of images that lie in no class tar or class folder."""
    force_labels: bool

    def listing(self) -> pa.Table:
        """All images, sorted by key."""
        folders = ClassFolders(self.path, self.truth, self.force_labels, self.account)
        listing = sorted_listing(self.account, folders.places(self._placed()))
        if self.truth:
            self.truth.check(listing.column("key").to_pylist())
        return listing

    def _placed(self) -> Iterator[Placed]:
        if self.path.is_dir():
            for tar in sorted(self.account.take(walk(self.path), "tar")):
                path = self.path / tar.name
                yield from self._of_class_tar(tar.name, tar.name, str(path), members(path))
            return
        for member in self.account.take(members(self.path), "image", "label", "tar", "folder", "other"):
            if member.kind == "tar":
                title, inner = f"{member.name} in {self.path}", inner_members(self.path, member)
                yield from self._of_class_tar(member.name, self.path.name, title, inner)
            else:
                yield Placed(member, self.path.name)

    def _of_class_tar(self, name: str, file: str, title: str, found: Iterator[Entry]) -> Iterator[Placed]:
        """The images of a tar that is named by its class; they may lie in one folder inside it."""
        wnid, folder = posixpath.splitext(name)[0], None
        for member in self.account.take(found, "image", "label", "other", "tar"):
            above, _, base = member.name.rpartition("/")
            if member.kind == "tar":
                break
            if member.kind == "image":
                inside = posixpath.basename(above).lower()
                if folder not in (None, above) or inside not in ("", posixpath.basename(wnid).lower(), *NO_CLASSES):
                    raise UserError(
                        f"{title} holds images in {above or folder}, so it is no archive of one class: those have them in one "
                        "place, and an archive of a split is given itself, not its folder"
                    )
                folder = above
            if member.kind != "folder":
                yield Placed(member._replace(name=f"{wnid}/{base}"), file)
        if folder is None:
            raise UserError(
                f"{title} holds no images of its class: get it anew, or remove it if the class is to be left out; "
                "an archive of class archives is given itself, not its folder"
            )
