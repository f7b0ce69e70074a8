"""K ranks with prefetch queues, event by event: does `max(compute, feed)` hold, and what does jitter do to it?

Every rank has `threads` feed threads, which make its batches in order, each at most `queue` batches ahead of the step
that takes it; a step begins when its batch is there and ends, for all ranks together, when the slowest has computed
and the gradients are reduced. The events of step n are

    made[r, n]  = max(thread free, end[n - queue - 1]) + service[r, n]    a thread, and a place in the queue
    begin[r, n] = max(end[n - 1], made[r, i] for all i <= n)              batches are taken in order
    end[n]      = max over r of (begin[r, n] + compute[r, n]) + all_reduce

Assumptions: ranks share nothing but the all-reduce (threads have cores of their own); service and compute times are
independent draws, lognormal with the given coefficient of variation (or exponential); a hand-over costs nothing; there
are no pauses for evaluation or checkpoints. Pure but for its seeded generator.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from convert.errors import require_at_least

_WARMUP_SHARE = 0.1


@dataclass(frozen=True)
class Scenario:
    """What is simulated; all times in milliseconds."""

    ranks: int = 8
    threads: int = 1
    """Feed threads per rank."""
    queue: int = 3
    """Batches a rank may have ready or under way beyond the one that is computed on, at least 1."""
    service_ms: float = 10.0
    """Mean time in which one thread makes one batch."""
    compute_ms: float = 10.0
    """Mean time of a step on one rank."""
    all_reduce_ms: float = 0.0
    service_cv: float = 0.0
    """Standard deviation over mean of the service times."""
    compute_cv: float = 0.0
    shape: Literal["lognormal", "exponential"] = "lognormal"
    """exponential ignores both coefficients of variation: it has 1."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "ranks", "threads", "queue")
        require_at_least(self, 0, "service_ms", "compute_ms", "all_reduce_ms", "service_cv", "compute_cv")

    @property
    def formula_ms(self) -> float:
        """What the budget's formula says: the slower of feed and network."""
        return max(self.compute_ms + self.all_reduce_ms, self.service_ms / self.threads)


def simulate(scenario: Scenario, steps: int = 2000, seed: int = 0) -> float:
    """The mean step time in milliseconds, without the first tenth of the steps."""
    draw = _drawer(scenario, np.random.default_rng(seed))
    service = draw(scenario.service_ms, scenario.service_cv, (steps, scenario.ranks))
    compute = draw(scenario.compute_ms, scenario.compute_cv, (steps, scenario.ranks))
    threads = [[0.0] * scenario.threads for _ in range(scenario.ranks)]
    in_order = [0.0] * scenario.ranks
    ends: list[float] = []
    for step in range(steps):
        place_ms = ends[step - scenario.queue - 1] if step > scenario.queue else 0.0
        last_ms = ends[-1] if ends else 0.0
        slowest_ms = 0.0
        for rank in range(scenario.ranks):
            made_ms = max(threads[rank][0], place_ms) + service[step, rank]
            heapq.heapreplace(threads[rank], made_ms)
            in_order[rank] = max(in_order[rank], made_ms)
            slowest_ms = max(slowest_ms, max(last_ms, in_order[rank]) + compute[step, rank])
        ends.append(slowest_ms + scenario.all_reduce_ms)
    first = int(steps * _WARMUP_SHARE)
    return float((ends[-1] - ends[first]) / (steps - 1 - first))


def _drawer(
    scenario: Scenario, generator: np.random.Generator
) -> Callable[[float, float, tuple[int, int]], np.ndarray]:
    def draw(mean_ms: float, variation: float, shape: tuple[int, int]) -> np.ndarray:
        if scenario.shape == "exponential":
            return generator.exponential(mean_ms, shape)
        if variation == 0 or mean_ms == 0:
            return np.full(shape, mean_ms)
        sigma = math.sqrt(math.log1p(variation**2))
        return generator.lognormal(math.log(mean_ms) - sigma**2 / 2, sigma, shape)

    return draw
