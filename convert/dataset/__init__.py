"""A dataset directory: what lies in it, how it is written, how it is read; OpenCV and MindSpore are loaded late.

manifest.py     manifest.json, the commit record: split, classes, encoding, shards
index.py        index.parquet: one row per image, where its payload lies
classes.py      wnid -> label, ImageNet's names
mindrecord.py   payloads -> one MindRecord shard and its .db, and back
dataset.py      the whole of it, opened
duplicates.py   images that are stored more than once
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convert.dataset.dataset import Dataset

__all__ = ["Dataset"]


def __getattr__(name: str) -> Any:
    """Load what is exported once it is asked for: whoever wants the manifest, or --help, does not wait for Arrow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from convert.dataset.dataset import Dataset

    return Dataset
