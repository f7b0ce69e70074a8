"""Exports through real onnxruntime and MindSpore; predictions from each kind of file."""

import json
import subprocess
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor
from train_making import REPOSITORY, SIZE, WNIDS, draw_image

from convert.errors import UserError
from convert.files import sha256_file
from tinydarknet.export import export_checkpoint
from tinydarknet.exporting import writing as exporting
from tinydarknet.exporting.options import ExportOptions
from tinydarknet.model import checkpoint
from tinydarknet.model.inputs import Classifier, RgbPixels
from tinydarknet.predict import PredictOptions, predict
from tinydarknet.predicting.pixels import centre_square
from tinydarknet.predicting.predictors import open_predictor
from tinydarknet.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def best(finished_run):
    return RunFolder(finished_run).best


@pytest.fixture(scope="module")
def exports(best, planes_data, work):
    out = work / "exports"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        export_checkpoint(ExportOptions(checkpoint_path=best, out_dir=out, data_path=planes_data))
    return out


def pixels(count=5):
    return np.stack([centre_square(draw_image(index % 3, index), SIZE) for index in range(count)])


def expected_logits(best, images):
    loaded = checkpoint.load(best)
    network = Classifier(RgbPixels(loaded.description.model.normalization), checkpoint.build_network(loaded))
    return network.set_train(False)(Tensor(images)).asnumpy()


def test_files_are_whole_and_shareable(exports):
    names = {path.name for path in exports.iterdir()}
    assert names == {f"tinydarknet.{kind}" for kind in ("onnx", "mindir", "onnx.json", "mindir.json")}
    assert {path.stat().st_mode & 0o777 for path in exports.iterdir()} == {0o644}
    assert exports.stat().st_mode & 0o055
    for kind in ("onnx", "mindir"):
        card = json.loads((exports / f"tinydarknet.{kind}.json").read_text())
        assert card["sha256"] == sha256_file(exports / f"tinydarknet.{kind}")
        assert [entry["wnid"] for entry in card["classes"]] == list(WNIDS)
        assert card["comparison"]["images"] == 27
        assert card["comparison"]["max_abs_difference"] <= 1e-4


@pytest.mark.parametrize("batch", [1, 5])
def test_onnx_in_onnxruntime(exports, best, batch):
    path = str(exports / "tinydarknet.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    assert (entry.name, entry.type, entry.shape) == ("image", "tensor(uint8)", ["batch", 3, SIZE, SIZE])
    images = pixels(batch)
    (logits,) = session.run(["logits"], {"image": images})
    np.testing.assert_allclose(logits, expected_logits(best, images), atol=1e-4)


def test_planes_with_a_fixed_batch(best, tmp_path):
    options = ExportOptions(
        checkpoint_path=best, file_format=("onnx",), out_dir=tmp_path / "out", input="planes", batch=2
    )
    export_checkpoint(options)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "tinydarknet.onnx"))
    assert [entry.name for entry in session.get_inputs()] == ["y", "uv", "colour"]
    assert session.get_inputs()[0].shape[0] == 2


def test_a_failed_comparison_leaves_nothing(best, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "LOGITS_TOLERANCE", -1.0)
    with pytest.raises(UserError, match="nothing was written"):
        export_checkpoint(ExportOptions(checkpoint_path=best, file_format=("onnx",), out_dir=tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_air_needs_ascend(best):
    with pytest.raises(UserError, match="AIR can only be written on Ascend, this is CPU"):
        export_checkpoint(ExportOptions(checkpoint_path=best, file_format=("air",)))


def test_every_kind_of_file_predicts_the_same(exports, best):
    images = pixels()
    logits = expected_logits(best, images).astype(np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    for path in (best, exports / "tinydarknet.onnx", exports / "tinydarknet.mindir"):
        predictor = open_predictor(path)
        assert [entry.wnid for entry in predictor.classes] == list(WNIDS)
        np.testing.assert_allclose(predictor.probabilities(images), powers / powers.sum(1, keepdims=True), atol=1e-5)


def test_predict_names_classes_and_bad_files(exports, images, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    options = PredictOptions(
        images=(images / WNIDS[0], bad), checkpoint_path=exports / "tinydarknet.onnx", top=2, json=True
    )
    assert predict(options) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert len(lines) == 9
    assert all(len(line["guesses"]) == 2 for line in lines)
    assert lines[0]["guesses"][0]["wnid"] in WNIDS
    assert f"error: {bad}: " in captured.err


def test_onnx_predicts_without_mindspore(exports, tmp_path):
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), draw_image(1, 1))
    program = (
        "import sys\n"
        "sys.modules['mindspore'] = None\n"
        "from pathlib import Path\n"
        "from tinydarknet.predict import PredictOptions, predict\n"
        f"sys.exit(predict(PredictOptions(images=(Path({str(image)!r}),), checkpoint_path=Path({str(exports / 'tinydarknet.onnx')!r}))))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert WNIDS[1] in result.stdout


@pytest.mark.parametrize("suffix", [".onnx", ".mindir"])
def test_damaged_exports_are_told(exports, tmp_path, suffix):
    with pytest.raises(UserError, match="no checkpoint at"):
        open_predictor(tmp_path / f"none{suffix}")
    path = tmp_path / f"tinydarknet{suffix}"
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="has no card"):
        open_predictor(path)
    path.with_name(path.name + ".json").write_bytes((exports / f"tinydarknet{suffix}.json").read_bytes())
    with pytest.raises(UserError, match="is damaged or no"):
        open_predictor(path)
