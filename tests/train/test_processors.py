"""Which processors a rank keeps to, and how many threads it takes of them."""

import os
import sys
from pathlib import Path

import processes
import pytest

from convert.doctor import _machine_problems
from convert.job.options import RunOptions
from convert.processors import allowed_processors, cgroup_processors, usable_processors
from convert.verify import VerifyOptions
from tinydarknet.rank_share import Share, feed_threads, memory_nodes, share_of_rank

INFINITE = float("inf")


def host(folder: Path, *cpulists: str) -> Path:
    """A host's memory nodes as the kernel shows them, with what else lies there."""
    for number, cpulist in enumerate(cpulists):
        (folder / f"node{number}").mkdir(parents=True)
        (folder / f"node{number}" / "cpulist").write_text(cpulist + "\n")
    (folder / "power").mkdir()
    return folder


def test_the_kernels_account_is_read(tmp_path):
    nodes = memory_nodes(host(tmp_path / "node", "0-2,8", "3-7", ""))
    assert nodes == [{0, 1, 2, 8}, {3, 4, 5, 6, 7}, frozenset()]
    assert memory_nodes(tmp_path / "none") == []
    assert memory_nodes(host(tmp_path / "many", *map(str, range(12))))[10] == {10}


def processors(*ranges: range) -> frozenset[int]:
    return frozenset(number for numbers in ranges for number in numbers)


FOUR_NODES = [processors(range(start, start + 48)) for start in (0, 48, 96, 144)]
ALL = processors(range(192))


@pytest.mark.parametrize(
    ("local_ranks", "nodes_of_ranks", "threads"),
    [
        (8, [(0,), (0,), (1,), (1,), (2,), (2,), (3,), (3,)], [24] * 8),
        (4, [(0,), (1,), (2,), (3,)], [48] * 4),
        (2, [(0, 1), (2, 3)], [96, 96]),
        (3, [(0,), (1,), (2, 3)], [48, 48, 96]),
        (5, [(0,), (0,), (1,), (2,), (3,)], [24, 24, 48, 48, 48]),
        (1, [()], [192]),
    ],
)
def test_ranks_go_over_the_nodes_in_order(local_ranks, nodes_of_ranks, threads):
    shares = [share_of_rank(ALL, FOUR_NODES, rank, local_ranks) for rank in range(local_ranks)]
    assert [share.nodes for share in shares] == nodes_of_ranks
    for share in shares:
        assert share.processors == (processors(*(FOUR_NODES[node] for node in share.nodes)) or ALL)
    assert [feed_threads(share, INFINITE, local_ranks) for share in shares] == threads
    assert sum(threads) == 192


def test_what_the_process_may_not_use_does_not_count():
    """A container with the second half of node 1 and all of node 3; nodes without processors are passed over."""
    allowed = processors(range(72, 96), range(144, 192))
    shares = [share_of_rank(allowed, FOUR_NODES, rank, 2) for rank in range(2)]
    assert [share.nodes for share in shares] == [(1,), (3,)]
    assert shares[0].processors == processors(range(72, 96))
    within_one_node = share_of_rank(processors(range(48)), FOUR_NODES, 1, 2)
    assert within_one_node == Share(processors(range(48)), 2)


@pytest.mark.parametrize(
    ("count", "ranks", "quota", "threads"),
    [(192, 8, INFINITE, 24), (2, 8, INFINITE, 1), (2, 1, 1.5, 1), (56, 8, INFINITE, 7), (192, 8, 32.0, 4), (4, 1, 0.5, 1)],
)  # fmt: skip
def test_a_host_without_nodes_is_shared_equally(count, ranks, quota, threads):
    share = share_of_rank(processors(range(count)), [], ranks - 1, ranks)
    assert share.nodes == ()
    assert feed_threads(share, quota, ranks) == threads


def test_a_rank_beyond_the_host_is_refused():
    with pytest.raises(ValueError, match="got 2 and 2"):
        share_of_rank(ALL, FOUR_NODES, 2, 2)


def test_a_cgroup_limits_the_processors(tmp_path):
    limit = tmp_path / "cpu.max"
    limit.write_text("50000 100000\n")
    assert cgroup_processors(tmp_path) == 0.5
    limit.write_text("max 100000\n")
    assert cgroup_processors(tmp_path) == INFINITE
    limit.unlink()
    assert cgroup_processors(tmp_path) == INFINITE
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cgroup_processors(tmp_path) == 3


@pytest.mark.parametrize(("quota", "workers"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 56)])
def test_conversions_start_no_more_workers_than_the_quota_has_time_for(tmp_path, monkeypatch, quota, workers):
    """On 56 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(56)))
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr("convert.processors._CGROUP", tmp_path)
    assert usable_processors() == RunOptions(tmp_path, tmp_path).workers == VerifyOptions(tmp_path).workers == workers
    assert bool(_machine_problems(RunOptions(tmp_path, tmp_path, workers=3), 1)) == (workers < 3)


def test_the_quota_of_a_service_counts_and_those_above_it(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("1:cpu,cpuacct:/elsewhere\n0::/system.slice/train.service\n")
    folder = tmp_path / "system.slice" / "train.service"
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text("400000 100000\n")
    assert cgroup_processors(tmp_path, membership) == 4
    (folder.parent / "cpu.max").write_text("300000 100000\n")
    assert cgroup_processors(tmp_path, membership) == 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_a_bound_process_keeps_all_its_threads_there(tmp_path):
    """In a process of its own: threads that ran before are bound too, those that start later inherit."""
    one = min(allowed_processors())
    program = f"""
import os, threading
from tinydarknet.rank_share import Share, bind
ready, done, seen = threading.Barrier(2), threading.Event(), []
def look():
    ready.wait()
    done.wait()
    seen.append(os.sched_getaffinity(0))
before = threading.Thread(target=look)
before.start()
ready.wait()
bind(Share(frozenset([{one}]), 1, (0,)))
done.set()
before.join()
after = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
after.start()
after.join()
assert seen == [{{{one}}}] * 2, seen
"""
    result = processes.run([sys.executable, "-c", program])
    assert result.returncode == 0, result.stderr
