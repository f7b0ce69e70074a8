"""A checkpoint that knows the shared dataset's three classes, and its exports."""

from __future__ import annotations

import mindspore  # noqa: F401 - its protobuf code cannot be imported after onnx's
import pytest
from model_making import fitted_weights, save

from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.options import ExportOptions


@pytest.fixture(scope="session")
def fitted(planes_dataset, tmp_path_factory):
    return save(tmp_path_factory.mktemp("fitted") / "fitted.ckpt", fitted_weights(planes_dataset))


@pytest.fixture(scope="session")
def exports(fitted, planes_dataset, tmp_path_factory):
    """ONNX and MINDIR as the command makes them by default."""
    work = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        export_checkpoint(ExportOptions(checkpoint_path=fitted, out_dir=work / "out", data_path=planes_dataset))
    return work / "out"
