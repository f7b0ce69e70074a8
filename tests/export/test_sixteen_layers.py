"""Tiny-DarkNet itself, all its 16 layers, to every kind of file that needs no card."""

import json

import onnx
import pytest
from model_making import fitted_weights, save

from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.options import ExportOptions


@pytest.fixture(scope="module")
def short_network():
    """Not here."""


def test_the_whole_network_is_exported_and_scores_in_eight_bits(planes_dataset, tmp_path):
    out = tmp_path / "out"
    export_checkpoint(
        ExportOptions(
            checkpoint_path=save(tmp_path / "tiny.ckpt", fitted_weights(planes_dataset)), out_dir=out, batch=16,
            int8=True, max_drop=0.2, data_path=planes_dataset, val_data_path=planes_dataset,
        )
    )  # fmt: skip
    nodes = [node.op_type for node in onnx.load(out / "tinydarknet.onnx").graph.node]
    assert (nodes.count("Conv"), nodes.count("LeakyRelu")) == (16, 15)
    sizes = {path.name: path.stat().st_size for path in out.iterdir() if path.suffix != ".json"}
    assert sizes.keys() == {"tinydarknet.onnx", "tinydarknet.mindir", "tinydarknet-int8.onnx"}
    assert sizes["tinydarknet-int8.onnx"] < sizes["tinydarknet.onnx"] / 3
    card = json.loads((out / "tinydarknet-int8.onnx.json").read_text())
    assert card["accuracy"]["top1"] >= card["float32_accuracy"]["top1"] - 14
