"""What an evaluation found, in words for people and in fields for machines; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinydarknet.evaluate.scores import REFERENCE_BATCH, Calibration, Score
from tinydarknet.evaluate.tables import SizeRow


@dataclass(frozen=True)
class Outcome:
    """Counts of one network on one dataset."""

    score: Score
    flip: Score | None
    """With mirror images; None where they were not asked for."""
    reference: Score | None
    """Counted in the reference's way; None where it was not asked for."""
    calibration: Calibration
    sizes: Sequence[SizeRow]
    """By rising image size; fewer than two are no sweep."""
    image_size: int
    """Of all but `sizes`, pixels."""
    world_size: int
    circumstances: Mapping[str, Any]
    """What else a machine should know: feed, device, files, versions."""

    def lines(self) -> list[str]:
        """In words."""
        score, calibration = self.score, self.calibration
        said = [score.line()]
        for name, hits in (("top-1", score.top1), ("top-5", score.top5)):
            low, high = score.interval(hits)
            said.append(f"{name}: {_of(hits, score.total)} (95 % interval {100 * low:.2f} to {100 * high:.2f})")
        if self.flip is not None:
            said.append(f"with mirror images: {_hits(self.flip)}")
        if self.reference is not None:
            said.append(
                f"counted as the reference does, without the last incomplete batch of {REFERENCE_BATCH} on each rank "
                f"({self.world_size}): {_hits(self.reference)}"
            )
        said.append(
            f"calibration: mean probability {calibration.mean_confidence:.4f}, "
            f"expected error {calibration.expected_error:.4f}, mean loss {calibration.mean_loss:.4f}"
        )
        if len(self.sizes) > 1:
            said += [f"at {row.image_size} px: {_hits(Score(row.top1, row.top5, row.total))}" for row in self.sizes]
        return said

    def fields(self) -> dict[str, Any]:
        """As JSON takes them."""
        fields: dict[str, Any] = {
            **_score_fields(self.score),
            "seconds": round(self.score.seconds, 3),
            "image_size": self.image_size,
            "world_size": self.world_size,
            **self.circumstances,
            "calibration": dataclasses.asdict(self.calibration),
        }
        if self.flip is not None:
            fields["flip"] = _score_fields(self.flip)
        if self.reference is not None:
            ranks = {"batch_size": REFERENCE_BATCH, "ranks": self.world_size}
            fields["legacy_drop"] = {**ranks, **_score_fields(self.reference)}
        if len(self.sizes) > 1:
            fields["sweep"] = [dataclasses.asdict(row) for row in self.sizes]
        return fields


def _score_fields(score: Score) -> dict[str, Any]:
    """Counts, fractions and their 95 % intervals, by name."""
    fields: dict[str, Any] = {"top1": score.top1, "top5": score.top5, "total": score.total}
    if score.total:
        fields |= score.accuracies
        fields |= {f"{name}_interval": list(score.interval(fields[name])) for name in ("top1", "top5")}
    return fields


def _hits(score: Score) -> str:
    return f"top-1 {_of(score.top1, score.total)}, top-5 {_of(score.top5, score.total)}"


def _of(hits: int, total: int) -> str:
    return f"{hits} of {total}, {100 * hits / total:.2f} %" if total else "0 of 0"
