"""Darknet's weights: layout, class order, refusals; and the published ones on real images where they are at hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from train_making import REPOSITORY, convert

from convert.classes import load_imagenet1k
from convert.errors import UserError
from convert.manifest import load_manifest, read_index_table
from tinydarknet.colour import DARKNET, Normalization
from tinydarknet.darknet_weights import HEADER_BYTES, convert_darknet, read_darknet_weights
from tinydarknet.evaluate import EvaluateOptions, evaluate_checkpoint
from tinydarknet.feed.opening import open_eval_feed
from tinydarknet.model import checkpoint
from tinydarknet.model.architecture import layer_shapes
from tinydarknet.predicting.predictors import open_predictor

SHARED = REPOSITORY.parent / "shared"
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


@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="needs ../shared: Darknet's weights and real images")
@pytest.mark.parametrize("encoding", ["yuv420", pytest.param("original", marks=pytest.mark.slow)])
def test_two_thirds_of_real_images_are_right(tmp_path, capsys, encoding):
    data = convert(
        SHARED / "imagenet-sample" / "train", tmp_path / "data", "--classes", "imagenet1k", "--encoding", encoding
    )
    convert_darknet(SHARED / "weights" / "tiny.weights", tmp_path / "tiny.ckpt")
    evaluate_checkpoint(
        EvaluateOptions(val_data_path=data, checkpoint_path=tmp_path / "tiny.ckpt", device_target="CPU", batch_size=50)
    )
    top1 = int(capsys.readouterr().out.split("top-1: ")[1].split(" of 250")[0])
    assert 160 <= top1 <= 185


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="needs ../shared: Darknet's weights and real images")
def test_reference_feed_agrees_image_by_image(tmp_path):
    """With torchvision's evaluation transform, done here by Pillow and OpenCV: short side 256, linear, centre 224."""
    source = SHARED / "imagenet-sample" / "train"
    data = convert(source, tmp_path / "data", "--classes", "imagenet1k", "--encoding", "original")
    predictor = open_predictor(SHARED / "weights" / "tiny.weights")
    manifest = load_manifest(data)
    keys = read_index_table(data, manifest, ["key"]).column("key").to_pylist()
    plain = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    feed = open_eval_feed(
        data, batch_size=25, image_size=224, rank=0, world_size=1, normalization=plain, feed="reference"
    )
    agreeing = 0
    for batch in feed:
        ours = predictor.probabilities(np.rint(batch["image"]).astype(np.uint8)).argmax(1)
        theirs = predictor.probabilities(np.stack([evaluation_crop(source / keys[row]) for row in batch["id"]])).argmax(1)
        agreeing += int((ours == theirs).sum())
    assert agreeing >= 248  # 99 % of 250; 250 when this was written


def evaluation_crop(path: Path) -> np.ndarray:
    """uint8 [3, 224, 224]."""
    rgb = np.asarray(Image.open(path).convert("RGB"))
    height, width = rgb.shape[:2]
    short = min(height, width)
    size = (int(256 * width / short), int(256 * height / short))
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
    return resized[top : top + 224, left : left + 224].transpose(2, 0, 1)
