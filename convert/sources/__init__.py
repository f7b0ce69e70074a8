"""ImageNet as people have it; every packaging becomes the same listing of items."""

from __future__ import annotations

from pathlib import Path

from convert.errors import UserError
from convert.sources.base import Reader, Source
from convert.sources.folder import FolderSource

__all__ = ["Reader", "Source", "open_source"]


def open_source(path: Path) -> Source:
    """Recognise the packaging of the split at `path` by looking at it.

    Raises:
        UserError: nothing is there, or nothing that is known.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder of one split, with one folder of images per class")
    return FolderSource(path)
