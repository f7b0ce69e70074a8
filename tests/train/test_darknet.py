"""Darknet's weights: layout, class order, refusals. tests/evaluate/test_independent.py has the published ones."""

from pathlib import Path

import numpy as np
import pytest

from convert.dataset.classes import load_imagenet1k
from convert.errors import UserError
from tinydarknet.colour import DARKNET
from tinydarknet.darknet_weights import HEADER_BYTES, convert_darknet, load_any, read_darknet_weights
from tinydarknet.model import checkpoint
from tinydarknet.model.architecture import layer_shapes

VALUES = 1_046_488


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A file whose n-th value is n."""
    path = tmp_path / "numbered.weights"
    header = np.array([0, 1, 0, 77], "<i4").tobytes()
    path.write_bytes(header + np.arange(VALUES, dtype="<f4").tobytes())
    return path


def test_values_land_where_darknet_keeps_them(numbered):
    ids = np.roll(np.arange(1, 1001), 3)
    arrays = read_darknet_weights(numbered, ids)
    assert sum(array.size for array in arrays.values()) == VALUES
    position = 0
    for shape in layer_shapes(1000, "darknet")[:-1]:
        for name in ("bn.beta", "bn.gamma", "bn.moving_mean", "bn.moving_variance"):
            assert arrays[f"{shape.name}.{name}"][0] == position
            position += shape.out_channels
        weight = arrays[f"{shape.name}.conv.weight"]
        assert weight.shape == (shape.out_channels, shape.in_channels, shape.kernel, shape.kernel)
        assert weight.reshape(-1)[-1] == position + weight.size - 1
        position += weight.size
    np.testing.assert_array_equal(arrays["conv16.conv.bias"], position + ids - 1)
    np.testing.assert_array_equal(arrays["conv16.conv.weight"][:, 0, 0, 0], position + 1000 + 128 * (ids - 1))


def test_the_checkpoint_names_its_classes(numbered, tmp_path):
    convert_darknet(numbered, tmp_path / "out.ckpt")
    model = checkpoint.load(tmp_path / "out.ckpt").description.model
    assert [entry.wnid for entry in model.classes] == sorted(entry.wnid for entry in load_imagenet1k())
    assert model.normalization == DARKNET


def test_the_file_itself_serves_as_a_checkpoint(numbered, tmp_path):
    convert_darknet(numbered, tmp_path / "out.ckpt")
    direct, converted = load_any(numbered), load_any(tmp_path / "out.ckpt")
    assert direct.description == converted.description
    assert direct.weights.keys() == converted.weights.keys()
    for name, array in direct.weights.items():
        np.testing.assert_array_equal(array, converted.weights[name])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data[:-4], "has 4185964 bytes, Tiny-DarkNet's weights have 4185968"),
        (lambda data: data + b"\0", "has 4185969 bytes"),
        (lambda data: b"\1" + data[1:], "weight version 1.1"),
        (lambda data: data[:HEADER_BYTES] + np.float32(np.nan).tobytes() + data[HEADER_BYTES + 4 :], "not finite"),
    ],
)
def test_other_files_are_refused(numbered, change, sentence, tmp_path):
    numbered.write_bytes(change(numbered.read_bytes()))
    with pytest.raises(UserError, match=sentence):
        convert_darknet(numbered, tmp_path / "out.ckpt")
    assert not (tmp_path / "out.ckpt").exists()
