"""How the tests make a dataset."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from processes import wait_until

from convert.image.encoding import EncodingName
from convert.job import conversion, shard
from convert.job.staging import Progress
from convert.run import RunOptions, run


def make(tree: Path, output: Path, encoding: EncodingName = "yuv420", **options) -> Path:
    assert run(RunOptions(tree / "train", output, encoding, **{"shard_rows": 25, "workers": 2, **options})) == 0
    return output


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same names with the same bytes."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    return not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])


@contextmanager
def when_a_worker_shows(action: Callable[[int, int], object], first_shard: int = 0) -> Iterator[None]:
    """Call `action(pid, shard)` once, in the run's own thread, as soon as it sees that a worker has begun a shard.

    Shards before `first_shard` do not count. The others do not go on before that: whoever is seen is in the midst.
    """
    look, shown = conversion.states, []

    def states(output: Path) -> list[dict[str, int]]:
        found = look(output)
        begun = [state for state in found if state["shard"] >= first_shard]
        if begun and not shown:
            shown.append(begun[0])
            action(begun[0]["pid"], begun[0]["shard"])
            _permit(output).touch()
        return found

    with (
        mock.patch.object(conversion, "states", states),
        mock.patch.object(shard, "convert_shard", partial(_held, first_shard)),
    ):
        yield
    assert shown, "no worker was seen"


_convert_shard = shard.convert_shard


def _held(first_shard: int, task: shard.ShardTask) -> int:
    """`work.convert_shard` in a worker process, held where it has told that it began."""
    report = Progress.report

    def report_and_wait(self: Progress, images_done: int) -> None:
        report(self, images_done)
        if task.index >= first_shard:
            wait_until(_permit(task.output).exists, "the run has seen its workers")

    with mock.patch.object(Progress, "report", report_and_wait):
        return _convert_shard(task)


def _permit(output: Path) -> Path:
    return output.with_name(f"{output.name}.seen")
