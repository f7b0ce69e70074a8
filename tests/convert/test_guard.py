"""Everything a command does is guarded: its start, its help, its output, where it runs, and whose names it prints."""

from __future__ import annotations

import ast
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convert.durable_files import file_name_of, require_utf8
from convert.errors import UserError
from convert.processors import require_shared_memory
from convert.signals import stopping

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = (
    "import os\n"
    "from dataclasses import dataclass\n"
    "from convert.cli import Command, main_single\n"
    "@dataclass(frozen=True)\n"
    "class Options:\n"
    "    '''Some.'''\n"
    "    share: float = 1.0\n"
    "    '''Of all.'''\n"
)


def program(action: str, *arguments: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A command whose action is the expression `action`, started in a shell that does `shell` before."""
    text = f"{PREAMBLE}main_single('some', Command(Options, lambda options: {action}), {list(arguments)!r})\n"
    command = ["sh", "-c", f'{shell} exec "$0" -c "$1" {variables.pop("streams", "")}', sys.executable, text]
    return subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT), **variables}, check=False
    )


def test_help_may_be_cut_short_or_meet_a_full_disk():
    full = program("0", "--help", streams="> /dev/full")
    assert full.returncode == 1
    assert full.stderr.startswith(b"error: cannot write the output (No space left on device)")
    reading, writing = os.pipe()
    os.close(reading)
    text = f"{PREAMBLE}main_single('some', Command(Options, lambda options: 0), ['--help'])\n"
    cut = subprocess.run([sys.executable, "-c", text], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (cut.returncode, cut.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("module", ["convert", "tinydarknet.train", "tinydarknet.predict"])
def test_ctrl_c_while_the_libraries_load_is_told_in_one_word(module):
    held = (
        "import builtins, os, runpy, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "load = builtins.__import__\n"
        "def interrupted(name, *more, **named):\n"
        "    if name.startswith('convert.') and name != 'convert.signals': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return load(name, *more, **named)\n"
        "builtins.__import__ = interrupted\n"
        f"runpy.run_module({module!r} + '.__main__', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", held], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_the_guard_is_the_first_thing_that_every_command_does():
    guard = "if __name__ == '__main__':\n    from convert.signals import guard_start\n    guard_start()"
    rooms = ("convert", "tinydarknet", "benchmarks", "scripts")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    commands = [path for path in files if '__name__ == "__main__"' in path.read_text()]
    inner = ("peer_loaders", "ascend_check/probe.py")  # other commands start these
    commands = [path for path in commands if not any(name in path.as_posix() for name in inner)]
    assert len(commands) > 20
    for path in commands:
        first = ast.parse(path.read_text()).body[2]  # behind the docstring and __future__
        assert ast.unparse(first) == guard, path


def test_too_few_open_files_are_told():
    done = program("[os.pipe() for _ in range(20)] and None", shell="ulimit -n 24;")
    assert (done.returncode, b"raise the limit (ulimit -n 1024)" in done.stderr) == (1, True), done.stderr


def test_a_working_folder_that_is_gone_is_told(tmp_path):
    done = program("0", shell=f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone &&")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"error: the working folder does not exist any more")


@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
def test_numbers_that_are_none_are_refused(number):
    done = program("0", f"--share={number}")
    assert (done.returncode, b"share must be a finite number" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("'\\x1b[31mred'", "utf-8", b"\\x1b[31mred"),
        ("'a\\x9bb\\x7f\\u202e'", "utf-8", b"a\\x9bb\\x7f\\u202e"),
        ("'s\\xfc\\u65e5'", "ascii", b"s\\xfc\\u65e5"),
        ("'s\\udcff'", "utf-8", b"s\\udcff"),
        ("'s\\xfc\\t'", "utf-8", "sü\t".encode()),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_names_are_escaped_where_they_cannot_be_shown(text, encoding, shown, stream):
    done = program(f"print({text}, file=__import__('sys').{stream})", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert getattr(done, stream) == shown + b"\n"


def test_a_folder_whose_name_is_not_utf8_is_told():
    with pytest.raises(UserError, match="is not UTF-8: rename it"):
        require_utf8(Path("o\udcff"))


def test_no_shared_memory_is_told():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # of files there, too, in which locks are kept
    try:
        with pytest.raises(UserError, match=r"cannot share locks \(File too large\): /dev/shm is needed"):
            require_shared_memory()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_announces_an_end_stops_unless_it_was_to_be_ignored():
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU} <= set(stopping())
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stopping()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_file_names_are_one_to_one_and_short():
    keys = [
        "cat/a.jpg",
        "cat/a__b.jpg",
        "cat__a/b.jpg",
        "cat_/a.jpg",
        "cat/_a.jpg",
        f"cat/{'ü' * 120}.jpg",
        "cat/a\n.jpg",
    ]
    names = [file_name_of(key) for key in [*keys, f"cat/{'ü' * 121}.jpg"]]
    assert len(set(names)) == len(names)
    assert all(len(name.encode()) < 220 and name.isprintable() and "/" not in name for name in names)
    assert names[0] == "cat__a.jpg"
    assert all(name.endswith(".jpg") for name in names)
