"""Batches of planes against the slow and obvious way of making them."""

import numpy as np
import pytest
from feed_making import resized_by_opencv

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.colour import IMAGENET, plain_matrix
from tinydarknet.feed.augment import Augmentation, centre_windows, draw
from tinydarknet.feed.loader import open_eval_feed, open_train_feed
from tinydarknet.feed.order import PADDING, Rank, epoch_order

SIZE = 64


def open_train(directory, **changes):
    options = {
        "batch_size": 8,
        "image_size": SIZE,
        "seed": 3,
        "last_step": 12,
    }
    return open_train_feed(directory, **{**options, **changes})


def planes_of(records, row):
    height, width = records.heights[row], records.widths[row]
    payload = records.payload(row)
    chroma = payload[height * width :].reshape(2, height // 2, width // 2)
    return payload[: height * width].reshape(height, width), chroma[0], chroma[1]


def cut(plane, top, left, height, width, size, flip):
    resized = resized_by_opencv(plane[top : top + height, left : left + width], size)
    return resized[:, ::-1] if flip else resized


def test_training_batches_equal_the_drawn_crops(planes_dataset):
    records = Dataset(planes_dataset)
    batch = next(iter(open_train(planes_dataset, last_step=1)))
    ids = epoch_order(len(records), 3, 0)[:8]
    assert batch["id"].tolist() == ids.tolist()
    assert batch["label"].tolist() == records.labels[ids].tolist()
    windows, _ = draw(Augmentation(), 3, 0, ids, records.heights[ids], records.widths[ids])
    for place, row in enumerate(ids):
        box = [int(v[place]) for v in (windows.top, windows.left, windows.height, windows.width)]
        luma, *chroma = planes_of(records, row)
        flip = windows.flip[place]
        np.testing.assert_array_equal(batch["y"][place, 0], cut(luma, *box, SIZE, flip))
        half = [v // 2 for v in box]
        for channel in (0, 1):
            np.testing.assert_array_equal(batch["uv"][place, channel], cut(chroma[channel], *half, SIZE // 2, flip))


def test_the_contract_of_a_batch(planes_dataset):
    feed = open_train(planes_dataset)
    assert feed.columns == ("y", "uv", "colour", "label", "id")
    batches = list(feed)
    assert len(batches) == feed.steps == 12
    shapes = {name: (array.shape, array.dtype) for name, array in batches[0].items()}
    assert shapes == {
        "y": ((8, 1, SIZE, SIZE), np.uint8),
        "uv": ((8, 2, SIZE // 2, SIZE // 2), np.uint8),
        "colour": ((8, 3, 4), np.float32),
        "label": ((8,), np.int32),
        "id": ((8,), np.int64),
    }


def test_an_epoch_holds_exactly_the_datasets_ids(planes_dataset):
    rows = len(Dataset(planes_dataset))
    ids = np.concatenate([b["id"] for b in list(open_train(planes_dataset, batch_size=rows, last_step=1))])
    assert sorted(ids) == list(range(rows))


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_do_not_depend_on_threads_or_on_where_the_stream_starts(planes_dataset, threads):
    whole = list(open_train(planes_dataset, threads=2))
    part = list(open_train(planes_dataset, threads=threads, first_step=5))
    for expected, actual in zip(whole[5:], part, strict=True):
        for name in expected:
            np.testing.assert_array_equal(expected[name], actual[name])


def test_ranks_share_a_global_batch(planes_dataset):
    alone = list(open_train(planes_dataset, last_step=3))
    ranks = [list(open_train(planes_dataset, batch_size=4, rank=Rank(r, of=2), last_step=3)) for r in (0, 1)]
    for whole, first, second in zip(alone, *ranks, strict=True):
        for name in whole:
            np.testing.assert_array_equal(whole[name][0::2], first[name])
            np.testing.assert_array_equal(whole[name][1::2], second[name])


def test_mindspore_sees_the_same_batches(planes_dataset):
    feed = open_train(planes_dataset)
    iterator = feed.dataset().create_dict_iterator(num_epochs=1, output_numpy=True)
    for expected, actual in zip(list(feed), iterator, strict=True):
        for name in feed.columns:
            np.testing.assert_array_equal(expected[name], actual[name])


def test_evaluation_cuts_the_centre_and_counts_padding_never(planes_dataset):
    records = Dataset(planes_dataset)
    rows = len(records)
    batches = list(open_eval_feed(planes_dataset, batch_size=32))
    ids = np.concatenate([batch["id"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    assert ids[:rows].tolist() == list(range(rows))
    assert (ids[rows:] == PADDING).all()
    assert len(ids) % 32 == 0
    assert labels[:rows].tolist() == records.labels.tolist()
    assert (labels[rows:] == -1).all()
    np.testing.assert_array_equal(batches[0]["colour"][0], plain_matrix(IMAGENET))
    full_size = [row for row in range(32) if min(records.heights[row], records.widths[row]) == 256]
    windows = centre_windows(records.heights[:32], records.widths[:32])
    for row in full_size:
        top, left = windows.top[row], windows.left[row]
        luma, *_ = planes_of(records, row)
        np.testing.assert_array_equal(batches[0]["y"][row, 0], luma[top : top + 224, left : left + 224])
    assert full_size


def test_a_feed_that_cannot_read_the_dataset_is_refused(planes_dataset, original_dataset):
    with pytest.raises(UserError, match=r"stored as yuv420, which the reference feed cannot read.*encoding original"):
        open_train(planes_dataset, feed="reference")
    with pytest.raises(UserError, match=r"stored as original, which the planes feed cannot read.*encoding yuv420"):
        open_train(original_dataset, feed="planes")
    with pytest.raises(UserError, match=r"1000 images, .* has 70, got 1000"):
        open_train(planes_dataset, batch_size=1000)
