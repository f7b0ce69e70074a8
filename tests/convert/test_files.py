"""Temporary names: whose they are, and which of them are left over."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from convert.dataset.manifest import STAGING_NAME
from convert.durable_files import leftovers, published
from convert.job.staging import PROGRESS_NAME, Progress, states


def test_writers_with_one_process_id_on_two_hosts_use_two_names(tmp_path, monkeypatch):
    names = set()
    for host in ("one", "two"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        with published(tmp_path / "shard-00001.parquet") as temporary:
            temporary.write_bytes(b"whole")
            names.add(temporary.name)
    assert len(names) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00001.parquet"]


def test_leftovers_are_those_of_one_file_and_nothing_else(tmp_path):
    final = tmp_path / "index.parquet"
    for name in (".index.77.tmp.parquet", ".index.a.host-1-77.tmp.parquet"):
        (tmp_path / name).touch()
    for name in (
        "index.parquet",
        ".index.parquet",
        ".index.mine.tmp.parquet",
        ".manifest.77.tmp.json",
        "index.77.tmp.parquet",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in leftovers(final)] == [".index.77.tmp.parquet", ".index.a.host-1-77.tmp.parquet"]
    with published(final) as temporary:
        temporary.touch()
        assert temporary in leftovers(final)


def test_progress_that_is_replaced_while_it_is_read_is_passed_over(tmp_path, monkeypatch):
    for shard in range(3):
        (tmp_path / STAGING_NAME / f"work-{shard:05d}-host-1").mkdir(parents=True)
        Progress(tmp_path / STAGING_NAME / f"work-{shard:05d}-host-1", shard)
    (tmp_path / STAGING_NAME / "work-00001-host-1" / PROGRESS_NAME).write_text('{"shard": 1, "pi')
    real = Path.read_text

    def read_text(path, *arguments, **options):
        if "work-00002" in str(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert [state["shard"] for state in states(tmp_path)] == [0]
