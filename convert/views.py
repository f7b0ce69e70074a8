"""Views of stored images that others contribute to the contact sheet, so that convert need not know who reads it.

An installed package registers a view as an entry point of the group GROUP (pyproject.toml): a function
(dataset directory, row numbers int64 [rows]) -> uint8 [rows, n, H, W, 3] RGB, n pictures of each row.
The entry point's name is the view's title.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np

GROUP = "convert.views"

View = Callable[[Path, np.ndarray], np.ndarray]
"""From a dataset directory and row numbers, int64 [rows], to uint8 [rows, n, H, W, 3]."""


def find_views() -> dict[str, View]:
    """All registered views by their titles, in alphabetical order."""
    return {point.name: point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
