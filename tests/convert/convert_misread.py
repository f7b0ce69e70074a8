"""How the tests of misread sources list one, and expect it to be refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import convert_packed as packed
import pytest

from convert.dataset.classes import load_imagenet1k
from convert.errors import UserError
from convert.sources import open_source

TABLE = load_imagenet1k()
ONE, TWO = "n01440764", "n01443537"


def keys(path: Path, **options) -> list[str]:
    return open_source(path, TABLE, **options).listing().column("key").to_pylist()


def refused(path: Path, message: str, **options) -> None:
    with pytest.raises(UserError, match=message):
        keys(path, **options)


def tar_bytes(*names: str, data: bytes = b"image", form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in names:
            packed.add(archive, name, data)
    return stream.getvalue()


def tar_of(path: Path, *names: str, **options) -> Path:
    path.write_bytes(tar_bytes(*names, **options))
    return path
