"""A conversion that is killed, stopped, or runs into trouble can always be finished, with the same bytes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import processes
import pyarrow.parquet as pq
import pytest
from convert_making import make, same_files, when_a_worker_shows

from convert import durable_files
from convert.dataset.manifest import STAGING_NAME, load_manifest
from convert.errors import UserError
from convert.job import conversion, shard, staging
from convert.job.conversion import convert_split
from convert.run import RunOptions, run
from convert.sources.base import RangeReader
from convert.verify import VerifyOptions, verify

KILLING = Path(__file__).with_name("convert_killing.py")


def kill_often(tree, tmp_path, kills, seed):
    made = tmp_path / "made"
    made.mkdir()
    few = min((tree / "train").iterdir())
    shutil.copytree(few, tmp_path / "few" / "train" / few.name)
    tests = os.pathsep.join(map(str, (processes.ROOT, processes.ROOT / "tests")))
    finished = processes.run(
        [sys.executable, KILLING, tmp_path / "few" / "train", made, kills, seed], tmp_path, 600, PYTHONPATH=tests
    )
    assert finished.returncode == 0, finished.stderr
    undisturbed = make(tmp_path / "few", tmp_path / "undisturbed", shard_rows=4)
    assert len(list(made.iterdir())) >= 2
    for output in made.iterdir():
        assert same_files(output, undisturbed)


def test_killed_at_random_moments(tree, tmp_path):
    kill_often(tree, tmp_path, 10, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_very_often(tree, tmp_path, seed):
    kill_often(tree, tmp_path, 60, seed)


def test_a_dead_worker_is_named_and_the_run_can_go_on(tree, tmp_path):
    output, killed = tmp_path / "out", []

    def kill(pid, shard):
        killed.append(pid)
        os.kill(pid, signal.SIGKILL)

    with when_a_worker_shows(kill), pytest.raises(UserError) as caught:
        make(tree, output, shard_rows=70)
    assert f"the worker process {killed[0]} that made train.mindrecord000 was killed" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    with pytest.raises(UserError, match="unfinished conversion"):
        load_manifest(output)
    make(tree, output, shard_rows=70)
    assert verify(VerifyOptions(output)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_cleanly(tree, tmp_path, capsys, number):
    output = tmp_path / "out"
    with when_a_worker_shows(lambda *_: os.kill(os.getpid(), number)):
        assert run(RunOptions(tree / "train", output, shard_rows=8, workers=2)) == 128 + number
    assert "of 9 shards are done; run the same command again to go on" in capsys.readouterr().err
    assert not (output / "manifest.json").exists()
    assert run(RunOptions(tree / "train", output, shard_rows=8, workers=1)) == 0
    assert verify(VerifyOptions(output)) == 0


@pytest.mark.parametrize("step", ["prepare", "_publish"])
def test_a_signal_before_or_after_the_shards_stops_cleanly_too(tree, tmp_path, capsys, monkeypatch, step):
    output = tmp_path / "out"
    real = getattr(conversion, step)

    def signalled(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(conversion, step, signalled)
        assert run(RunOptions(tree / "train", output, shard_rows=35)) == 128 + signal.SIGTERM
    assert "stopped; run the same command again to go on" in capsys.readouterr().err
    assert not (output / "manifest.json").exists()
    make(tree, output, shard_rows=35)


def test_a_second_run_into_the_same_folder_is_refused(tree, tmp_path, monkeypatch):
    output = tmp_path / "out"
    make_shards = conversion.make_shards

    def intrude(*arguments):
        with pytest.raises(UserError, match="another run is converting into"):
            convert_split(RunOptions(tree / "train", output, shard_rows=8))
        return make_shards(*arguments)

    monkeypatch.setattr(conversion, "make_shards", intrude)
    make(tree, output, shard_rows=8)


def test_a_run_that_began_before_another_finished_leaves_its_dataset_alone(tree, tmp_path, monkeypatch, planes_dataset):
    output = tmp_path / "out"
    real_locked = staging._locked

    def locked(folder):
        """The other run ends after this one has found an unfinished conversion, before it holds the lock."""
        shutil.copytree(planes_dataset, output, dirs_exist_ok=True)
        return real_locked(folder)

    monkeypatch.setattr(staging, "_locked", locked)
    with pytest.raises(UserError, match="another run has finished"):
        convert_split(RunOptions(tree / "train", output, seed=5))
    monkeypatch.undo()
    assert run(RunOptions(tree / "train", output)) == 0
    assert same_files(output, planes_dataset)


def test_a_file_system_without_locks_is_not_taken_for_another_run(tree, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=r"cannot be locked \(Function not implemented\)"):
        make(tree, tmp_path / "out")


@pytest.mark.parametrize("name", ["plan.json", "index.parquet", "manifest.json"])
def test_a_disk_that_is_full_when_the_shards_are_not_written_is_told_too(
    tree, tmp_path, monkeypatch, planes_dataset, name
):
    real = durable_files.sync_file

    def sync_file(temporary):
        if temporary.name.startswith(f".{name.split('.')[0]}."):
            raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
        real(temporary)

    with monkeypatch.context() as patch:
        patch.setattr(durable_files, "sync_file", sync_file)
        with pytest.raises(UserError, match=r"out cannot be written \(.*No space left.*run the same command again"):
            make(tree, tmp_path / "out")
    assert same_files(make(tree, tmp_path / "out"), planes_dataset)


def test_what_was_done_is_not_done_again(tree, tmp_path):
    """A run that went on has converted only the shards without a record."""
    output = tmp_path / "out"
    options = RunOptions(tree / "train", output, shard_rows=8, workers=1)
    with when_a_worker_shows(lambda *_: os.kill(os.getpid(), signal.SIGINT), first_shard=2):
        assert run(options) == 130
    done = len(list((output / STAGING_NAME).glob("shard-*.parquet")))
    assert done == 2
    outcome = convert_split(options)
    assert outcome.images == 70 - sum(shard.rows for shard in outcome.manifest.shards[:done])


def task_for(tree, output) -> shard.ShardTask:
    """The first shard of a conversion, to be made in this process."""
    caught = []

    def make_shards(tasks, *_):
        caught.extend(tasks)
        raise UserError("enough")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "make_shards", make_shards)
        with pytest.raises(UserError, match="enough"):
            make(tree, output)
    return caught[0]


def test_files_are_synced_before_they_get_their_names_and_the_record_comes_last(tree, tmp_path, monkeypatch):
    """What a power cut may drop is what has not been synced: nothing such may have a final name."""
    task = task_for(tree, tmp_path / "out")
    events: list[tuple[str, str]] = []
    synced: dict[int, tuple[str, int]] = {}
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor):
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        synced[os.fstat(descriptor).st_ino] = (path, os.fstat(descriptor).st_size)
        events.append(("sync", path))
        real_fsync(descriptor)

    def replace(old, new):
        status = Path(old).stat()
        if staging.PROGRESS_NAME not in str(new):
            assert synced.get(status.st_ino, ("", -1))[1] == status.st_size, f"{old} was not synced whole"
        events.append(("name", str(new)))
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)  # os.replace itself is out of reach in Python 3.10
    shard.convert_shard(task)
    names = [path for kind, path in events if kind == "name" and staging.PROGRESS_NAME not in path]
    assert names == [str(task.output / name) for name in (f"{task.name}.db", task.name)] + [
        str(staging.record_path(task.output, 0))
    ]
    folders_synced = [("sync", str(Path(name).parent)) for name in names[-2:]]
    shard_named, record_named = (events.index(("name", name)) for name in names[-2:])
    assert events[shard_named + 1] == folders_synced[0]  # before the record says that the shard is there
    assert events[record_named + 1] == folders_synced[1]


@pytest.mark.parametrize("fails_at", range(3))
def test_a_full_disk_stops_with_the_shard_named(tree, tmp_path, monkeypatch, fails_at):
    task = task_for(tree, tmp_path / "out")
    calls = iter(range(100))
    real_sync = durable_files.sync_file

    def sync_file(temporary):
        if next(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_sync(temporary)

    monkeypatch.setattr(shard, "sync_file", sync_file)
    monkeypatch.setattr(durable_files, "sync_file", sync_file)
    with pytest.raises(UserError, match=r"train\.mindrecord000.*No space left on device"):
        shard.convert_shard(task)
    assert staging.read_record(task.output, 0) is None
    assert not list((task.output / STAGING_NAME).glob("work-*"))
    monkeypatch.undo()
    make(tree, tmp_path / "out")
    assert verify(VerifyOptions(tmp_path / "out")) == 0


def test_mindspore_on_a_full_disk(tree, tmp_path):
    """A limit on file sizes makes MindSpore's own writes fail."""
    program = (
        "import resource, sys, pathlib\n"
        "from convert.job import worker_pool\n"
        "from convert.run import RunOptions, convert_split, run\n"
        "from convert.cli import Command, _run\n"
        "import mindspore.mindrecord\n"
        "worker_pool.START_METHOD = 'fork'\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sys.exit(_run(lambda: (run, RunOptions(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), workers=1))))\n"
    )
    finished = processes.run([sys.executable, "-c", program, tree / "train", tmp_path / "out"], tmp_path)
    assert finished.returncode == 1, finished.stderr
    assert "train.mindrecord000" in finished.stderr.rsplit("error: ", 1)[1]
    assert "disk" in finished.stderr.rsplit("error: ", 1)[1]  # MindSpore 2.8 dies of a segmentation fault here
    make(tree, tmp_path / "out", shard_rows=64, workers=2)
    assert verify(VerifyOptions(tmp_path / "out")) == 0


def test_debris_of_a_dead_run_does_no_harm(tree, tmp_path, planes_dataset):
    output = tmp_path / "out"
    task = task_for(tree, output)
    rubbish = output / STAGING_NAME / "work-00001-elsewhere-99"
    rubbish.mkdir()
    (rubbish / "train.mindrecord001").write_bytes(b"half a shard")
    (rubbish / staging.PROGRESS_NAME).write_text(json.dumps({"shard": 1, "pid": 99, "images": 3}))
    (output / task.name).write_bytes(b"a shard without a record")
    (output / STAGING_NAME / ".shard-00002.77.tmp.parquet").write_bytes(b"half a record")
    assert same_files(make(tree, output), planes_dataset)


def test_a_record_whose_shard_is_gone_does_not_count(tree, tmp_path, planes_dataset):
    task = task_for(tree, tmp_path / "out")
    shard.convert_shard(task)
    assert staging.read_record(task.output, 0) is not None
    (task.output / task.name).write_bytes(b"x")
    assert staging.read_record(task.output, 0) is None
    assert same_files(make(tree, tmp_path / "out"), planes_dataset)


@pytest.mark.parametrize("damage", [b"no Parquet", None])
def test_a_damaged_record_is_named_and_can_be_removed(tree, tmp_path, planes_dataset, damage):
    task = task_for(tree, tmp_path / "out")
    shard.convert_shard(task)
    path = staging.record_path(task.output, 0)
    if damage is None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({b"entry": b"{}", b"skipped": b"[]"}), path)
    else:
        path.write_bytes(damage)
    with pytest.raises(UserError, match=rf"{path.name} is damaged .*: remove it and run the same command again"):
        make(tree, tmp_path / "out")
    path.unlink()
    assert same_files(make(tree, tmp_path / "out"), planes_dataset)


def test_a_read_error_names_the_file_and_the_run_can_go_on(tree, tmp_path, monkeypatch, planes_dataset):
    task = task_for(tree, tmp_path / "out")
    bad = task.items.column("file")[5].as_py()
    real_open = RangeReader._open

    class Broken:
        def seek(self, *_):
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(
            RangeReader, "_open", lambda self, file, path: Broken() if file == bad else real_open(self, file, path)
        )
        with pytest.raises(UserError, match=rf"cannot read .*{bad} \(Input/output error\).*run the same command again"):
            shard.convert_shard(task)
    assert staging.read_record(task.output, 0) is None
    assert not list((task.output / STAGING_NAME).glob("work-*"))
    assert same_files(make(tree, tmp_path / "out"), planes_dataset)


def test_what_a_run_left_that_died_after_its_manifest_is_cleared_away(tree, planes_dataset, tmp_path):
    output = shutil.copytree(planes_dataset, tmp_path / "out")
    (output / STAGING_NAME).mkdir()
    assert same_files(make(tree, output), planes_dataset)


def test_what_fails_beside_the_output_is_not_blamed_on_it(tmp_path):
    with pytest.raises(BrokenPipeError), staging.opened(tmp_path / "out", {"rows": 1}):
        raise BrokenPipeError
