"""Predictions from each kind of file, from files, folders and standard input."""

import io
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import processes
import pytest
from model_making import CLASSES, SIZE, drawn_pixels, logits_of, softmax
from PIL import Image

from convert.errors import UserError
from tinydarknet.config import DeviceConfig
from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.options import ExportOptions
from tinydarknet.predict.__main__ import PredictOptions, predict
from tinydarknet.predict.predictors import open_predictor


@pytest.fixture(scope="session")
def pictures(tree, tmp_path_factory):
    """Seven photographs, grey, CMYK, PNG and turned ones among them, and one file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    found = sorted((tree / "train").rglob("*.JPEG"))
    for path in found[:3]:
        shutil.copy(path, folder)
    upright = Image.open(found[3]).convert("RGB")
    upright.convert("L").save(folder / "grey.jpg")
    upright.convert("CMYK").save(folder / "cmyk.jpg")
    upright.save(folder / "called.jpg", "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif, quality=95)
    (folder / "cut.jpg").write_bytes(found[4].read_bytes()[:2000])
    (folder / "notes.txt").write_text("no picture, and not looked at")
    return folder


def run(capsys, *images, **options):
    """Exit status, JSON objects on stdout, stderr."""
    status = predict(PredictOptions(images=tuple(images), json=True, **options))
    captured = capsys.readouterr()
    return status, [json.loads(line) for line in captured.out.splitlines()], captured.err


def feed_stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_every_kind_of_file_gives_the_checkpoints_probabilities(exports, fitted, tmp_path):
    images = drawn_pixels(5)
    logits = tmp_path / "logits"
    export_checkpoint(
        ExportOptions(
            checkpoint_path=fitted, file_format=("onnx",), out_dir=logits, output="logits", input="rgb_float", batch=4
        )
    )
    files = (fitted, exports / "tinydarknet.onnx", exports / "tinydarknet.mindir", logits / "tinydarknet.onnx")
    for path in files:
        predictor = open_predictor(path)
        assert predictor.classes == CLASSES
        np.testing.assert_allclose(predictor.probabilities(images), softmax(logits_of(fitted, images)), atol=1e-5)


def test_every_oddity_is_read_and_a_damaged_file_named(exports, pictures, capsys):
    network = exports / "tinydarknet.onnx"
    status, answers, errors = run(capsys, pictures, checkpoint_path=network, top=2, batch_size=3, threads=2)
    assert status == 1
    assert [Path(answer["image"]).name for answer in answers] == sorted(
        path.name for path in pictures.iterdir() if path.name not in ("cut.jpg", "notes.txt")
    )
    assert f"error: {pictures / 'cut.jpg'}: " in errors
    assert "7 images in " in errors
    assert "images/s" in errors
    best = {Path(answer["image"]).name: answer["guesses"] for answer in answers}
    assert all(len(guesses) == 2 and guesses[0]["wnid"] for guesses in best.values())
    # one picture in three dresses
    assert best["called.jpg"][0]["label"] == best["turned.jpg"][0]["label"]


def test_answers_do_not_depend_on_batches_or_threads(exports, pictures, capsys):
    network = exports / "tinydarknet.onnx"
    answers = [
        run(capsys, pictures, checkpoint_path=network, batch_size=batch, threads=threads)[1]
        for batch, threads in ((1, 1), (7, 2))
    ]
    for one, other in zip(*answers, strict=True):
        assert one["image"] == other["image"]
        assert [guess["label"] for guess in one["guesses"]] == [guess["label"] for guess in other["guesses"]]


def test_standard_input_is_an_image_or_a_list(exports, pictures, capsys, monkeypatch):
    network = exports / "tinydarknet.onnx"
    picture = pictures / "grey.jpg"
    _, (named,), _ = run(capsys, picture, checkpoint_path=network)
    feed_stdin(monkeypatch, picture.read_bytes())
    status, (piped,), _ = run(capsys, Path("-"), checkpoint_path=network)
    assert (status, piped["image"], piped["guesses"]) == (0, "-", named["guesses"])
    feed_stdin(monkeypatch, f"{picture}\n\n{pictures / 'cmyk.jpg'}\n".encode())
    status, listed, _ = run(capsys, checkpoint_path=network, files_from=Path("-"))
    assert status == 0
    assert [answer["image"] for answer in listed] == [str(picture), str(pictures / "cmyk.jpg")]
    assert [guess["label"] for guess in listed[0]["guesses"]] == [guess["label"] for guess in named["guesses"]]


def test_a_sheet_shows_what_the_network_saw(exports, pictures, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    run(capsys, pictures / "grey.jpg", pictures / "cmyk.jpg", checkpoint_path=exports / "tinydarknet.onnx", sheet=sheet)
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (160 + 2 * 14, 2 * 160, 3)
    middle = slice(80 - SIZE // 2, 80 + SIZE // 2)
    left = pixels[middle, middle].astype(int)
    assert left.std() > 5
    assert (left[..., 0] == left[..., 2]).all()  # the grey one
    assert (pixels[160:, :160] < 128).any()  # its caption


def test_text_is_for_people(exports, pictures, capsys):
    assert predict(PredictOptions(images=(pictures / "grey.jpg",), checkpoint_path=exports / "tinydarknet.onnx")) == 0
    path, *guesses = capsys.readouterr().out.splitlines()
    assert path == str(pictures / "grey.jpg")
    assert len(guesses) == 3  # there are no more classes
    assert any("n01440764  tench" in line for line in guesses)


def test_onnx_predicts_without_mindspore_and_onnx(exports, tmp_path):
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), drawn_pixels(1)[0].transpose(1, 2, 0))
    program = (
        "import sys\n"
        "sys.modules['mindspore'] = sys.modules['onnx'] = None\n"
        f"sys.argv = ['predict', {str(image)!r}, '--checkpoint-path', {str(exports / 'tinydarknet.onnx')!r}]\n"
        "from tinydarknet.predict.__main__ import main\n"
        "main()\n"
    )
    result = processes.run([sys.executable, "-c", program])
    assert result.returncode == 0, result.stderr
    assert CLASSES[0].wnid in result.stdout


@pytest.mark.parametrize("suffix", [".onnx", ".mindir"])
def test_damaged_exports_are_told(exports, tmp_path, suffix):
    with pytest.raises(UserError, match="no checkpoint at"):
        open_predictor(tmp_path / f"none{suffix}")
    path, card = tmp_path / f"tinydarknet{suffix}", tmp_path / f"tinydarknet{suffix}.json"
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"has no card .*: copy or rename the card along with the file"):
        open_predictor(path)
    text = (exports / f"tinydarknet{suffix}.json").read_text()
    for damaged in (text[:100], "[]", text.replace('"classes"', '"grades"'), text.replace('"probabilities"', '"sums"')):
        card.write_text(damaged)
        with pytest.raises(UserError, match=r"json is damaged .*export the network again"):
            open_predictor(path)
    card.write_text(text.replace('"version": 1', '"version": 2', 1))
    with pytest.raises(UserError, match="of version 2, this program reads 1"):
        open_predictor(path)
    card.write_text(text)
    with pytest.raises(UserError, match="its SHA-256 differs"):
        open_predictor(path)


def test_files_that_take_no_pixels_and_devices_that_do_not_fit_are_told(exports, fitted, tmp_path):
    export_checkpoint(
        ExportOptions(checkpoint_path=fitted, file_format=("onnx",), out_dir=tmp_path, input="rgb_normalized")
    )
    with pytest.raises(UserError, match="takes no plain pixels"):
        open_predictor(tmp_path / "tinydarknet.onnx")
    with pytest.raises(UserError, match="runs on the CPU, not on Ascend"):
        open_predictor(exports / "tinydarknet.onnx", DeviceConfig("Ascend"))
    with pytest.raises(UserError, match=r"none of \.ckpt"):
        open_predictor(exports / "tinydarknet.onnx.json")


def test_missing_paths_are_told(exports, tmp_path):
    (tmp_path / "empty").mkdir()
    network = exports / "tinydarknet.onnx"
    with pytest.raises(UserError, match="no images in"):
        predict(PredictOptions(images=(tmp_path / "empty",), checkpoint_path=network))
    with pytest.raises(UserError, match="no image at"):
        predict(PredictOptions(images=(tmp_path / "none.jpg",), checkpoint_path=network))
    with pytest.raises(UserError, match="cannot read paths from"):
        predict(PredictOptions(files_from=tmp_path / "none.txt", checkpoint_path=network))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"images": ()}, "at least one file"),
        ({"top": 0}, "top must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"threads": -1}, "threads must be at least 0"),
        ({"sheet": Path("sheet.txt")}, r"must end in \.png"),
        ({"images": (Path("-"),), "files_from": Path("-")}, "standard input is either"),
    ],
)
def test_senseless_options_are_refused(tmp_path, options, rule):
    with pytest.raises(ValueError, match=rule):
        PredictOptions(**{"images": (tmp_path / "x.jpg",), "checkpoint_path": tmp_path / "x.onnx", **options})


def test_restart_markers_change_no_answer(exports, pictures, tmp_path, capsys):
    upright = Image.open(pictures / "turned.jpg")
    for blocks in (0, 1):
        upright.save(tmp_path / f"{blocks}.jpg", quality=95, restart_marker_blocks=blocks)
    assert b"\xff\xdd" in (tmp_path / "1.jpg").read_bytes()
    _, (plain, marked), _ = run(capsys, tmp_path, checkpoint_path=exports / "tinydarknet.onnx")
    assert plain["guesses"] == marked["guesses"]
