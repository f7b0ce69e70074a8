"""The commands on images that do not decode: one sentence, whichever feed meets them."""

import shutil

import pytest
from train_making import run_module

from convert.dataset import Dataset
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")

ROW = 4


def broken(kind, payload):
    """Of the same length: nothing left of the file, or a header that promises 65,500x65,500 pixels, or only its head."""
    if kind == "zeros":
        return bytes(len(payload))
    if kind == "cut":
        return payload[: len(payload) // 2] + bytes(len(payload) - len(payload) // 2)
    place = payload.index(b"\xff\xc0")
    return payload[: place + 5] + (65_500).to_bytes(2, "big") * 2 + payload[place + 9 :]


def damaged_copy(dataset, folder, kind):
    directory = shutil.copytree(dataset, folder / "damaged")
    records = Dataset(dataset)
    with (directory / records.manifest.shards[records._shards[ROW]].name).open("r+b") as stream:
        stream.seek(int(records._offsets[ROW]))
        stream.write(broken(kind, records.payload(ROW).tobytes()))
    return directory


def one_sentence(result):
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("feed", ["host", "reference"])
@pytest.mark.parametrize("kind", ["zeros", "giant"])
def test_evaluation_names_the_image(original_data, finished_run, tmp_path, feed, kind):
    directory = damaged_copy(original_data, tmp_path, kind)
    result = run_module(
        "tinydarknet.evaluate", "--val-data-path", directory, "--checkpoint-path", RunFolder(finished_run).best,
        "--device-target", "CPU", "--feed", feed, cwd=tmp_path,
    )  # fmt: skip
    assert f"row {ROW} (n" in (sentence := one_sentence(result))
    assert "does not decode" in sentence


def test_evaluation_by_absent_hardware_is_refused(original_data, finished_run, tmp_path):
    result = run_module(
        "tinydarknet.evaluate", "--val-data-path", original_data, "--checkpoint-path", RunFolder(finished_run).best,
        "--device-target", "CPU", "--feed", "dvpp", cwd=tmp_path,
    )  # fmt: skip
    assert "take the feed host" in one_sentence(result)


def test_prediction_names_every_image(images, finished_run, tmp_path):
    sound = next(images.rglob("*.JPEG"))
    files = [tmp_path / f"{kind}.JPEG" for kind in ("zeros", "cut", "giant")]
    for file in files:
        file.write_bytes(broken(file.stem, sound.read_bytes()))
    (tmp_path / "empty.JPEG").touch()
    result = run_module(
        "tinydarknet.predict", *files, tmp_path / "empty.JPEG", sound, "--checkpoint-path", RunFolder(finished_run).best,
        "--device-target", "CPU", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in told] == [str(file) for file in [*files, tmp_path / "empty.JPEG"]]
    assert str(sound) in result.stdout
