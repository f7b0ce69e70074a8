"""The reader printed in docs/dataset-format.md reads what the converter writes; the page names every field."""

import dataclasses
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from convert.dataset import Dataset
from convert.dataset.index import INDEX_SCHEMA
from convert.dataset.manifest import load_manifest
from convert.image import planes

PAGE = (Path(__file__).parents[2] / "docs" / "dataset-format.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read_planes():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= 30
    imported = re.findall(r"^(?:import|from) (\w+)", blocks[0], re.MULTILINE)
    assert set(imported) <= {"json", "sqlite3", "pathlib", "numpy"}
    names: dict = {}
    exec(compile(blocks[0], "docs/dataset-format.md", "exec"), names)
    return names["read_planes"]


def test_the_printed_reader_reads_every_image(read_planes, planes_dataset):
    index = Dataset(planes_dataset).index
    assert index.num_rows == 70
    for row in index.to_pylist():
        label, y, u, v = read_planes(planes_dataset, row["id"])
        assert (label, *y.shape) == (row["label"], row["height"], row["width"])
        assert u.shape == v.shape == (row["height"] // 2, row["width"] // 2)
        stored = b"".join(plane.tobytes() for plane in (y, u, v))
        assert (len(stored), zlib.crc32(stored)) == (row["length"], row["crc32"])


def test_the_index_leads_to_the_same_bytes_as_the_formula(read_planes, planes_dataset):
    manifest = load_manifest(planes_dataset)
    row = Dataset(planes_dataset).index.slice(41, 1).to_pylist()[0]
    path = planes_dataset / manifest.shards[row["shard"]].name
    payload = np.fromfile(path, np.uint8, row["length"], offset=row["offset"])
    for found, wanted in zip(
        read_planes(planes_dataset, row["id"])[1:], planes.views(payload, row["height"], row["width"]), strict=True
    ):
        assert np.array_equal(found, wanted)


def test_the_printed_formula_gives_the_right_colours(read_planes, planes_dataset):
    _, y, u, v = read_planes(planes_dataset, 3)
    height, width = y.shape
    rgb = planes.to_rgb_bilinear(np.concatenate([y.ravel(), u.ravel(), v.ravel()]), height, width).astype(float)
    red, blue = (float(re.search(rf"{letter} = Y \+ ([\d.]+) \(", PAGE)[1]) for letter in "RB")
    from_u, from_v = map(float, re.search(r"G = Y - ([\d.]+) \(U - 128\) - ([\d.]+) \(V - 128\)", PAGE).groups())
    luma, cb, cr = y.astype(float), *(np.kron(plane, np.ones((2, 2))) - 128 for plane in (u, v))
    mine = np.stack([luma + red * cr, luma - from_u * cb - from_v * cr, luma + blue * cb], axis=2).clip(0, 255)
    # ours repeats chroma samples here, to_rgb_bilinear interpolates them
    assert np.abs(mine - rgb).mean() < 3


def test_an_unknown_id_is_refused(read_planes, planes_dataset):
    with pytest.raises(KeyError):
        read_planes(planes_dataset, 70)


def test_another_encoding_is_refused(read_planes, original_dataset):
    with pytest.raises(ValueError, match="no yuv420 dataset"):
        read_planes(original_dataset, 0)


def test_the_page_names_every_manifest_field_and_index_column(planes_dataset):
    fields = json.loads((planes_dataset / "manifest.json").read_bytes())
    names = {*fields, *fields["shards"][0], *(f"layout.{name}" for name in fields["layout"])}
    names |= {f"encoding.{field.name}" for field in dataclasses.fields(load_manifest(planes_dataset).encoding)}
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    nested = {"encoding", "layout"}  # named with their fields
    assert [
        name for name in sorted(names - nested) if not re.search(rf"`(shards\[\]\.)?{re.escape(name)}(\[\])?`", tables)
    ] == []
    assert [name for name in INDEX_SCHEMA.names if f"`{name}`" not in tables] == []
    for name, kind in ((field.name, field.type) for field in INDEX_SCHEMA):
        line = next(line for line in tables.splitlines() if re.match(rf"\| .*`{name}`.* \| {kind} \|", line))
        assert line
