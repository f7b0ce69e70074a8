"""What may lie in a folder or an archive, by one rule for all: pictures, packagings, rubbish, what is refused, the rest.

Whoever lists a source takes what it can use through an `Account`, which refuses or counts all that is left: nothing that
is visible is lost without a word. Names are told by the lists below, and what they do not know by its first bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from convert.errors import UserError

EntryKind = Literal["image", "tar", "parquet", "label", "folder", "other", "compressed", "unfinished"]

JPEG_SUFFIXES = (".jpeg", ".jpg", ".jpe", ".jfif")
READABLE_SUFFIXES = (*JPEG_SUFFIXES, ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
"""Of every kind that `convert.image.encode` can read."""
UNREADABLE_SUFFIXES = (
    *(".heic", ".heif", ".jxl", ".jp2", ".j2k", ".jpx", ".svg", ".psd", ".xcf", ".exr", ".hdr", ".pgm", ".ppm", ".pnm"),
    *(".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".apng", ".pcx", ".jxr", ".qoi"),
)
"""Of pictures all the same: each is a bad image, which the conversion names, and none is left out without a word."""
LABEL_SUFFIX = ".cls"
_KIND_OF: dict[str, EntryKind] = {
    **dict.fromkeys((*READABLE_SUFFIXES, *UNREADABLE_SUFFIXES), "image"),
    ".tar": "tar",
    ".parquet": "parquet",
    LABEL_SUFFIX: "label",
}

RUBBISH = frozenset(
    (
        *(
            "thumbs.db",
            "ehthumbs.db",
            "ehthumbs_vista.db",
            "desktop.ini",
            "icon\r",
            "__macosx",
            "lost+found",
            "lost.dir",
        ),
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler"),
        *("system volume information", "network trash folder", "temporary items", "__pycache__", "zbthumbnail.info"),
    )
)
"""What systems leave beside files, in lower case. It is left out without a word, as are hidden files and backups (x~)."""
_UNFINISHED = re.compile(
    r".\.(parts?|partial|filepart|crdownload|g?download|opdownload|downloading|aria2c?|te?mp|incomplete|unconfirmed)$"
    r"|.\.(!ut|!qb|!sync|bc!|gstmp|xltd|dtapart|fdmdownload|curltmp)$|.-lftp-pget-status$"
    r"|^_temporary$"  # Spark's
    r"|^\..+\.(jpe?g|png|webp|tar|parquet)\.(\w{6}|~\w+)$"  # rsync's and Nextcloud's
    r"|.\.(jpe?g|png|webp|tar|parquet)\.[0-9a-f]{8}$",  # that of Amazon's client
    re.IGNORECASE | re.ASCII,
)
_PIECE = re.compile(r"\.(tar|zip|parquet|7z)([.-]?part[-_.]?\d+|\.?\d+|\.(?!gz|xz|bz|lz|br)[a-z]{2})$", re.IGNORECASE)
_BESIDE_TARS = r"md5\w*|sha\d+\w*|sig|asc|torrent|meta4|idx|index|json|txt|csv|xml|log"
_COMPRESSED = re.compile(rf"\.(tar\.(?!({_BESIDE_TARS})$)\w+|tgz|tbz2?|txz|tzst|zip|rar|7z)$", re.IGNORECASE)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]"
    rb"|....ftyp(avi[fs]|hei[cxms]|hev[cx]|mif1|msf1)|\0\0\0\x0c(JXL|jP) ",
    re.DOTALL,
)
HEAD_BYTES = 16
"""Enough of a file to tell a picture by."""


class Entry(NamedTuple):
    """A file or a folder inside a folder or an archive."""

    name: str
    """Its path from there, without `./`."""
    kind: EntryKind
    offset: int
    """Of a file's contents, bytes."""
    length: int
    """Of its contents, bytes; 0 for what is no plain file."""


def kind_of(name: str, head: Callable[[], bytes]) -> EntryKind | None:
    """What a file is by its name, or by its first bytes; None for rubbish.

    Args:
        name: its path, folders included; a folder's ends in a slash.
        head: reads its first HEAD_BYTES; called where the name does not tell.
    """
    *folders, last = name.split("/")
    if any(map(is_rubbish, folders)):
        return None
    if any(map(_UNFINISHED.search, (*folders, last))):
        return "unfinished"
    if not last:
        return "folder"
    if is_rubbish(last):
        return None
    kind = _KIND_OF.get(os.path.splitext(last)[1].lower())  # noqa: PTH122, pathlib takes a third of a listing's time
    if kind is None and is_compressed(last) and "devkit" not in last:
        return "compressed"
    return kind or ("image" if _MAGIC.match(head()) else "other")


def is_rubbish(name: str) -> bool:
    """Whether systems leave files and folders of this name beside others, or hide them."""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in RUBBISH


def is_compressed(name: str) -> bool:
    """Whether a file name has a suffix of archives, or of pieces of files, that cannot be read in place."""
    return bool(_PIECE.search(name) or _COMPRESSED.search(name))


def refuse_unreadable(kind: EntryKind, name: str, place: str = "") -> None:
    """Raise UserError, about `name` in `place`, for what must be whole and unpacked before it can be read."""
    title = f"{name} in {place}" if place else name
    if kind == "unfinished":
        raise UserError(
            f"{title} is a download or a copy that was not finished: finish it, or remove it, so that nothing is missing"
        )
    if kind == "compressed" and _PIECE.search(name):
        raise UserError(f"{title} is a piece of a file: join all pieces first (cat NAME.* > NAME), to a plain .tar")
    if kind == "compressed":
        raise UserError(
            f"{title} is compressed, and archives are read in place: unpack it first, to a plain .tar or a folder"
        )


def refuse_pointer(path: Path) -> None:
    """Raise UserError if a file is only what Git LFS puts in the place of one that has not been fetched."""
    with naming_unreadable(path), path.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise UserError(f"{path} is a pointer of Git LFS, not the file itself: fetch it (git lfs pull)")


@contextmanager
def naming_unreadable(path: Path) -> Iterator[None]:
    """Turn the system's refusals to read `path`, or something in it, into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename or path} ({error.strerror or error}): put it right, or remove it if it does not "
            "belong to the split"
        ) from error


def walk(folder: Path, prefix: str = "", deep: bool = True) -> Iterator[Entry]:
    """All files and folders in `folder`, folders before what they hold, one after the other; rubbish left out.

    Args:
        folder: where to look.
        prefix: put before the names; ends in a slash if it is not empty.
        deep: also in the folders inside.

    Raises:
        UserError: it cannot be read, or holds a link that leads nowhere or back.
    """
    waiting = [(folder, prefix)]  # no recursion: folders may be deeper than Python's stack
    while waiting:
        folder, prefix = waiting.pop()
        with naming_unreadable(folder), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if is_rubbish(entry.name):
                        continue
                    _refuse_leading_nowhere(entry, folder)
                is_folder = entry.is_dir()
                if is_folder or not entry.is_file():
                    kind = (
                        kind_of(f"{entry.name}/", bytes) if is_folder else None if is_rubbish(entry.name) else "other"
                    )
                    size = 0
                else:
                    kind = kind_of(entry.name, lambda path=entry.path: _head(path))
                    size = entry.stat().st_size
                if kind:
                    yield Entry(prefix + entry.name, kind, 0, size)
                if kind == "folder" and deep:
                    waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))


def _head(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123
        return stream.read(HEAD_BYTES)


def _refuse_leading_nowhere(link: os.DirEntry[str], folder: Path) -> None:
    try:
        link.stat()
    except OSError as error:
        raise UserError(
            f"{link.path} is a link that leads nowhere ({error.strerror}), so that images may be missing: mend or remove it"
        ) from error
    around = (folder, *folder.parents)  # which other links may have led to
    if link.is_dir() and (
        folder.resolve().is_relative_to(Path(link.path).resolve())
        or any(os.path.samefile(link.path, above) for above in around)  # noqa: PTH121, as a link's path is text
    ):
        raise UserError(f"{link.path} is a link that leads back to a folder around it: remove it")


@dataclass
class Account:
    """What becomes of every entry of a source: taken, refused, or counted and told."""

    title: str
    insisted: bool = False
    """The user has named the packaging: what is of another one is counted instead of refused."""
    left_out: int = 0
    example: str = ""

    def take(self, entries: Iterable[Entry], *wanted: EntryKind) -> Iterator[Entry]:
        """Those of the wanted kinds.

        Raises:
            UserError: one is a picture, a label or a packaging that is not wanted, unfinished or compressed.
        """
        for entry in entries:
            refuse_unreadable(entry.kind, entry.name, self.title)
            if entry.kind in wanted:
                yield entry
            elif entry.kind in ("image", "tar", "parquet", "label") and not self.insisted:
                raise UserError(
                    f"{self.title} holds {entry.name} among files of another kind: move away what does not belong to the "
                    f"split, or name the packaging with --source"
                )
            elif entry.kind != "folder":
                self.leave_out(entry.name)

    def leave_out(self, name: str) -> None:
        """Count a file that is no image."""
        self.left_out += 1
        self.example = min(self.example or name, name)

    def notes(self) -> list[str]:
        """What to tell of the files that were left out: one line, or none."""
        if not self.left_out:
            return []
        files = "1 file that is" if self.left_out == 1 else f"{self.left_out:,} files that are"
        return [f"left out {files} no image{'s' if self.left_out > 1 else ''}, such as {self.example}"]
