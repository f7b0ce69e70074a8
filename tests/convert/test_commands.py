"""The command line: help, refusals, exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import processes
import pytest

from convert import cli
from convert.errors import BadValueError, UserError

ROOT = processes.ROOT


def convert(*arguments, cwd):
    return processes.run([sys.executable, "-m", "convert", *arguments], cwd, libraries=processes.LIGHT)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "a", "b", "--bogus"],
        ["run", "a", "b", "--short-side", "1"],
        ["run", "a", "b", "--encoding", "gif"],
        ["run", "a", "b", "--executor", "slurm"],
        ["run", "a", "b", "--executor", "dask://"],
        ["run", "a", "b", "--executor", "dask://host"],
        ["sample", "a", "--classes", "0"],
        ["verify", "a", "--workers", "0"],
        ["dance"],
    ],
)
def test_bad_options_exit_with_2(arguments, tmp_path):
    result = convert(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.parametrize("arguments", [["run", "nowhere", "out"], ["verify", "nowhere"], ["inspect", "nowhere"]])
def test_what_is_missing_exits_with_1_and_one_sentence(arguments, tmp_path):
    result = convert(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_nobody_reads_any_more_is_no_error(lines):
    """As with `| head -1`; a few lines are still buffered when the command ends, many meet the closed pipe before."""
    program = (
        "from dataclasses import dataclass\n"
        "from convert.cli import Command, main_single\n"
        "@dataclass(frozen=True)\n"
        "class Options: pass\n"
        f"main_single('talk', Command(Options, lambda options: [print('line') for _ in range({lines})] and 0), [])\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    talk = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writing)
    assert (talk.returncode, talk.stderr) == (141, "")


TALK = (
    "from dataclasses import dataclass\n"
    "import os, pathlib, subprocess, sys\n"
    "from convert.cli import Command, main_single\n"
    "@dataclass(frozen=True)\n"
    "class Options: pass\n"
    "def talk(options):\n"
    "    with open('data', 'w') as data:\n"
    "        subprocess.run(['sh', '-c', 'echo to descriptor 1; echo to descriptor 2 >&2'])\n"
    "        print('line')\n"
    "        print('line', file=sys.stderr)\n"
    "        data.write('whole')\n"
    "main_single('talk', Command(Options, talk), [])\n"
)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_no_file_takes_their_place(tmp_path, closed):
    (tmp_path / "talk.py").write_text(TALK)
    talk = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} talk.py {closed}"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert talk.returncode == 0, talk.stderr
    assert (tmp_path / "data").read_text() == "whole"


@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_cannot_be_written_is_told_in_one_sentence(tmp_path, buffered):
    (tmp_path / "talk.py").write_text(TALK)
    with Path("/dev/full").open("w") as full:
        talk = subprocess.run(
            [sys.executable, *([] if buffered else ["-u"]), "talk.py"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        )
    assert talk.returncode == 1
    assert "Traceback" not in talk.stderr
    assert talk.stderr.splitlines()[-1].startswith("error: cannot write the output (No space left on device)")


def test_another_broken_pipe_is_told():
    def action(options):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        cli.main_single("talk", cli.Command(Quiet, action), [])


def test_a_command_names_its_own_options_behind_the_librarys_sentence(capsys):
    """The error knows parameters only: those that are options of this command are named."""

    def refuse(options: Sizes):
        if options.image_size % 2:
            raise BadValueError("image_size", "must be even", options.image_size)
        raise UserError("no room for that", "batch_size", "image_size", "threads")

    for words, expected in (
        (["--image-size", "223"], "error: image_size must be even, got 223 (see --image-size)\n"),
        ([], "error: no room for that (see --batch-size, --image-size)\n"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main_single("sizes", cli.Command(Sizes, refuse), words)
        assert (ended.value.code, capsys.readouterr().err) == (cli.EXIT_USER_ERROR, expected)


@dataclass(frozen=True)
class Sizes:
    """Two sizes."""

    image_size: int = 224
    """Pixels."""
    batch_size: int = 128
    """Images."""


@dataclass(frozen=True)
class Quiet:
    """No options."""
