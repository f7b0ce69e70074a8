"""Eight bits: scored before and after, refused where they lose too much."""

import json

import onnx
import onnxruntime
import pytest
from model_making import fitted_weights, save, with_an_outlier

from convert.errors import UserError
from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.options import ExportOptions


@pytest.fixture(autouse=True)
def same_on_every_processor(monkeypatch):
    """Quantised values are computed as the file says, in float32: onnxruntime's own 8-bit sums saturate on AVX2 without VNNI."""
    make_options = onnxruntime.SessionOptions

    def options():
        made = make_options()
        made.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return made

    monkeypatch.setattr(onnxruntime, "SessionOptions", options)


def export_int8(checkpoint, data, out, **options):
    export_checkpoint(
        ExportOptions(
            checkpoint_path=checkpoint,
            file_format=("onnx",),
            out_dir=out,
            int8=True,
            data_path=data,
            val_data_path=data,
            **options,
        )
    )


@pytest.mark.parametrize("batch", ["dynamic", 3])
def test_an_int8_file_is_written_beside_the_other(fitted, planes_dataset, tmp_path, capsys, batch):
    export_int8(fitted, planes_dataset, tmp_path / "out", max_drop=0.2, batch=batch)
    whole, small = tmp_path / "out" / "tinydarknet.onnx", tmp_path / "out" / "tinydarknet-int8.onnx"
    onnx.checker.check_model(onnx.load(small), full_check=True)
    assert small.stat().st_size < whole.stat().st_size * 0.55  # of all 16 layers less than a third
    card = json.loads(small.with_name("tinydarknet-int8.onnx.json").read_text())
    assert card["precision"] == "int8"
    assert card["float32_accuracy"]["total"] == card["accuracy"]["total"] == 70
    assert card["accuracy"]["top1"] >= card["float32_accuracy"]["top1"] - 14
    said = capsys.readouterr().out
    assert f"float32 top-1 {card['float32_accuracy']['top1']} and top-5 70 of 70" in said
    assert f"int8 top-1 {card['accuracy']['top1']} and top-5 70 of 70" in said


def test_a_network_that_eight_bits_cannot_hold_is_refused(planes_dataset, tmp_path):
    checkpoint = save(tmp_path / "outlier.ckpt", with_an_outlier(fitted_weights(planes_dataset)))
    with pytest.raises(
        UserError, match=r"tinydarknet-int8\.onnx loses more than --max-drop 0\.2 .*nothing was written"
    ):
        export_int8(checkpoint, planes_dataset, tmp_path / "out", max_drop=0.2)
    assert list((tmp_path / "out").iterdir()) == []
