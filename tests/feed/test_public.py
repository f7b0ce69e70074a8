"""The feed as a library: what its public functions take, refuse and give."""

import numpy as np
import pytest

import tinydarknet.feed
from convert.dataset import Dataset
from convert.errors import BadValueError, UserError
from tinydarknet.colour import DARKNET, IMAGENET, rgb_from_planes
from tinydarknet.feed import Augmentation, Normalization, Rank, open_eval_feed, open_train_feed

SMALL = {"batch_size": 14, "image_size": 32}


def test_all_but_dataset_and_batch_size_have_defaults(planes_dataset):
    feed = open_train_feed(str(planes_dataset), batch_size=35)
    assert (feed.steps, feed.steps_per_epoch, len(feed)) == (2, 2, 2)
    assert feed.image_columns == ("y", "uv", "colour")
    assert Normalization() == IMAGENET
    first, second = feed
    assert first["y"].shape == (35, 1, 224, 224)
    assert sorted([*first["id"], *second["id"]]) == list(range(70))  # both still hold their own


def test_a_run_goes_on_in_the_middle_of_an_epoch(planes_dataset):
    whole = [batch["id"].tolist() for batch in open_train_feed(planes_dataset, **SMALL, epochs=3, seed=1)]
    rest = open_train_feed(planes_dataset, **SMALL, epochs=3, seed=1, first_step=7)
    assert (len(whole), rest.steps, rest.steps_per_epoch) == (15, 8, 5)
    assert [batch["id"].tolist() for batch in rest.reused()] == whole[7:]


@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
def test_rgb_made_on_the_host_is_what_the_planes_say(request, name):
    dataset = Dataset(request.getfixturevalue(name))
    normalization = Normalization(mean=(10.0, 20.0, 30.0), std=(60.0, 50.0, 40.0))
    planes = open_train_feed(dataset, **SMALL, normalization=normalization)
    rgb = open_train_feed(dataset, **SMALL, normalization=normalization, images="rgb")
    assert rgb.image_columns == ("image",)
    for expected, batch in zip(planes, rgb, strict=True):
        image = rgb_from_planes(expected["y"], expected["uv"], expected["colour"])
        assert batch["image"].dtype == np.float32
        np.testing.assert_allclose(batch["image"], image, atol=1e-4)
        assert batch["id"].tolist() == expected["id"].tolist()
    grey = open_train_feed(dataset, **SMALL, images="rgb_uint8")
    for expected, batch in zip(open_train_feed(dataset, **SMALL, normalization=DARKNET), grey, strict=True):
        image = 255 * rgb_from_planes(expected["y"], expected["uv"], expected["colour"])
        assert batch["image"].dtype == np.uint8
        assert np.abs(batch["image"] - np.clip(image, 0, 255)).max() < 0.51


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 223),
        ("image_size", 0),
        ("image_size", 32.0),
        ("batch_size", 0),
        ("batch_size", "14"),
        ("batch_size", True),
        ("threads", 0),
        ("images", "bgr"),
        ("epochs", 0),
        ("seed", 1.5),
        ("seed", -1),
        ("first_step", -1),
        ("last_step", 1.5),
    ],
)
def test_bad_values_are_refused_where_they_are_given(planes_dataset, name, value):
    opens = [open_train_feed, open_eval_feed] if name in ("image_size", "batch_size", "threads", "images") else []
    for open_feed in opens or [open_train_feed]:
        with pytest.raises(BadValueError, match=rf"^{name} must be .*got") as refused:
            open_feed(planes_dataset, **{**SMALL, name: value})
        assert (refused.value.name, refused.value.value) == (name, value)
        assert "--" not in str(refused.value)


@pytest.mark.parametrize("rank", [(2, 2), (-1, 2), (0, 0), (0.0, 1), ("0", 1)])
def test_ranks_that_do_not_exist_are_refused(rank):
    with pytest.raises(BadValueError):
        Rank(*rank)


@pytest.mark.parametrize("open_feed", [open_train_feed, open_eval_feed])
def test_what_is_no_dataset_is_refused(open_feed, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for wrong in (file, 7, None):
        with pytest.raises(BadValueError, match="dataset must be"):
            open_feed(wrong, **SMALL)
    with pytest.raises(UserError, match="no dataset at"):
        open_feed(tmp_path / "nothing", **SMALL)


def test_errors_have_fields_and_a_sentence_without_options(original_dataset):
    with pytest.raises(BadValueError) as bad:
        Augmentation(hue=0.7)
    assert (bad.value.name, bad.value.value, bad.value.parameters) == ("hue", 0.7, ("hue",))
    with pytest.raises(UserError) as other:
        open_train_feed(original_dataset, **SMALL, feed="planes")
    assert other.value.parameters == ("feed",)
    assert "--" not in str(other.value)


def test_every_public_name_has_a_docstring():
    for name in tinydarknet.feed.__all__:
        assert getattr(tinydarknet.feed, name).__doc__
