"""Names the bottleneck of a step from its measured parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WAITING_SHARE = 0.05
"""Below this part of a step spent waiting for data, the network sets the pace."""


@dataclass(frozen=True)
class Verdict:
    """What limits a step, as a word and as a sentence."""

    bottleneck: str
    """compute, or the stage of the feed that costs most."""
    sentence: str


def name_bottleneck(
    stage_ms: Mapping[str, float], *, compute_ms: float, feed_ms: float, step_ms: float, wait_ms: float
) -> Verdict:
    """Decide what a faster version of would shorten the step.

    Args:
        stage_ms: one batch's cost by stage of the feed, on one thread.
        compute_ms: the step on a batch that is already there.
        feed_ms: one batch of the feed with nobody else at work.
        step_ms: both together.
        wait_ms: the part of `step_ms` in which the network had no batch.
    """
    waiting = wait_ms / step_ms
    if waiting < WAITING_SHARE or compute_ms >= feed_ms:
        return Verdict(
            "compute",
            f"The network is the bottleneck: it takes {compute_ms:.1f} ms a step, the feed {feed_ms:.1f} ms a batch, "
            f"and {waiting:.1%} of the step is waiting for data.",
        )
    slowest = max(stage_ms, key=lambda name: stage_ms[name])
    share = stage_ms[slowest] / sum(stage_ms.values())
    return Verdict(
        slowest,
        f"The feed is the bottleneck, at its stage {slowest} ({share:.0%} of a batch's {sum(stage_ms.values()):.1f} ms): "
        f"the network takes {compute_ms:.1f} ms a step, the feed {feed_ms:.1f} ms a batch, "
        f"and {waiting:.1%} of the step is waiting for data.",
    )
