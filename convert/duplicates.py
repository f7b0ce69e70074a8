"""Equal images within a dataset and across datasets."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from convert.index import read_index_table
from convert.manifest import load_manifest
from convert.stored import read_payload

_COLUMNS = ["key", "shard", "offset", "length", "crc32"]


def duplicate_groups(directories: list[Path]) -> list[list[str]]:
    """Groups of images whose stored bytes are equal, as `dataset/key`.

    Candidates agree in size and CRC-32; only they are read and compared.

    Args:
        directories: one dataset, or several of one encoding.
    """
    alike: dict[tuple[int, int], list[tuple[Path, dict]]] = defaultdict(list)
    manifests = {directory: load_manifest(directory) for directory in directories}
    for directory, manifest in manifests.items():
        index = read_index_table(directory, manifest, ["length", "crc32"])
        for number, mark in enumerate(
            zip(index.column("length").to_pylist(), index.column("crc32").to_pylist(), strict=True)
        ):
            alike[mark].append((directory, {"number": number}))
    found = {mark: places for mark, places in alike.items() if len(places) > 1}
    tables = (
        {directory: read_index_table(directory, manifest, _COLUMNS) for directory, manifest in manifests.items()}
        if found
        else {}
    )
    groups: list[list[str]] = []
    for places in found.values():
        equal: dict[bytes, list[str]] = defaultdict(list)
        for directory, place in places:
            row = tables[directory].slice(place["number"], 1).to_pylist()[0]
            equal[read_payload(directory, manifests[directory], row)].append(f"{directory}/{row['key']}")
        groups += [sorted(names) for names in equal.values() if len(names) > 1]
    return sorted(groups)
