"""The acceptance run through its command: on a machine without a card, and on one that pretends to have some."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import processes
import pytest

from tinydarknet.ascend_check import __main__ as command
from tinydarknet.ascend_check.__main__ import EXIT_NO_CARD, AscendCheckOptions, check
from tinydarknet.ascend_check.findings import CheckError
from tinydarknet.ascend_check.software import CANN_PACKAGES, Machine, markdown, problems
from tinydarknet.ascend_check.trials import TRIALS, memory_growth
from tinydarknet.ascend_check.workplace import Workplace

FITS = Machine("2.8.0", "8.5.0", "25.5.2", "3.11.7", ())


@pytest.fixture(scope="module")
def without_card(tmp_path_factory):
    """The command's answer with one check that needs a card and one that needs none, and where its findings are."""
    folder = tmp_path_factory.mktemp("check")
    words = ["-m", "tinydarknet.ascend_check", "--out", folder / "out", "--checks", 2, 3]
    return processes.run([sys.executable, *map(str, words)], folder), folder / "out"


def test_without_a_card_the_rest_is_run_and_the_status_says_so(without_card):
    done, out = without_card
    assert done.returncode == EXIT_NO_CARD == 77, done.stderr
    one, two, last = done.stdout.splitlines()
    assert re.fullmatch(r" 2 not run a product on each card \(0 s\): no card", one)
    assert re.fullmatch(
        r" 3 passed  the network's cells \(\d+ s\): float32 within [\d.e-]+, float16 within [\d.e-]+", two
    )
    assert last == f"all of it: {out / 'findings.html'}"


def test_the_findings_can_be_attached(without_card):
    _, out = without_card
    record = json.loads((out / "findings.json").read_text())
    assert record["environment"]["cards"] == "none"
    assert [(entry["number"], entry["outcome"]) for entry in record["checks"]] == [(2, "not run"), (3, "passed")]
    page = (out / "findings.html").read_text()
    assert "float32 (HF32 off) within 1e-4" in page
    assert "no card" in page


def test_the_first_failure_ends_it_with_what_to_do(tmp_path, monkeypatch, capsys):
    def fails(_place):
        raise CheckError("the <scale> stayed", "take --amp-dtype bfloat16")

    failing = tuple(dataclasses.replace(trial, run=fails) for trial in TRIALS)
    monkeypatch.setattr("tinydarknet.ascend_check.trials.TRIALS", failing)
    assert check(AscendCheckOptions(out=tmp_path / "out", checks=(1, 6, 7))) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in lines] == [" 1 not run", " 6 failed ", "all of it:"]
    assert lines[1].endswith("the <scale> stayed: take --amp-dtype bfloat16")
    assert "the &lt;scale&gt; stayed" in (tmp_path / "out" / "findings.html").read_text()
    assert check(AscendCheckOptions(out=tmp_path / "out", checks=(6, 7), keep_going=True)) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_machine_with_cards_is_compared_with_the_table(tmp_path, monkeypatch, capsys):
    """A driver and npu-smi of our own making, and no CANN."""
    (tmp_path / "davinci_manager").touch()
    program = tmp_path / "npu-smi"
    program.write_text(
        "#!/bin/sh\necho '| 0     910B3     | OK            | 91.3 |'\necho '| 0  | 0000:C1:00.0  | 0 |'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    monkeypatch.setattr("tinydarknet.ascend.DRIVER", tmp_path / "davinci_manager")
    assert check(AscendCheckOptions(out=tmp_path / "out", checks=(1,))) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert "no CANN is found: install it and source its set_env.sh" in line
    assert "te (No module named 'te')" in line


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cann": "9.0.0", "driver": "26.0.rc1"}, "MindSpore 2.8.0 is meant for CANN 8.2 or 8.3 or 8.5, this is 9.0.0"),
        ({"driver": "24.1.rc3"}, "CANN 8.5.0 is meant for the driver 25.0 or 25.2 or 25.3 or 25.5, this is 24.1.rc3"),
        ({"cann": "8.3.RC1", "driver": "25.3.rc1", "python": "3.12.4"}, "CANN 8.3.RC1 is meant for Python up to 3.11"),
        ({"driver": ""}, "no driver is found in /usr/local/Ascend/driver"),
        ({"failed_imports": ("sympy (No module named 'sympy')",)}, r"pip install 'tinydarknet[ascend]'"),
    ],
)
def test_what_does_not_belong_together_is_named(change, sentence):
    assert problems(FITS) == []
    (found,) = problems(Machine(**{**vars(FITS), **change}))
    assert sentence in found


def test_the_extra_installs_what_the_check_imports():
    project = (processes.ROOT / "pyproject.toml").read_text()
    (extra,) = re.findall(r"^ascend = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r'"([\w-]+)', extra)) == set(CANN_PACKAGES)


def test_the_document_has_the_table():
    assert markdown() in (processes.ROOT / "docs" / "operations.md").read_text()


def test_every_check_is_in_the_order_of_the_numbers(tmp_path):
    assert len(TRIALS) == 16
    with pytest.raises(ValueError, match="from 1 to 16"):
        AscendCheckOptions(checks=(17,))
    assert Workplace(tmp_path, ()).target == "CPU"
    assert command.EXIT_NO_CARD == EXIT_NO_CARD


def test_memory_that_grows_is_told():
    assert memory_growth([0] * 3).startswith("too short")
    assert memory_growth([10**9] * 20) == "memory 1,000 MB in the second epoch's first half, 1,000 MB in its second"
    with pytest.raises(CheckError, match=r"times the memory .*: 1\.\d+, at most 1\.05 is accepted"):
        memory_growth([10**9 + 10**7 * number for number in range(20)])


@pytest.mark.slow
def test_everything_that_needs_no_card_passes(tmp_path):
    done = processes.run(
        [sys.executable, "-m", "tinydarknet.ascend_check", "--out", tmp_path / "out", "--keep-going"],
        tmp_path,
        timeout_s=900,
    )
    assert done.returncode == EXIT_NO_CARD, done.stdout + done.stderr
    checks = json.loads((tmp_path / "out" / "findings.json").read_text())["checks"]
    assert [entry["number"] for entry in checks if entry["outcome"] == "passed"] == [3, 6, 7, 8, 9, 11, 14, 15, 16]
    assert Path(tmp_path / "out" / "findings.html").is_file()
