"""What an evaluation found, in words for people and in fields for machines; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from convert.dataset.manifest import ClassEntry
from tinydarknet.evaluate.scores import REFERENCE_BATCH, Calibration, Score, calibrate, count, reference_positions
from tinydarknet.evaluate.tables import SizeRow


@dataclass(frozen=True)
class EvaluationResult:
    """What one network got right and wrong on one dataset."""

    scores: np.ndarray
    """SCORE [n]."""
    score: Score
    flip: Score | None
    """With mirror images; None without --flip."""
    counts_as_reference: bool
    """Whether the reference's own way of counting is told as well."""
    classes: Sequence[ClassEntry]
    """In label order."""
    pictures: Mapping[int, np.ndarray]
    """Of the worst images, worst first: by id, RGB uint8 [S, S, 3]; empty without --report-dir."""
    sizes: Sequence[SizeRow]
    """By rising image size; fewer than two are no sweep."""
    image_size: int
    """Of all but `sizes`, pixels."""
    world_size: int
    circumstances: Mapping[str, Any]
    """What else a machine should know: feed, device, files, versions."""

    @cached_property
    def calibration(self) -> Calibration:
        """How far probabilities and their coming true lie apart."""
        return calibrate(self.scores)

    @cached_property
    def reference(self) -> Score | None:
        """Counted in the reference's way."""
        if not self.counts_as_reference:
            return None
        return count(self.scores[reference_positions(len(self.scores), REFERENCE_BATCH, self.world_size)])

    def lines(self) -> list[str]:
        """In words."""
        score, calibration = self.score, self.calibration
        lines = [score.line()]
        for name, hits in (("top-1", score.top1), ("top-5", score.top5)):
            low, high = score.interval(hits)
            lines.append(f"{name}: {_of(hits, score.total)} (95 % interval {100 * low:.2f} to {100 * high:.2f})")
        if self.flip is not None:
            lines.append(f"with mirror images: {_hits(self.flip)}")
        if self.reference is not None:
            lines.append(
                f"counted as the reference does, without the last incomplete batch of {REFERENCE_BATCH} on each rank "
                f"({self.world_size}): {_hits(self.reference)}"
            )
        lines.append(
            f"calibration: mean probability {calibration.mean_confidence:.4f}, "
            f"expected error {calibration.expected_error:.4f}, mean loss {calibration.mean_loss:.4f}"
        )
        if len(self.sizes) > 1:
            lines += [f"at {row.image_size} px: {_hits(Score(row.top1, row.top5, row.total))}" for row in self.sizes]
        return lines

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
