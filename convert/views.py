"""Views of stored images that others contribute to the contact sheet, so that convert need not know who reads it.

A module in the namespace package `convert_views`, anywhere on Python's path, is a view: its `pictures(directory, rows)`
gives uint8 [rows, n, H, W, 3] RGB, n pictures of each of these rows of a dataset. The module's name is the view's title.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

PACKAGE = "convert_views"

View = Callable[[Path, np.ndarray], np.ndarray]
"""From a dataset directory and row numbers, int64 [rows], to uint8 [rows, n, H, W, 3]."""


def find_views() -> dict[str, View]:
    """All views at hand by their titles, in alphabetical order; none where the package is nowhere on the path."""
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError as error:
        if error.name != PACKAGE:
            raise
        return {}
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    return {name: importlib.import_module(f"{PACKAGE}.{name}").pictures for name in names}
