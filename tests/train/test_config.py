"""Options: the recipe's names and defaults, refusals, and that each is used."""

import ast
import dataclasses
from pathlib import Path

import pytest
import tyro

from tinydarknet.config import TrainConfig
from tinydarknet.config_file import expand
from tinydarknet.evaluate.__main__ import EvaluateOptions
from tinydarknet.export.options import ExportOptions
from tinydarknet.predict.__main__ import PredictOptions

PACKAGE = Path(__file__).parents[2] / "tinydarknet"

RECIPE = {
    "pre_trained": False, "lr_init": 0.1, "batch_size": 128, "epoch_size": 500, "momentum": 0.9, "weight_decay": 1e-4,
    "image_height": 224, "image_width": 224, "keep_checkpoint_max": 10, "lr_scheduler": "exponential",
    "lr_epochs": (70, 140, 210, 280), "lr_gamma": 0.3, "eta_min": 0.0, "T_max": 150, "warmup_epochs": 0,
    "is_dynamic_loss_scale": False, "loss_scale": 1024, "label_smooth_factor": 0.1, "use_label_smooth": True,
}  # fmt: skip


def test_the_recipe_is_the_default():
    config = TrainConfig(data_path=Path("data"))
    assert {name: getattr(config, name) for name in RECIPE} == RECIPE


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"image_height": 220, "image_width": 220}, "multiple of 16, got 220"),
        ({"image_width": 192}, "image_width must equal image_height, got 192"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"label_smooth_factor": 1.0}, "label_smooth_factor"),
        ({"lr_init": 0.0}, "lr_init must be positive"),
        ({"resume": True}, "resume needs run_dir"),
        ({"pre_trained": True}, "go together"),
        ({"num_classes": 1}, "num_classes"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs"),
        ({"image_sizes": (128, 150)}, "image_sizes must be a positive multiple of 16, got 150"),
        ({"image_sizes": (160, 128)}, r"image_sizes must not fall, got \(160, 128\)"),
        ({"image_sizes": (128, 160, 192), "epoch_size": 2}, "no more than epoch_size, 2"),
    ],
)
def test_bad_values_name_the_rule_and_the_value(change, rule):
    with pytest.raises(ValueError, match=rule):
        TrainConfig(data_path=Path("data"), **change)


def test_decode_is_another_word_for_feed():
    """A feed is chosen by either name."""
    for option in ("--feed", "--decode"):
        config = tyro.cli(TrainConfig, args=["--data-path", "data", option, "host"])
        assert config.feed == "host"
    sizes = tyro.cli(TrainConfig, args=["--data-path", "data", "--decode", "auto", "--image-sizes", "128", "160"])
    assert (sizes.feed, sizes.image_sizes) == ("auto", (128, 160))


def words(text: str, tmp_path: Path, *command_line: str) -> list[str]:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return expand([*command_line, "--config-path", str(path)], TrainConfig)


@pytest.mark.parametrize("name", ["reference", "imagenette", "cifar10", "fast"])
def test_recipes_are_options_and_say_what_came_of_them(name):
    words = expand(["--data-path", "data", "--config-path", f"recipe:{name}"], TrainConfig)
    assert tyro.cli(TrainConfig, args=words).data_path == Path("data")
    assert "# Result: " in (PACKAGE / "recipes" / f"{name}.yaml").read_text()


def test_the_recipe_of_the_reference_is_the_references():
    wanted = {name: value for name, value in RECIPE.items() if name != "pre_trained"}  # needs a file of weights
    words = expand(["--data-path", "data", "--config-path", "recipe:reference"], TrainConfig)
    assert {word for word in words if word.startswith("--")} - {"--data-path", "--config-path"} == {
        f"--{'no-' if value is False else ''}{name.replace('_', '-')}" for name, value in wanted.items()
    }
    config = tyro.cli(TrainConfig, args=words)
    assert {name: getattr(config, name) for name in wanted} == wanted


def test_the_command_line_wins_over_a_recipe():
    words = expand(["--config-path=recipe:fast", "--data-path", "data", "--epoch-size", "5"], TrainConfig)
    assert tyro.cli(TrainConfig, args=words).epoch_size == 5


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no recipe '\.\./x': known are cifar10, fast, imagenette, reference"):
        expand(["--config-path", "recipe:../x"], TrainConfig)


def test_options_from_a_file(tmp_path):
    recipe = """
data_path: data
lr_epochs: [1, 2]
is_dynamic_loss_scale: 1
use_label_smooth: false
val_data_path: null
augmentation: {hue: 0.2}
batch_size: 4
"""
    config = tyro.cli(TrainConfig, args=words(recipe, tmp_path, "--batch-size", "6"))
    assert config.data_path == Path("data")
    assert config.lr_epochs == (1, 2)
    assert config.is_dynamic_loss_scale
    assert not config.use_label_smooth
    assert config.augmentation.hue == 0.2
    assert config.batch_size == 6


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("batch_size: 010", "010"),
        ("epoch_size: 1:30", "1:30"),
        ("run_dir: 007", "007"),
        ("run_dir: on", "on"),
        ("run_dir: 1e3", "1e3"),
    ],
)
def test_words_reach_the_parser_as_they_are_written(line, word, tmp_path):
    assert words(line, tmp_path)[1] == word


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("learning_rate: 1", "unknown option learning_rate"),
        ("augmentation: {huge: 1}", "unknown option augmentation.huge"),
        ("batch_size: {a: 1}", "takes a value"),
        ("use_label_smooth: maybe", "must be true or false"),
        ("- 1", "must hold 'name: value' lines"),
        ("a: [", "cannot read"),
        ("lr_init: 0.1\nlr_init: 0.5", "the key lr_init is there twice"),
        ("augmentation: {hue: 0.1, hue: 0.2}", "the key hue is there twice"),
        ("config_path: other.yaml", "names a file of options itself"),
        ("lr_epochs: [[1], 2]", "takes a list of values"),
    ],
)
def test_bad_files_are_refused(text, rule, tmp_path):
    with pytest.raises(ValueError, match=rule):
        words(text, tmp_path)


@pytest.mark.parametrize("options", [TrainConfig, EvaluateOptions, ExportOptions, PredictOptions])
def test_every_option_is_read_outside_its_definition(options):
    read = set()
    for source in PACKAGE.rglob("*.py"):
        if source.name == "config.py":
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
            # getattr(options, f"{file_format}_filename")
            elif isinstance(node, ast.Constant) and node.value == "_filename":
                read |= {f"{file_format}_filename" for file_format in ("onnx", "mindir", "air")}
    # image_width: a name of the recipe, which the configuration holds equal to image_height;
    # config_path: read from the command line itself
    read |= {"image_width", "config_path"}
    assert {field.name for field in dataclasses.fields(options)} - read == set()
