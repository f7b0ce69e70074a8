"""Paths as the system has them: folders searched as the converter does, lists of bytes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import convert_odd as odd
import pytest

from convert.errors import UserError
from tinydarknet.predict.pictures import STDIN, find_pictures, read_path_list


def test_folders_are_searched_as_the_converter_does(tmp_path):
    for name in ("b.jpg", "a/c.JPEG", "a/noext", ".hidden.jpg", "@eaDir/b.jpg", "notes.txt", "more.zip", "x.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(odd.jpeg() if name == "a/noext" else b"x")
    os.mkfifo(tmp_path / "x.jpg")
    assert find_pictures([tmp_path]) == [tmp_path / name for name in ("a/c.JPEG", "a/noext", "b.jpg")]
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"gone\.jpg is a link that leads nowhere"):
        find_pictures([tmp_path])


def test_a_pipe_that_is_named_is_taken(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert find_pictures([tmp_path / "pipe"]) == [tmp_path / "pipe"]


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"\xef\xbb\xbfa.jpg\n", ["a.jpg"]),
        ("x\x85y.jpg\nu\x0bv\u2028w.jpg".encode(), ["x\x85y.jpg", "u\x0bv\u2028w.jpg"]),
        (b"z\xff.jpg\n\n", ["z\udcff.jpg"]),
        (b"a b.jpg\r\nc.jpg\r\n", ["a b.jpg", "c.jpg"]),
    ],
)
@pytest.mark.parametrize("piped", [True, False])
def test_lists_are_bytes_parted_by_line_feeds(data, paths, piped, tmp_path, monkeypatch):
    (tmp_path / "list").write_bytes(data)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert read_path_list(STDIN if piped else tmp_path / "list") == list(map(Path, paths))


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_a_list_that_names_nothing_is_refused(data, tmp_path):
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(UserError, match="names no images"):
        read_path_list(tmp_path / "list")
