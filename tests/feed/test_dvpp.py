"""The hardware feed, without the hardware: where its operators run, and what they are told."""

import mindspore.dataset as ds
import numpy as np
import pytest

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.colour import IMAGENET, RGB_FROM_YCC, matrices_for_rgb, plain_matrix
from tinydarknet.feed.augment import Augmentation, draw
from tinydarknet.feed.batch_fill import BatchFiller, PlaneImages
from tinydarknet.feed.batch_plan import Planner
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.dvpp import DvppImages, device_operators, device_problem, runs_on_device
from tinydarknet.feed.loader import choose_feed
from tinydarknet.feed.order import TrainingStream


def planner_of(directory):
    records = Dataset(directory)
    stream = TrainingStream(len(records), 8, 3, 0, 1, 0, 2)
    return Planner(records, stream, Augmentation(), RowHealth(records, HealthPolicy()))


@pytest.mark.parametrize("device", ["Ascend", "CPU"])
def test_every_operator_is_placed_on_the_device(device):
    operators = device_operators((2, 4, 64, 48), True, 32, device)
    data = ds.NumpySlicesDataset([np.zeros(9, np.uint8)], ["image"]).map(operators, "image")
    (node,) = [n for n in _nodes(ds.serialize(data)) if n["op_type"] == "Map"]
    placed = {op["tensor_op_name"]: op["tensor_op_params"]["device_target"] for op in node["operations"]}
    assert placed == {"Decode": device, "ResizedCrop": device, "HorizontalFlip": device}
    crop = next(op["tensor_op_params"] for op in node["operations"] if op["tensor_op_name"] == "ResizedCrop")
    assert (crop["top"], crop["left"], crop["height"], crop["width"], crop["size"]) == (2, 4, 64, 48, [32, 32])


def _nodes(node):
    yield node
    for child in node.get("children", []):
        yield from _nodes(child)


def test_operators_are_told_the_drawn_windows_and_the_index_size(original_dataset):
    """A fake device records what it is asked for, and answers with a picture of one grey."""
    asked = []

    def fake(window, flip, image_size, device):
        asked.append((window, flip, image_size, device))
        return [lambda payload: np.full((image_size, image_size, 3), len(asked), np.uint8)]

    planner = planner_of(original_dataset)
    source = BatchFiller(planner, DvppImages(planner, 32, IMAGENET, fake))
    batch = source.allocate()
    source.fill(0, batch)
    _, ids = planner.stream.batch_rows(0)
    windows, _ = draw(Augmentation(), 3, 0, ids, planner.records.heights[ids], planner.records.widths[ids])
    assert batch["id"].tolist() == ids.tolist()
    assert batch["pixels"][:, 0, 0, 0].tolist() == list(range(1, 9))
    boxes = zip(windows.top, windows.left, windows.height, windows.width, windows.flip, strict=True)
    assert asked == [((t, le, h, w), flip, 32, "Ascend") for t, le, h, w, flip in boxes]


def test_the_same_operators_on_the_cpu_show_the_same_crops_as_the_host_feed(original_dataset):
    planner, size = planner_of(original_dataset), 224  # no image is decoded at half size for it
    on_cpu = DvppImages(planner, size, IMAGENET, lambda box, flip, side, _: device_operators(box, flip, side, "CPU"))
    pixels, planes = BatchFiller(planner, on_cpu), BatchFiller(planner, PlaneImages(planner, size, IMAGENET))
    dvpp, host = pixels.allocate(), planes.allocate()
    pixels.fill(0, dvpp)
    planes.fill(0, host)
    np.testing.assert_array_equal(dvpp["label"], host["label"])
    luma = dvpp["pixels"] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - host["y"][:, 0]).mean() < 3
    from_rgb = np.einsum("bij,bhwj->bihw", dvpp["colour"][:, :, :3], dvpp["pixels"].astype(float))
    chroma = host["uv"].repeat(2, axis=2).repeat(2, axis=3)
    ycc = np.concatenate([host["y"], chroma], axis=1).astype(float)
    from_ycc = np.einsum("bij,bjhw->bihw", host["colour"][:, :, :3], ycc)
    offsets = (dvpp["colour"][:, :, 3] - host["colour"][:, :, 3])[:, :, None, None]
    assert np.abs(from_rgb + offsets - from_ycc).mean() < 0.15


def test_matrices_for_rgb_are_the_same_map():
    matrix = plain_matrix(IMAGENET)
    rgb = np.random.default_rng(0).uniform(0, 255, (50, 3))
    ycc = rgb @ np.linalg.inv(RGB_FROM_YCC).T + np.array([0, 128, 128])
    for_rgb = matrices_for_rgb(matrix[None])[0]
    expected = ycc @ matrix[:, :3].T + matrix[:, 3]
    np.testing.assert_allclose(rgb @ for_rgb[:, :3].T + for_rgb[:, 3], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        ((375, 500, 100, 100), True),
        ((31, 500, 30, 30), False),
        ((375, 8200, 100, 100), False),
        ((375, 500, 2, 100), False),
    ],
)
def test_what_the_hardware_cannot_take_goes_to_the_cpu(sizes, fits):
    assert runs_on_device(*sizes) is fits


def test_no_hardware_is_a_sentence_not_a_crash():
    def broken(*_):
        raise RuntimeError("Get Soc Version failed.\nC++ call stack")

    assert device_problem(broken) == "Get Soc Version failed"
    assert device_problem(lambda window, flip, size, _: device_operators(window, flip, size, "CPU")) is None


def choose(wanted, encoding, problem=None):
    return choose_feed(wanted, encoding, "data", lambda: problem)


def test_auto_takes_the_best_there_is_and_says_why():
    assert choose("auto", "yuv420").feed == "planes"
    assert choose("auto", "original").feed == "dvpp"
    fallback = choose("auto", "jpeg", "there is no Ascend driver")
    assert fallback.feed == "host"
    assert "there is no Ascend driver" in fallback.sentence
    assert choose("reference", "original").feed == "reference"
    assert choose("host", "jpeg").feed == "host"


def test_wishes_that_cannot_be_met_are_refused():
    with pytest.raises(UserError, match=r"dvpp cannot be used, no driver: take the feed host"):
        choose("dvpp", "original", "no driver")
    with pytest.raises(UserError, match=r"stored as yuv420, which the host feed cannot read"):
        choose("host", "yuv420")
