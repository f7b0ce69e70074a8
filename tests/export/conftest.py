"""A checkpoint that knows the shared dataset's three classes, and its exports; of 4 layers (test_sixteen_layers.py: of all)."""

from __future__ import annotations

import mindspore  # noqa: F401 - its protobuf code cannot be imported after onnx's
import pytest
from model_making import fitted_weights, save
from processes import shorten_network

from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.options import ExportOptions


@pytest.fixture(scope="module", autouse=True)
def _short(short_network):
    pass


@pytest.fixture(scope="session")
def fitted(planes_dataset, share):
    def fit(folder):
        with pytest.MonkeyPatch.context() as patch:
            shorten_network(patch)
            save(folder / "fitted.ckpt", fitted_weights(planes_dataset))

    return share("fitted", fit) / "fitted.ckpt"


@pytest.fixture(scope="session")
def exports(fitted, planes_dataset, share):
    """ONNX and MINDIR as the command makes them by default."""

    def export(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            shorten_network(patch)
            export_checkpoint(ExportOptions(checkpoint_path=fitted, out_dir=folder / "out", data_path=planes_dataset))

    return share("exports", export) / "out"
