"""The pictures that people look at are those that the network is given."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from convert.dataset import Dataset
from tinydarknet.colour import DARKNET
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.batch_fill import BatchFiller, PlaneImages
from tinydarknet.feed.batch_plan import Planner
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.mindspore import PlanesToRgb
from tinydarknet.feed.order import TrainingStream
from tinydarknet.preview import IMAGE_SIZE, SEED, PreviewOptions, preview, training_views


@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
def test_views_are_what_the_feed_delivers_and_the_first_cell_makes_of_it(request, name):
    records = Dataset(request.getfixturevalue(name))
    stream = TrainingStream(len(records), 35, SEED, 0, 1, 0, 4)
    planner = Planner(records, stream, Augmentation(), RowHealth(records, HealthPolicy()))
    source = BatchFiller(planner, PlaneImages(planner, IMAGE_SIZE, DARKNET))
    for step in (0, 3):
        batch = source.allocate()
        source.fill(step, batch)
        seen = PlanesToRgb()(*(ms.Tensor(batch[column]) for column in ("y", "uv", "colour"))).asnumpy()
        rows = np.searchsorted(records.ids, batch["id"])[:4]
        views = training_views(records, rows, epochs=2)[:, stream.batch_rows(step)[0]]
        wanted = np.clip(255 * seen[:4].transpose(0, 2, 3, 1), 0, 255)
        assert np.abs(views - wanted).max() < 0.51  # rounded to whole grey levels


@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
def test_a_sheet_shows_stored_images_and_what_training_makes_of_them(request, tmp_path, capsys, name):
    options = PreviewOptions(request.getfixturevalue(name), tmp_path / "sheet.png", images=4, epochs=1)
    preview(options)
    assert np.asarray(Image.open(options.out)).shape == (188, 8 * 160, 3)
    assert capsys.readouterr().out == f"{options.out}: 4 images, each with 1 crops of training\n"


def test_senseless_sheets_are_refused(tmp_path):
    for wrong in ({"out": tmp_path / "x.txt"}, {"images": 0}, {"epochs": 0}):
        with pytest.raises(ValueError, match="must"):
            PreviewOptions(**{"dataset": tmp_path, "out": tmp_path / "x.png", **wrong})
