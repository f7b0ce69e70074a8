"""One image back out of a dataset, as it is stored and as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from convert import images, planes
from convert.errors import BadImageError, UserError
from convert.manifest import Manifest


def find_row(index: pa.Table, row_id: int | None, key: str | None) -> dict[str, Any]:
    """The index row with that id or that key.

    Raises:
        UserError: there is none.
    """
    name, wanted = ("key", key) if row_id is None else ("id", row_id)
    try:
        row = index.column(name).index(wanted).as_py()
    except (OverflowError, UnicodeEncodeError):  # no id is so large, no key has such characters
        row = -1
    if row < 0:
        raise UserError(f"no image has the {name} {wanted}; ids run from 0 on, keys look like {index.column('key')[0]}")
    return index.slice(row, 1).to_pylist()[0]


def read_payload(directory: Path, manifest: Manifest, row: dict[str, Any]) -> bytes:
    """The stored bytes of one image, given its index row.

    Raises:
        UserError: the shard cannot be read, or ends before the image does.
    """
    path = directory / manifest.shards[row["shard"]].name
    if not path.is_file():  # nor a pipe, which would be waited for
        raise UserError(f"{path} is missing: run 'python -m convert verify {directory}'")
    try:
        with path.open("rb") as stream:
            stream.seek(row["offset"])
            payload = stream.read(row["length"])
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): run 'python -m convert verify {directory}'") from error
    if len(payload) != row["length"]:
        raise UserError(f"{path} ends before the image {row['key']}: run 'python -m convert verify {directory}'")
    return payload


def read_rgb(directory: Path, manifest: Manifest, row: dict[str, Any]) -> np.ndarray:
    """One image as uint8 [height, width, 3], given its index row.

    Raises:
        UserError: the shard cannot be read, or the image in it is damaged.
    """
    payload = read_payload(directory, manifest, row)
    try:
        if manifest.encoding.name == "yuv420":
            return planes.to_rgb(np.frombuffer(payload, np.uint8), row["height"], row["width"])
        return images.decode_rgb(payload)
    except (BadImageError, ValueError) as error:
        raise UserError(
            f"the image {row['key']} in {directory} is damaged ({error}): run 'python -m convert verify {directory}'"
        ) from error
