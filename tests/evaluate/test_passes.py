"""Passes over made-up batches: each image once or an error, both views, and the worst inputs whatever the batches."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from convert.errors import UserError
from tinydarknet.colour import IMAGENET
from tinydarknet.device import Device, gather_over_ranks
from tinydarknet.evaluate.passes import score_images
from tinydarknet.evaluate.worst import WorstInputs, draw_inputs, worst_first
from tinydarknet.feed.order import PADDING, PADDING_LABEL
from tinydarknet.model.inputs import Classifier, RgbImage

ALONE = Device("CPU", 0, 1)
SIDE = 4


class LeftHalf(nn.Cell):
    """Logits: the mean of the left half's red, of its green, of its blue."""

    def construct(self, rgb: Tensor) -> Tensor:
        return rgb[:, :, :, : SIDE // 2].mean((2, 3))


class Batches:
    """A feed of these images in batches; the last one is filled up with padding."""

    image_columns = ("image",)
    columns = (*image_columns, "label", "id")
    choice = "made up"

    def __init__(self, pixels, labels, ids, batch_size: int) -> None:
        self.steps = -(-len(ids) // batch_size)
        missing = self.steps * batch_size - len(ids)
        self._rows = {
            "image": as_images(np.concatenate([pixels, pixels[:missing]])),
            "label": np.concatenate([labels, np.full(missing, PADDING_LABEL, np.int32)]),
            "id": np.concatenate([ids, np.full(missing, PADDING)]),
        }
        self._batch_size = batch_size

    def reused(self):
        # the same arrays are written over for each batch, as feeds do
        buffers = {name: np.empty_like(rows[: self._batch_size]) for name, rows in self._rows.items()}
        for start in range(0, self.steps * self._batch_size, self._batch_size):
            for name, rows in self._rows.items():
                buffers[name][:] = rows[start : start + self._batch_size]
            yield buffers


def as_images(pixels) -> np.ndarray:
    return pixels.transpose(0, 3, 1, 2).astype(np.float32) / 64


COUNT = 23


@pytest.fixture
def images():
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    return pixels, rng.integers(0, 3, COUNT).astype(np.int32), 3 * np.arange(COUNT, dtype=np.int64)


def half_means(pixels, columns) -> np.ndarray:
    return pixels[:, :, columns].astype(np.float64).mean((1, 2)) / 64


def test_every_image_once_in_the_order_of_ids_with_and_without_its_mirror_image(images):
    pixels, labels, ids = images
    classifier = Classifier(RgbImage(), LeftHalf())
    mixed = np.random.default_rng(1).permutation(COUNT)
    feed = Batches(pixels[mixed], labels[mixed], ids[mixed], 5)
    found = score_images(ALONE, classifier, feed, COUNT, flip=True)
    left, right = half_means(pixels, slice(0, 2)), half_means(pixels, slice(2, 4))
    np.testing.assert_array_equal(found.scores["id"], ids)
    np.testing.assert_array_equal(found.scores["guesses"][:, 0], left.argmax(1))
    powers = [np.exp(part) / np.exp(part).sum(1, keepdims=True) for part in (left, right)]
    np.testing.assert_array_equal(found.both_ways["guesses"][:, 0], (powers[0] + powers[1]).argmax(1))
    np.testing.assert_allclose(found.both_ways["probability"], (sum(powers) / 2).max(1), rtol=1e-4)
    assert found.score.top1 == (left.argmax(1) == labels).sum()
    assert found.flip_score.total == COUNT


def test_an_image_that_comes_twice_is_an_error(images):
    pixels, labels, ids = images
    ids[4] = ids[5]
    with pytest.raises(UserError, match="evaluated 23 images, 22 of them different, the dataset has 23"):
        score_images(ALONE, Classifier(RgbImage(), LeftHalf()), Batches(pixels, labels, ids, 5), COUNT)


@pytest.mark.parametrize("batch_size", [1, 4, 23])
def test_the_worst_inputs_are_the_same_whatever_the_batches(images, batch_size):
    pixels, labels, ids = images
    worst = WorstInputs(6)
    classifier = Classifier(RgbImage(), LeftHalf())
    found = score_images(ALONE, classifier, Batches(pixels, labels, ids, batch_size), COUNT, worst=worst)
    order = np.argsort(-found.scores["loss"], kind="stable")[:6]
    assert list(worst.inputs) == ids[order].tolist()
    for position in order:
        np.testing.assert_array_equal(worst.inputs[int(ids[position])]["image"], as_images(pixels)[position])


def test_pictures_are_what_the_network_saw_without_the_normalisation(images):
    pixels, labels, ids = images
    worst = WorstInputs(COUNT + 5)
    classifier = Classifier(RgbImage(), LeftHalf())
    scores = score_images(ALONE, classifier, Batches(pixels, labels, ids, 4), COUNT, worst=worst).scores
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (IMAGENET.mean, IMAGENET.std))
    for columns in worst.inputs.values():
        columns["image"][:] = (64 * columns["image"] - mean) / std
    pictures = draw_inputs(ALONE, worst, scores, classifier.images, IMAGENET, SIDE)
    assert list(pictures) == scores["id"][worst_first(scores)].tolist()
    for image_id, picture in pictures.items():
        np.testing.assert_array_equal(picture, pixels[image_id // 3])


def test_rows_of_one_rank_are_all_there_is():
    rows = np.arange(6, dtype=np.int64).reshape(3, 2)
    np.testing.assert_array_equal(gather_over_ranks(ALONE, rows), rows)
    with pytest.raises(ValueError, match="even number of bytes, got 3"):
        gather_over_ranks(ALONE, np.zeros(3, np.uint8))
