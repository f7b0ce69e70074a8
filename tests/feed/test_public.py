"""The feed as a library: what its public functions take, refuse and give."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import tinydarknet.feed
from convert.dataset import Dataset
from convert.errors import BadValueError, UserError
from tinydarknet.colour import DARKNET, IMAGENET, rgb_from_planes
from tinydarknet.feed import Augmentation, HealthPolicy, Normalization, Rank, open_eval_feed, open_train_feed

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "convert.dataset",
    "tinydarknet.feed",
    *(f"tinydarknet.feed.{name}" for name in ("mindspore", "torch", "jax")),
}
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


OF_BOTH = [
    ("image_size", 223), ("image_size", 0), ("image_size", -2), ("image_size", 32.0), ("image_size", "32"),
    ("batch_size", 0), ("batch_size", "14"), ("batch_size", True), ("batch_size", None),
    ("threads", 0), ("threads", 1.5), ("images", "bgr"), ("images", None), ("feed", "host "), ("feed", None),
    ("rank", 0), ("rank", (0, 2)), ("normalization", None), ("normalization", ((0, 0, 0), (1, 1, 1))),
]  # fmt: skip
OF_TRAINING = [
    ("epochs", 0), ("epochs", 1.0), ("seed", 1.5), ("seed", "1"), ("seed", None), ("seed", -1),
    ("first_step", -1), ("first_step", 6), ("first_step", "0"), ("last_step", 1.5), ("last_step", -1),
    ("augmentation", None), ("health", 3), ("batch_size", 71),
]  # fmt: skip


@pytest.mark.parametrize(
    ("open_feed", "name", "value"),
    [
        *((open_feed, *case) for open_feed in (open_train_feed, open_eval_feed) for case in OF_BOTH),
        *((open_train_feed, *case) for case in OF_TRAINING),
    ],
)
def test_bad_values_are_refused_where_they_are_given(original_dataset, open_feed, name, value):
    with pytest.raises(BadValueError, match=rf"^{name} must be .*got") as refused:
        open_feed(original_dataset, **{**SMALL, name: value})
    assert (refused.value.name, refused.value.value, refused.value.parameters) == (name, value, (name,))
    assert "--" not in str(refused.value)


def test_training_does_not_end_before_it_begins(planes_dataset):
    assert open_train_feed(planes_dataset, **SMALL, first_step=5).steps == 0  # a run that is done
    with pytest.raises(BadValueError, match=r"^last_step must be an integer, at least 3, got 2"):
        open_train_feed(planes_dataset, **SMALL, first_step=3, last_step=2)


@pytest.mark.parametrize("rank", [(2, 2), (-1, 2), (0, 0), (0, 2.0), (0.0, 1), ("0", 1), (None, 1), (True, 2)])
def test_ranks_that_do_not_exist_are_refused(rank):
    with pytest.raises(BadValueError, match=r"^(rank|of) must be an integer"):
        Rank(*rank)


@pytest.mark.parametrize("open_feed", [open_train_feed, open_eval_feed])
def test_what_is_no_dataset_is_refused(open_feed, planes_dataset, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for wrong in (file, str(file), 7, None, b"data"):
        with pytest.raises(BadValueError, match=r"^dataset must be"):
            open_feed(wrong, **SMALL)
    for nothing in (tmp_path / "nothing", str(tmp_path / "nothing")):
        with pytest.raises(UserError, match="no dataset at"):
            open_feed(nothing, **SMALL)
    for good in (planes_dataset, str(planes_dataset), Dataset(planes_dataset), Dataset(str(planes_dataset))):
        assert len(open_feed(good, **SMALL)) == 5


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Augmentation, "hue", 0.7),
        (Augmentation, "hue", "none"),
        (Augmentation, "flip", None),
        (Augmentation, "brightness", float("nan")),
        (Augmentation, "scale_min", 0),
        (Augmentation, "ratio_max", [1]),
        (Normalization, "mean", 0.5),
        (Normalization, "mean", (1.0, 2.0)),
        (Normalization, "mean", (1.0, 2.0, "3")),
        (Normalization, "std", (1.0, 2.0, 0.0)),
        (Normalization, "std", (1.0, 2.0, float("inf"))),
        (HealthPolicy, "tolerate", -1),
        (HealthPolicy, "tolerate", 0.5),
    ],
)
def test_what_a_feed_is_described_by_checks_itself(kind, name, value):
    with pytest.raises(BadValueError, match=rf"^{name} must be .*got"):
        kind(**{name: value})


def test_errors_have_fields_and_a_sentence_without_options(original_dataset):
    with pytest.raises(BadValueError) as bad:
        Augmentation(hue=0.7)
    assert (bad.value.name, bad.value.value, bad.value.parameters) == ("hue", 0.7, ("hue",))
    with pytest.raises(UserError) as other:
        open_train_feed(original_dataset, **SMALL, feed="planes")
    assert other.value.parameters == ("feed",)
    assert "--" not in str(other.value)


@pytest.mark.parametrize("page", ["library.md", "library_CN.md"])
def test_the_names_in_the_page_are_those_that_are_exported_each_with_a_docstring(page):
    """Read from the source: PyTorch and JAX are not installed here."""
    rows = re.findall(r"^\| `([\w.]+)` \| ((?:`\w+`(?:, )?)+) \|$", (ROOT / "docs" / page).read_text("utf-8"), re.M)
    documented = {module: set(re.findall(r"\w+", names)) for module, names in rows}
    for module, names in documented.items():
        path = ROOT / module.replace(".", "/")
        tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
        (exported,) = (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        assert names == set(exported), module
        own = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in names]
        assert all(ast.get_docstring(node) for node in own)
    assert set(documented) == MODULES
    assert all(getattr(tinydarknet.feed, name).__doc__ for name in tinydarknet.feed.__all__)
