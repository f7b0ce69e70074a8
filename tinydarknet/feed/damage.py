"""Rows that turn out to be damaged while they are read: an error that names them, or, if asked for, a counted replacement."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convert.errors import UserError, check_integer

if TYPE_CHECKING:
    from convert.dataset import Dataset


@dataclass(frozen=True)
class HealthPolicy:
    """What to do about damaged rows."""

    tolerate: int = 0
    """Damaged rows of the dataset that may be replaced before the run ends with an error."""
    check_reads: bool = False
    """Compare every payload with its checksum before it is used; costs some 70 microseconds for 130 KB."""

    def __post_init__(self) -> None:
        check_integer("tolerate", self.tolerate, least=0)


class UndecodableRowError(Exception):
    """A stored image that does not decode, or not to the size that the index gives."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} does not decode")
        self.row = row


class DamagedImageError(UserError):
    """A stored image is damaged, and may not be replaced by another."""

    def __init__(self, dataset: Dataset, row: int, reason: str, *, tolerated: int = 0) -> None:
        """Name shard, row and key; `reason` is the rest of the sentence."""
        self.directory, self.row, self.reason = dataset.directory, row, reason
        allowed = f"; {tolerated} other damaged images are tolerated, and no more" if tolerated else ""
        super().__init__(
            f"{dataset.describe(row)} {reason}{allowed}: 'python -m convert verify {dataset.directory}' lists all "
            "damage; convert again, or tolerate that up to N such images are replaced by others",
            "tolerate",
        )

    def __reduce__(self) -> tuple[type[UserError], tuple[object, ...]]:
        return UserError, self.args


class RowHealth:
    """Knows which rows of a dataset are damaged; safe to use from several threads."""

    def __init__(self, dataset: Dataset, policy: HealthPolicy) -> None:
        self._dataset = dataset
        self._policy = policy
        self._damaged: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def damaged(self) -> dict[int, str]:
        """The rows found damaged so far, each with the sentence that says so."""
        with self._lock:
            return dict(self._damaged)

    def replace_damaged(self, rows: np.ndarray) -> np.ndarray:
        """The same rows, int64 [B], with the next undamaged one in place of each that is damaged.

        Raises:
            DamagedImageError: more rows are damaged than the policy tolerates.
        """
        if not self._policy.check_reads and not self._damaged:
            return rows
        return np.array([self._next_undamaged(row) for row in rows.tolist()], np.int64)

    def report(self, row: int, reason: str) -> None:
        """Remember a row that could not be used.

        Raises:
            DamagedImageError: more rows are damaged than the policy tolerates.
        """
        with self._lock:
            if row in self._damaged:
                return
            if len(self._damaged) >= self._policy.tolerate:
                raise DamagedImageError(self._dataset, row, reason, tolerated=self._policy.tolerate)
            self._damaged[row] = f"{self._dataset.describe(row)} {reason}"

    def _next_undamaged(self, wanted: int) -> int:
        rows = len(self._dataset)
        for row in range(wanted, wanted + rows):
            if row % rows not in self._damaged and self._is_usable(row % rows):
                return row % rows
        raise UserError(
            f"all {rows} images of {self._dataset.directory} are damaged: 'python -m convert verify "
            f"{self._dataset.directory}' lists all damage; convert again"
        )

    def _is_usable(self, row: int) -> bool:
        if self._policy.check_reads and not self._dataset.is_intact(row):
            self.report(row, "is damaged, its checksum differs")
            return False
        return True
