"""What goes to Ascend's compiler: AIPP by the network's own constants, the command, and what is said where atc is missing."""

import json
import os
import re
import sys

import numpy as np
import onnxruntime
import pytest
from model_making import SIZE, drawn_pixels, logits_of, softmax

from convert.errors import UserError
from tinydarknet.export.__main__ import export_checkpoint
from tinydarknet.export.options import ExportOptions

STAND_IN = """#!{python}
import sys
options = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
assert open(options["model"], "rb").read() and "aipp_op" in open(options["insert_op_conf"]).read()
if options["soc_version"] == "AscendNone":
    print("ATC start working now, please wait for a moment.")
    print("E10001: [PID: 7] Value [AscendNone] for parameter [soc_version] is invalid.")
    sys.exit("ATC run failed, Please check the detail log")
open(options["output"] + ".om", "w").write(options["input_shape"])
"""
"""Takes atc's arguments as CANN documents them; it is no atc."""


@pytest.fixture
def no_atc(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    program = tmp_path / "bin" / "atc"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def export(checkpoint, out, *formats, **options):
    export_checkpoint(ExportOptions(checkpoint_path=checkpoint, out_dir=out, file_format=formats, **options))


def through_aipp(config, pixels):
    """What AIPP makes of uint8 [B, S, S, 3]: (pixel - mean_chn - min_chn) * var_reci_chn, by CANN's documentation."""
    fields = dict(re.findall(r"(\w+): (\S+)", config))
    assert (fields["input_format"], fields["csc_switch"]) == ("RGB888_U8", "false")
    assert (int(fields["src_image_size_w"]), int(fields["src_image_size_h"])) == (SIZE, SIZE)
    mean, least, factor = (
        np.array([float(fields[f"{name}_{channel}"]) for channel in range(3)])
        for name in ("mean_chn", "min_chn", "var_reci_chn")
    )
    return ((pixels - mean - least) * factor).transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize("formats", [("om",), ("air",), ("onnx", "air", "om")])
def test_elsewhere_the_rest_is_written_and_the_command_named(fitted, tmp_path, no_atc, formats):
    out = tmp_path / "out"
    with pytest.raises(UserError, match="where CANN is installed, make an OM file by") as error:
        export(fitted, out, *formats, batch=4, soc_version="Ascend310")
    for name, sentence in (("air", "AIR is not written"), ("om", "with CANN's compiler atc")):
        assert (sentence in str(error.value)) == (name in formats)
    command = str(error.value).splitlines()[-1]
    assert command == (
        f"atc --framework=5 --model={out}/tinydarknet.atc.onnx --output={out}/tinydarknet --soc_version=Ascend310 "
        f"--input_format=NCHW --input_shape=image:4,3,{SIZE},{SIZE} --insert_op_conf={out}/tinydarknet.aipp.cfg"
    )
    assert (out / "tinydarknet.atc.onnx").is_file()
    assert (out / "tinydarknet.onnx").is_file() == ("onnx" in formats)


def test_aipp_and_its_network_are_the_network_with_its_normalisation(fitted, tmp_path, no_atc):
    with pytest.raises(UserError, match="make an OM file"):
        export(fitted, tmp_path, "om")
    pixels = drawn_pixels(6)
    normalized = through_aipp((tmp_path / "tinydarknet.aipp.cfg").read_text(), pixels.transpose(0, 2, 3, 1))
    session = onnxruntime.InferenceSession(str(tmp_path / "tinydarknet.atc.onnx"))
    (answers,) = session.run(["probabilities"], {"image": normalized})
    np.testing.assert_allclose(answers, softmax(logits_of(fitted, pixels)), atol=1e-5)


def test_om_is_compiled_where_there_is_an_atc(fitted, tmp_path, stand_in):
    export(fitted, tmp_path / "out", "om")
    assert (tmp_path / "out" / "tinydarknet.om").read_text() == f"image:-1,3,{SIZE},{SIZE}"
    card = json.loads((tmp_path / "out" / "tinydarknet.om.json").read_text())
    assert (card["format"], card["comparison"], card["inputs"][0]["dtype"]) == ("om", None, "uint8")


def test_a_failing_atc_is_told(fitted, tmp_path, stand_in):
    with pytest.raises(UserError, match=r"atc failed with status 1: E10001: .* \[soc_version\] is invalid"):
        export(fitted, tmp_path / "out", "om", soc_version="AscendNone")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_card_that_is_present_is_compiled_for(fitted, tmp_path, no_atc, monkeypatch):
    program = tmp_path / "npu-smi"
    program.write_text(
        "#!/bin/sh\necho '| 0     910B3               | OK            | 91.3 |'\necho '| 0  | 0000:C1:00.0  | 0 |'\n"
    )
    program.chmod(0o755)
    with pytest.raises(UserError, match="--soc_version=Ascend910B3 "):
        export(fitted, tmp_path / "out", "om")
    program.write_text(program.read_text().replace("910B3", "Ascend910"))
    with pytest.raises(UserError, match="names no processor to compile for"):
        export(fitted, tmp_path / "other", "om")


def test_files_are_compared_on_the_cpu_though_there_is_a_card(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr("tinydarknet.device._has_ascend", lambda: True)
    export(fitted, tmp_path / "out", "onnx")
    assert (tmp_path / "out" / "tinydarknet.onnx").is_file()
