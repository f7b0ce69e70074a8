"""Our evaluation against somebody else's code: OpenCV reads Darknet's weights by its own reader and runs them itself.

On 250 real photographs where they are at hand (every third of them in the quick run), with the published weights. Run
with -s to see the figures.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from convert_making import make
from mindspore import Tensor, nn

from tinydarknet.colour import Normalization
from tinydarknet.evaluate.__main__ import EvaluateOptions, evaluate_checkpoint
from tinydarknet.evaluate.passes import classifier_for
from tinydarknet.feed.loader import open_eval_feed

LAYERS = "16/3 max 32/3 max 16/1 128/3 16/1 128/3 max 32/1 256/3 32/1 256/3 max 64/1 512/3 64/1 512/3 128/1 1000/1"
"""Darknet's cfg/tiny.cfg in short: filters/size of its convolutions, and where it takes maxima of 2x2."""

SAME_WANTED = 0.99
"""Of the images."""
FEEDS = [
    pytest.param("yuv420", "planes", 3, 62, 74, id="some planes"),
    pytest.param("yuv420", "planes", 1, 174, 226, id="planes", marks=pytest.mark.slow),
    pytest.param("original", "reference", 1, 167, 250, id="reference", marks=pytest.mark.slow),
    pytest.param("original", "host", 1, 172, 220, id="host", marks=pytest.mark.slow),
]
"""Encoding, feed, every how many-th image; images right and images that agree across different resizes, when this was written."""
BATCH_SIZE = 10


def tiny_cfg() -> str:
    """The network as Darknet's configuration file."""
    sections = ["[net]\nbatch=1\nheight=224\nwidth=224\nchannels=3"]
    for word in LAYERS.split():
        if word == "max":
            sections.append("[maxpool]\nsize=2\nstride=2")
            continue
        filters, size = word.split("/")
        last = filters == "1000"
        kind = "activation=linear" if last else "batch_normalize=1\nactivation=leaky"
        sections.append(f"[convolutional]\nfilters={filters}\nsize={size}\nstride=1\npad=1\n{kind}")
    return "\n\n".join([*sections, "[avgpool]", "[softmax]\ngroups=1"]) + "\n"


class Independent:
    """Tiny-DarkNet in OpenCV's dnn module; RGB in grey levels [B, 224, 224, 3] to probabilities by sorted wnid."""

    def __init__(self, shared: Path, folder: Path) -> None:
        (folder / "tiny.cfg").write_text(tiny_cfg())
        self._network = cv2.dnn.readNetFromDarknet(str(folder / "tiny.cfg"), str(shared / "weights" / "tiny.weights"))
        lines = (shared / "imagenet-sample" / "classes.tsv").read_text().splitlines()[1:]
        self._devkit_ids = np.array([int(line.split("\t")[2]) for line in lines])

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        self._network.setInput(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2), np.float32) / 255)
        return self._network.forward().reshape(len(rgb), 1000)[:, self._devkit_ids - 1]


def evaluation_crop(path: Path) -> np.ndarray:
    """Short side 256, linear, centre 224: RGB uint8 [224, 224, 3]."""
    bgr = cv2.imread(str(path))
    height, width = bgr.shape[:2]
    short = min(height, width)
    resized = cv2.resize(bgr, (int(256 * width / short), int(256 * height / short)), interpolation=cv2.INTER_LINEAR)
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
    return resized[top : top + 224, left : left + 224, ::-1]


@pytest.fixture(scope="module")
def shared(real_images) -> Path:
    if not (real_images.parent / "weights" / "tiny.weights").is_file():
        pytest.skip("Darknet's weights are not at hand")
    return real_images.parent


@pytest.fixture(scope="module")
def stranger(shared, tmp_path_factory) -> Independent:
    return Independent(shared, tmp_path_factory.mktemp("darknet"))


@pytest.mark.parametrize(("encoding", "feed", "every", "right", "agreeing"), FEEDS)
def test_a_stranger_sees_the_same(encoding, feed, every, right, agreeing, shared, stranger, tmp_path):
    for folder in sorted((shared / "imagenet-sample" / "train").iterdir())[::every]:
        shutil.copytree(folder, tmp_path / "train" / folder.name)
    data = make(tmp_path, tmp_path / "data", encoding, classes="imagenet1k")
    weights = shared / "weights" / "tiny.weights"
    evaluate_checkpoint(
        EvaluateOptions(
            val_data_path=data, checkpoint_path=weights, device_target="CPU", feed=feed, batch_size=BATCH_SIZE,
            report_dir=tmp_path / "report", plots=False,
        )
    )  # fmt: skip
    images = pq.read_table(tmp_path / "report" / "images.parquet").to_pydict()
    ours = dict(zip(images["id"], (guesses[0] for guesses in images["guesses"]), strict=True))
    labels = dict(zip(images["id"], images["label"], strict=True))
    found_right = sum(ours[row] == labels[row] for row in ours)

    same_pixels = sum(
        ours[int(row)] == guess
        for ids, pixels in pixels_of(data, feed)
        for row, guess in zip(ids, stranger(pixels).argmax(1), strict=True)
        if row >= 0  # not what fills the last batch
    )
    crops = (evaluation_crop(tmp_path / "train" / key)[None] for key in images["key"])
    own_pixels = sum(ours[row] == stranger(crop).argmax() for row, crop in zip(images["id"], crops, strict=True))
    print(
        f"{feed}: {found_right} of {len(ours)} right; OpenCV agrees on {same_pixels} on the same pixels, {own_pixels} on its own"
    )
    assert same_pixels >= SAME_WANTED * len(ours)
    # processors round differently, and a guess can hang on it
    assert abs(found_right - right) <= 3
    assert abs(own_pixels - agreeing) <= (2 if feed == "reference" else 5)


def pixels_of(data: Path, feed: str):
    """(ids, RGB in grey levels float32 [B, 224, 224, 3]) of every batch, as our network's input cell makes them."""
    grey_levels = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    batches = open_eval_feed(data, batch_size=BATCH_SIZE, normalization=grey_levels, feed=feed)
    cell = classifier_for(batches, nn.Cell()).images
    for batch in batches:
        rgb = cell(*(Tensor(batch[name]) for name in batches.image_columns)).asnumpy()
        yield batch["id"], rgb.transpose(0, 2, 3, 1)
