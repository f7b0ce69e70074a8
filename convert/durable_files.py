"""Files that are whole or absent: write under a temporary name, sync, rename."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from convert.errors import UserError

FILE_MODE = 0o644
"""MindSpore writes shards 0600 and checkpoints 0400; datasets and models are there to be shared."""

_HASH_CHUNK_BYTES = 1 << 18  # stays in a core's own cache between being read and being hashed


def sync_path(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_NAME_BYTES_MAX = 200
"""File systems take 255, of which temporary names need some."""


def file_name_of(key: str) -> str:
    """A file name that no other key has: slashes become __, and where that is not the whole truth a digest tells."""
    name = key.replace("/", "__")
    unambiguous = key.count("/") == 1 and not any(part in key for part in ("__", "_/", "/_"))
    if unambiguous and name.isprintable() and len(name.encode()) <= _NAME_BYTES_MAX:
        return name
    stem, dot, suffix = name.rpartition(".")
    suffix = dot + suffix if stem and len(suffix) <= 8 else ""
    kept = "".join(letter if letter.isprintable() else "_" for letter in stem or name).encode()[: _NAME_BYTES_MAX - 40]
    return f"{kept.decode(errors='ignore')}-{hashlib.sha256(key.encode()).hexdigest()[:16]}{suffix}"


def require_utf8(folder: Path) -> None:
    """Refuse a folder that the libraries cannot write into: MindSpore and Arrow know no other names.

    Raises:
        UserError: its path is not UTF-8.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the name of the folder {folder} is not UTF-8: rename it, or name another") from error


def sync_file(temporary: Path) -> None:
    """Flush a finished file to the disk, with mode 0644: all that it needs but its final name."""
    temporary.chmod(FILE_MODE)
    sync_path(temporary)


def move_synced(names: Sequence[str], folder: Path, target: Path) -> None:
    """Give files that `sync_file` has seen to in `folder` their final place, in the same file system, durably."""
    for name in names:
        (folder / name).replace(target / name)
    sync_path(target)


def publish(temporary: Path, final: Path) -> None:
    """Give a finished file its final name in the same file system, durably and with mode 0644."""
    sync_file(temporary)
    temporary.replace(final)
    sync_path(final.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, durably; one that exists is left alone."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_path(folder.parent)


def writer_name() -> str:
    """This process's name among all that may write into one folder: containers on several hosts often share process ids."""
    return f"{socket.gethostname()}-{os.getpid()}"


def leftovers(final: Path) -> list[Path]:
    """Temporary files beside `final` of writers that were killed before they could publish it, or of one still at work."""
    pattern = re.compile(rf"\.{re.escape(final.stem)}\.(\S+-)?\d+\.tmp{re.escape(final.suffix)}")
    return sorted(path for path in final.parent.iterdir() if pattern.fullmatch(path.name))


@contextmanager
def published(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside `final`; publish it when the block ends well, remove it when not.

    The temporary name keeps `final`'s suffix, because some writers choose their format by it.
    """
    make_folder(final.parent)
    temporary = final.with_name(f".{final.stem}.{writer_name()}.tmp{final.suffix}")
    try:
        yield temporary
        publish(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def published_output(final: Path) -> Iterator[Path]:
    """Like `published`, for a file that the user named.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with published(final) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(f"cannot write {final} ({error.strerror or error}): name another file") from error


def write_output(final: Path, data: bytes) -> None:
    """Like `write_bytes`, for a file that the user named.

    Raises:
        UserError: it cannot be written.
    """
    with published_output(final) as temporary:
        temporary.write_bytes(data)


def write_bytes(final: Path, data: bytes) -> None:
    """Write `data` to `final`, whole or not at all."""
    with published(final) as temporary:
        temporary.write_bytes(data)


def sha256_file(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    piece = memoryview(bytearray(_HASH_CHUNK_BYTES))
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(piece):
            digest.update(piece[:size])
    return digest.hexdigest()
