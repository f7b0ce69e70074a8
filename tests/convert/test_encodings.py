"""What CONTRIBUTING.md names under "An encoding" is all that a new one takes, from the source files to a batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from convert.dataset import Dataset
from convert.image import encode, encoding
from convert.image.encode import Codec, Payload
from convert.image.encoding import EncodingTraits
from convert.inspect import InspectOptions, inspect
from convert.job import conversion
from convert.job.options import RunOptions
from convert.verify import VerifyOptions, check_shard, verify
from tinydarknet.feed import crops
from tinydarknet.feed.loader import open_eval_feed

SIDE = 8


def write_thumbnail(data, _encoding, _check):
    """RGB, 8 pixels on a side, as it stands."""
    pixels = encode.decode_rgb(data)
    rows, columns = (np.linspace(0, size - 1, SIDE).astype(int) for size in pixels.shape[:2])
    return Payload(pixels[rows][:, columns].tobytes(), SIDE, SIDE, "encoded", "")


def read_thumbnail(payload, height, width):
    return payload.reshape(height, width, 3)


def crop_thumbnails(dataset, rows, windows, y, uv):
    y[:], uv[:] = windows.top[0], 128
    for place, row in enumerate(rows.tolist()):
        y[place] = dataset.payload(row).max()


def test_a_new_encoding_touches_the_places_that_contributing_names(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(encoding.TRAITS, "thumbnail", EncodingTraits(resizes=False))
    monkeypatch.setitem(encode.CODECS, "thumbnail", Codec(write_thumbnail, read_thumbnail))
    monkeypatch.setitem(crops.CROPPERS, "thumbnail", crop_thumbnails)
    monkeypatch.setattr(conversion, "_executor", lambda *_: ThreadPoolExecutor(1))  # worker processes would not know it

    conversion.convert_split(RunOptions(tree / "val", tmp_path / "out", encoding="thumbnail"))  # type: ignore[arg-type]
    dataset = Dataset(tmp_path / "out")
    row = dataset.find(key=dataset.key(4))
    wanted = write_thumbnail(next((tree / "val").rglob(dataset.key(row).split("/")[1])).read_bytes(), None, "decode")
    assert dataset[row][0].tobytes() == wanted.data
    assert verify(VerifyOptions(tmp_path / "out", quick=True)) == 0
    assert check_shard(tmp_path / "out", dataset.manifest, 0, dataset.index, decode=True) == []
    assert inspect(InspectOptions(tmp_path / "out", row=4, out=tmp_path / "x.png")) == 0
    assert "8x8" in capsys.readouterr().out
    feed = open_eval_feed(dataset, batch_size=4, image_size=32, threads=1)
    first = next(iter(feed))
    assert first["y"][0].max() == dataset.payload(int(np.flatnonzero(dataset.ids == first["id"][0])[0])).max()
