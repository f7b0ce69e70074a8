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
    """compute, all-reduce, transfer, or the stage of the feed that costs most."""
    sentence: str


def name_bottleneck(
    stage_ms: Mapping[str, float],
    *,
    compute_ms: float,
    feed_ms: float,
    step_ms: float,
    wait_ms: float,
    transfer_ms: float = 0.0,
    all_reduce_ms: float = 0.0,
) -> Verdict:
    """Decide what a faster version of would shorten the step.

    Three things go on at once: the feed's threads make batches, MindSpore's pipeline hands them over, the network
    computes and then reduces. The slowest of the three sets the pace, and its largest part is named.

    Args:
        stage_ms: one batch's cost by stage of the feed, on one thread.
        compute_ms: the step on a batch that is already there, without the all-reduce.
        feed_ms: one batch of the feed with nobody else at work.
        step_ms: all together.
        wait_ms: the part of `step_ms` in which the network had no batch.
        transfer_ms: handing a ready batch over to the device.
        all_reduce_ms: the mean of the gradients over all ranks.
    """
    waiting = wait_ms / step_ms
    network = f"{compute_ms:.1f} ms a step"
    if all_reduce_ms:
        network += f" and {all_reduce_ms:.1f} ms to reduce its gradients"
    facts = (
        f"the network takes {network}, the feed {feed_ms:.1f} ms and the transfer {transfer_ms:.1f} ms a batch, "
        f"and {waiting:.1%} of the step is waiting for data."
    )
    if waiting < WAITING_SHARE or compute_ms + all_reduce_ms >= max(feed_ms, transfer_ms):
        if all_reduce_ms > compute_ms:
            return Verdict("all-reduce", f"The all-reduce between the ranks is the bottleneck: {facts}")
        return Verdict("compute", f"The network is the bottleneck, it computes: {facts}")
    if transfer_ms > feed_ms:
        return Verdict("transfer", f"The transfer of batches to the device is the bottleneck: {facts}")
    slowest = max(stage_ms, key=lambda name: stage_ms[name])
    total_ms = sum(stage_ms.values())
    share = f"{stage_ms[slowest] / total_ms:.0%} of a batch's {total_ms:.1f} ms on one thread"
    return Verdict(slowest, f"The feed is the bottleneck, at its stage {slowest} ({share}): {facts}")
