"""What docs/reference-parity.md says of the reference's parameters is what the code does."""

import json
import re
from pathlib import Path

import pytest

from tinydarknet.config import TrainConfig

PAGE = (Path(__file__).parents[2] / "docs" / "reference-parity.md").read_text(encoding="utf-8")
REFERENCE = {
    "pre_trained": False, "num_classes": 1000, "lr_init": 0.1, "batch_size": 128, "epoch_size": 500, "momentum": 0.9,
    "weight_decay": 1e-4, "image_height": 224, "image_width": 224, "device_target": "Ascend", "keep_checkpoint_max": 10,
    "lr_scheduler": "exponential", "lr_epochs": (70, 140, 210, 280), "lr_gamma": 0.3, "eta_min": 0.0, "T_max": 150,
    "warmup_epochs": 0, "is_dynamic_loss_scale": False, "loss_scale": 1024, "label_smooth_factor": 0.1,
    "use_label_smooth": True,
}  # fmt: skip
"""The reference's parameters of training with its defaults, from its configuration file."""
OTHER = {"num_classes": 0, "device_target": "auto"}
"""Where ours differ on purpose; the page says so."""
WITHOUT_DEFAULT = {"data_path", "val_data_path", "checkpoint_path", "onnx_filename", "air_filename"}


def rows():
    table = PAGE.split("## Parameters")[1].split("## ")[0]
    for line in table.splitlines():
        if line.startswith("| `"):
            names, reference, ours = (cell.strip() for cell in line.strip("|").split("|"))
            yield from ((name, reference, ours) for name in re.findall(r"`(\w+)`", names))


def test_every_parameter_of_the_reference_is_listed():
    assert sorted(name for name, *_ in rows()) == sorted([*REFERENCE, *WITHOUT_DEFAULT])


@pytest.mark.parametrize("name", REFERENCE)
def test_defaults_are_the_references_or_said_to_differ(name):
    default = getattr(TrainConfig(data_path=Path("data")), name)
    assert default == OTHER.get(name, REFERENCE[name])
    _, written, ours = next(row for row in rows() if row[0] == name)
    if name in OTHER:
        assert str(OTHER[name]) in ours
    if re.fullmatch(r"[\d.e-]+|\[.*\]", written.removesuffix(" per device")):
        value = json.loads(written.removesuffix(" per device"))
        assert (tuple(value) if isinstance(value, list) else value) == REFERENCE[name]
