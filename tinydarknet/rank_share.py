"""A rank's part of its host: which processors it keeps to, and how many threads make its batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.processors import allowed_processors, cgroup_processors

_NODES = Path("/sys/devices/system/node")


@dataclass(frozen=True)
class Share:
    """The processors that a rank keeps to."""

    processors: frozenset[int]
    """Their numbers."""
    ranks: int
    """Ranks that keep to them, this one included."""
    nodes: tuple[int, ...] = ()
    """The memory nodes they belong to; empty where the rank is not bound to any."""

    def __post_init__(self) -> None:
        if not self.processors or self.ranks < 1:
            raise ValueError(f"need processors and ranks >= 1, got {sorted(self.processors)} and {self.ranks}")


def share_of_rank(
    allowed: frozenset[int],
    nodes: Sequence[frozenset[int]],
    local_rank: int,
    local_ranks: int,
    card_nodes: Sequence[int] = (),
) -> Share:
    """Give rank `local_rank` of a host's `local_ranks` its memory node, or several where there are more nodes than ranks.

    A rank gets its card's node. Where that is not known, or a card's node has no processor that is allowed, ranks go
    over the nodes in order and as evenly as they come. On a host with one node, or for a single rank, everything that
    is allowed.

    Args:
        allowed: processors that this process may run on.
        nodes: processors of each memory node of the host.
        local_rank: in [0, local_ranks).
        local_ranks: ranks on this host.
        card_nodes: the number of the node that each rank's card is at; empty where it is not known.
    """
    if not 0 <= local_rank < local_ranks:
        raise ValueError(f"need 0 <= local_rank < local_ranks, got {local_rank} and {local_ranks}")
    present = [(number, node & allowed) for number, node in enumerate(nodes) if node & allowed]
    if len(present) < 2 or local_ranks < 2:
        return Share(allowed, local_ranks)
    mine_by_card = list(card_nodes[:local_ranks])
    if len(mine_by_card) == local_ranks and set(mine_by_card) <= {number for number, _ in present}:
        node = mine_by_card[local_rank]
        return Share(nodes[node] & allowed, mine_by_card.count(node), (node,))

    def places(rank: int) -> range:
        begin = rank * len(present) // local_ranks
        return range(begin, max(begin + 1, (rank + 1) * len(present) // local_ranks))

    mine = places(local_rank)
    return Share(
        frozenset().union(*(present[place][1] for place in mine)),
        sum(places(rank) == mine for rank in range(local_ranks)),
        tuple(present[place][0] for place in mine),
    )


def feed_threads(share: Share, quota: float, local_ranks: int, spared: int = 0) -> int:
    """Threads that make a rank's batches, at least one.

    Args:
        share: the processors it keeps to.
        quota: processors whose time the host's ranks may use together.
        local_ranks: ranks on this host.
        spared: processors that other threads of the rank need.
    """
    return max(1, int(min(len(share.processors) / share.ranks, quota / local_ranks)) - spared)


def equal_share_threads(local_ranks: int) -> int:
    """Threads that make a rank's batches where `local_ranks` share all that this process may use."""
    return feed_threads(Share(allowed_processors(), local_ranks), cgroup_processors(), local_ranks)


def memory_nodes(system: Path = _NODES) -> list[frozenset[int]]:
    """The processors of every memory node (NUMA) of this host, by the kernel's account; empty where it gives none."""
    found = sorted(system.glob("node[0-9]*"), key=lambda path: int(path.name.removeprefix("node")))
    return [_numbers((path / "cpulist").read_text()) for path in found]


def bind(share: Share) -> None:
    """Keep this process, with the threads that it has and will have, to a share of one memory node; Linux only.

    Memory is then taken from that node, because the kernel takes it where it is first touched.
    """
    if not share.nodes or not hasattr(os, "sched_setaffinity"):
        return
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), share.processors)
        except ProcessLookupError:  # the thread has just ended
            continue


def _numbers(ranges: str) -> frozenset[int]:
    """Such as {0, 1, 2, 8} for "0-2,8"; the kernel's cpulist."""
    numbers: set[int] = set()
    for part in filter(None, ranges.strip().split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)
