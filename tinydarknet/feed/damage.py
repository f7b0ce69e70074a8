"""Rows that turn out to be damaged while they are read: an error that names them, or, if asked for, a counted replacement."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from convert.dataset import Dataset
from convert.errors import UserError


@dataclass(frozen=True)
class HealthPolicy:
    """What to do about damaged rows."""

    tolerate: int = 0
    """Damaged rows of the dataset that may be replaced before the run ends with an error."""
    check_reads: bool = False
    """Compare every payload with its checksum before it is used; costs some 70 microseconds for 130 KB."""

    def __post_init__(self) -> None:
        if self.tolerate < 0:
            raise ValueError(f"tolerate must be at least 0, got {self.tolerate}")


class UndecodableRowError(Exception):
    """A stored image that does not decode, or not to the size that the index gives."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} does not decode")
        self.row = row


class RowHealth:
    """Knows which rows of a dataset are damaged; safe to use from several threads."""

    def __init__(self, records: Dataset, policy: HealthPolicy) -> None:
        self._records = records
        self._policy = policy
        self._damaged: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def damaged(self) -> dict[int, str]:
        """The rows found damaged so far, each with the sentence that says so."""
        with self._lock:
            return dict(self._damaged)

    def sound(self, rows: np.ndarray) -> np.ndarray:
        """The same rows, int64 [B], with the next sound one in place of each that is damaged.

        Raises:
            UserError: more rows are damaged than the policy tolerates.
        """
        if not self._policy.check_reads and not self._damaged:
            return rows
        return np.array([self._next_sound(row) for row in rows.tolist()], np.int64)

    def report(self, row: int, reason: str) -> None:
        """Remember a row that could not be used.

        Raises:
            UserError: more rows are damaged than the policy tolerates; names shard, row and key.
        """
        with self._lock:
            if row in self._damaged:
                return
            sentence = f"{self._records.describe(row)} {reason}"
            if len(self._damaged) >= self._policy.tolerate:
                allowed = f"; --tolerate {self._policy.tolerate} allows no more" if self._policy.tolerate else ""
                raise UserError(
                    f"{sentence}{allowed}: 'python -m convert verify {self._records.directory}' lists all damage; "
                    "convert again, or replace up to N such images by others with --tolerate N"
                )
            self._damaged[row] = sentence

    def _next_sound(self, wanted: int) -> int:
        rows = len(self._records)
        for row in range(wanted, wanted + rows):
            if row % rows not in self._damaged and self._checks_out(row % rows):
                return row % rows
        raise UserError(
            f"all {rows} images of {self._records.directory} are damaged: 'python -m convert verify "
            f"{self._records.directory}' lists all damage; convert again"
        )

    def _checks_out(self, row: int) -> bool:
        if self._policy.check_reads and not self._records.is_intact(row):
            self.report(row, "is damaged, its checksum differs")
            return False
        return True
