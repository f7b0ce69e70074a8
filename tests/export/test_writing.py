"""Exports through real onnxruntime and MindSpore."""

import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore.train.mind_ir_pb2 import ModelProto
from model_making import CLASSES, DIGEST, SIZE, drawn_pixels, logits_of, random_weights, save, softmax

from convert.durable_files import sha256_file
from convert.errors import UserError
from tinydarknet.export import checks
from tinydarknet.export import export as jobs
from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.design import fold_batch_norms
from tinydarknet.export.options import ExportOptions


def export(checkpoint, out, *formats, **options):
    export_checkpoint(ExportOptions(checkpoint_path=checkpoint, out_dir=out, file_format=formats, **options))
    return out


def card_of(path):
    return json.loads(path.with_name(path.name + ".json").read_text())


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_files_are_whole_and_shareable(exports):
    names = {path.name for path in exports.iterdir()}
    assert names == {f"tinydarknet.{kind}" for kind in ("onnx", "mindir", "onnx.json", "mindir.json")}
    assert {path.stat().st_mode & 0o777 for path in exports.iterdir()} == {0o644}
    assert exports.stat().st_mode & 0o055


@pytest.mark.parametrize("kind", ["onnx", "mindir"])
def test_cards_say_what_their_users_must_know(exports, planes_dataset, kind):
    card = card_of(exports / f"tinydarknet.{kind}")
    assert card["sha256"] == sha256_file(exports / f"tinydarknet.{kind}")
    assert card["classes"] == [dataclasses.asdict(entry) for entry in CLASSES]
    assert card["inputs"] == [{"name": "image", "dtype": "uint8", "shape": ["any", 3, SIZE, SIZE]}]
    assert card["outputs"] == [{"name": "probabilities", "dtype": "float32", "shape": ["any", 3]}]
    assert card["opset"] == (13 if kind == "onnx" else None)
    assert card["training_dataset_digest"] == DIGEST
    assert card["accuracy"] is None
    comparison = card["comparison"]
    assert (comparison["images"], comparison["origin"]) == (64, f"images of {planes_dataset}")
    assert (comparison["batches"], comparison["top1_equal"]) == ([1, 64], 64)
    assert comparison["max_abs_difference"] <= 1e-4
    assert {"mindspore", "onnx", "onnxruntime"} <= card["versions"].keys()


@pytest.mark.parametrize("batch", [1, 5])
def test_onnx_gives_probabilities_of_pixels(exports, fitted, batch):
    path = exports / "tinydarknet.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
    session = session_of(path)
    (entry,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, entry.shape) == ("image", "tensor(uint8)", ["batch", 3, SIZE, SIZE])
    assert (answer.name, answer.shape) == ("probabilities", ["batch", 3])
    images = drawn_pixels(batch)
    np.testing.assert_allclose(session.run(None, {"image": images})[0], softmax(logits_of(fitted, images)), atol=1e-5)


def test_names_are_the_layers(exports):
    nodes = {node.name for node in onnx.load(exports / "tinydarknet.onnx").graph.node}
    assert {"preprocessing/scale", "conv1/conv", "conv1/leaky_relu", "conv1/pool", "conv16/conv", "logits"} <= nodes
    graph = ModelProto.FromString((exports / "tinydarknet.mindir").read_bytes()).graph
    assert ([entry.name for entry in graph.input], [entry.name for entry in graph.output]) == (
        ["image"],
        ["probabilities"],
    )
    assert "image" in {name for node in graph.node for name in node.input}
    assert "probabilities" in {name for node in graph.node for name in node.output}


@pytest.mark.parametrize(
    ("kind", "variant", "fold"),
    [
        ("rgb_float", "darknet", True),
        ("rgb_normalized", "modelzoo", True),
        ("planes", "darknet", False),
        ("planes", "modelzoo", True),
    ],
)
def test_every_kind_of_input_and_variant_folded_or_not(tmp_path, kind, variant, fold):
    checkpoint = save(tmp_path / "tiny.ckpt", random_weights(3, variant), variant)
    out = export(
        checkpoint, tmp_path / "out", "onnx", "mindir", input=kind, output="logits", fold_batch_norm=fold, batch=32
    )
    model = onnx.load(out / "tinydarknet.onnx")
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("BatchNormalization") == (0 if fold else {"darknet": 3, "modelzoo": 4}[variant])
    assert operators.count("LeakyRelu") == {"darknet": 3, "modelzoo": 4}[variant]
    assert [entry.name for entry in model.graph.input] == (["y", "uv", "colour"] if kind == "planes" else ["image"])
    for file in ("tinydarknet.onnx", "tinydarknet.mindir"):
        card = card_of(out / file)
        assert card["network"]["batch_norm_folded"] == fold
        assert card["outputs"] == [{"name": "logits", "dtype": "float32", "shape": [32, 3]}]
        assert card["comparison"]["origin"] == "drawn images"
        assert card["comparison"]["top1_equal"] == card["comparison"]["images"] == 64


def test_a_fixed_batch_larger_than_the_images_is_compared(fitted, tmp_path, capsys):
    out = export(fitted, tmp_path / "out", "onnx", "mindir", batch=80)
    assert session_of(out / "tinydarknet.onnx").get_inputs()[0].shape[0] == 80
    for kind in ("onnx", "mindir"):
        assert card_of(out / f"tinydarknet.{kind}")["comparison"]["batches"] == [80]
    assert capsys.readouterr().out.count("64 drawn images in batches of 80: max |difference|") == 2


def test_accuracy_goes_onto_the_card(fitted, planes_dataset, tmp_path):
    out = export(fitted, tmp_path / "out", "onnx", val_data_path=planes_dataset, batch=16)
    accuracy = card_of(out / "tinydarknet.onnx")["accuracy"]
    assert (accuracy["total"], accuracy["top5"]) == (70, 70)
    assert accuracy["top1"] > 70 / 2


def spoilt(design):
    folded = fold_batch_norms(design)
    bias = folded.weights["conv3.conv.bias"]
    return dataclasses.replace(folded, weights={**folded.weights, "conv3.conv.bias": bias + 0.05})


def test_a_wrong_fold_is_noticed_and_leaves_no_file(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "fold_batch_norms", spoilt)
    with pytest.raises(UserError, match=r"tinydarknet\.onnx does not compute what the checkpoint does.*nothing was"):
        export(fitted, tmp_path / "out", "onnx", fold_batch_norm=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_export_keeps_what_was_there(fitted, tmp_path, monkeypatch):
    out = export(fitted, tmp_path / "out", "onnx")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(jobs, "fold_batch_norms", spoilt)
    with pytest.raises(UserError, match="mindir does not compute"):
        export(fitted, out, "mindir", "onnx", fold_batch_norm=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"batch": 0}, "at least 1 or dynamic"),
        ({"file_format": ()}, "at least one format"),
        ({"onnx_filename": "../x.onnx"}, "plain file name"),
        ({"onnx_filename": "model"}, r"must end in \.onnx, by which its readers know it"),
        ({"mindir_filename": "x.MINDIR"}, r"must end in \.mindir"),
        ({"int8_filename": "tinydarknet.onnx"}, "differ from each other"),
        ({"int8": True, "file_format": ("mindir",)}, "must name onnx"),
        ({"int8": True}, "val_data_path to be scored on"),
        ({"input": "planes", "file_format": ("om",)}, "om takes RGB"),
        ({"soc_version": "a b"}, "soc_version"),
    ],
)
def test_senseless_options_are_refused(tmp_path, options, rule):
    with pytest.raises(ValueError, match=rule):
        ExportOptions(checkpoint_path=tmp_path / "tiny.ckpt", **options)


def test_rounding_may_grow_with_the_logits():
    """Such as 1.15e-4 of logits up to 8, seen on Arm."""
    logits = np.float32(8) * np.eye(3, dtype=np.float32)
    expected = checks.Expected((logits,), logits, "drawn images")

    def held_against(difference):
        comparison = checks.compare(lambda inputs: inputs[0] + np.float32(difference), "logits", expected, (3,))
        checks.require_equal(comparison, "tinydarknet.onnx")

    held_against(1.15e-4)
    with pytest.raises(UserError, match=r"at most 8\.0e-04"):
        held_against(2e-3)
