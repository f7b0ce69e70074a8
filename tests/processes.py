"""Programs that tests start: watched by a timer, and gone with all that they started when the test goes on.

Python commands are forked from a server that has imported the heavy libraries (command_server.py), unless `fresh`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from tinydarknet.model import architecture

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300.0
"""Much longer than anything takes; ends what hangs."""
SHOWN = 4000
LIBRARIES = ("mindspore.mindrecord", "cv2", "numba", "pyarrow.parquet", "PIL.Image", "simplejpeg", "tyro")
"""What the server imports, if a test does not say otherwise."""
LIGHT = ("numpy", "tyro")
"""Less, for tests of what a command loads; quickly at hand."""
ROOM = " " * 32768
"""For the environments of its commands (command_server.publish)."""
_MARK = "TINYDARKNET_TEST_PROGRAM"


def shorten_network(patch: pytest.MonkeyPatch) -> None:
    """Until `patch` is undone Tiny-DarkNet has 4 layers, in this process and in those that it starts."""
    folder = Path(__file__).with_name("short_network")
    patch.setattr(architecture, "LAYERS", architecture.LAYERS)  # what is set back at the end
    patch.setenv("PYTHONPATH", str(folder))
    runpy.run_path(str(folder / "sitecustomize.py"))


class Living(NamedTuple):
    """A process that runs; one that is dead and has not been waited for is none."""

    pid: int
    parent: int
    group: int


def living() -> Iterator[Living]:
    """All processes of this machine (or container) that are not dead."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended while we looked
                # the command in parentheses, then state, parent, group, ... (proc(5))
                state, parent, group, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                if state not in "ZX":
                    yield Living(int(entry.name), int(parent), int(group))


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 120) -> None:
    """Look again and again; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s still not: {what}"
        time.sleep(0.005)


class _Server:
    """A command_server.py, from its first use until this process ends."""

    def __init__(self, libraries: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._ended: dict[int, int] = {}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(ROOT / "tests" / "command_server.py"), str(theirs.fileno()), *libraries]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": str(ROOT), "ROOM": ROOM}, start_new_session=True,
            )  # fmt: skip
        atexit.register(self._end, process)

    def _end(self, process: subprocess.Popen) -> None:
        self._socket.close()
        process.wait()

    def start(self, request: dict, descriptors: Sequence[int]) -> int:
        """The process number of a command that writes to these two descriptors."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(descriptors))
            while "status" in (answer := self._receive()):
                pass
            return answer["pid"]

    def status(self, pid: int, *, wait: bool) -> int | None:
        """How the command ended; None while it runs, if not to be waited for."""
        while True:
            with self._lock:
                self._socket.settimeout(0.1 if wait else 0)
                try:
                    while pid not in self._ended:
                        self._receive()
                    return self._ended[pid]
                except (BlockingIOError, TimeoutError):
                    if not wait:
                        return None
                finally:
                    self._socket.settimeout(None)

    def _receive(self) -> dict:
        answer = json.loads(self._socket.recv(1 << 10) or '{"pid": 0}')
        assert answer["pid"], "the server of commands has ended"
        if "status" in answer:
            self._ended[answer["pid"]] = answer["status"]
        return answer


_server = functools.cache(_Server)


class Forked:
    """A command of the server, as far as subprocess.Popen has it."""

    def __init__(
        self, command: list[str], cwd: Path | None, environment: dict[str, str], errors: int, libraries
    ) -> None:
        self.args = command
        self._server = _server(libraries)
        reading, writing = os.pipe()
        request = {"arguments": command[1:], "cwd": str(Path(cwd or ".").resolve()), "environment": environment}
        self.pid = self._server.start(request, [writing, errors])
        os.close(writing)
        self.stdout = open(reading, errors="replace")  # noqa: PTH123, SIM115 - a descriptor, closed by `running`

    def poll(self) -> int | None:
        return self._server.status(self.pid, wait=False)

    def wait(self) -> int:
        status = self._server.status(self.pid, wait=True)
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Program:
    """A running program; `running` makes it."""

    def __init__(self, process: subprocess.Popen[str] | Forked, mark: str, errors: IO[str], timeout_s: float) -> None:
        self.process = process
        self._mark = f"{_MARK}={mark}".encode()
        self._errors = errors
        self._output = ""
        self._timeout_s = timeout_s
        self._timed_out = False
        self._timer = threading.Timer(timeout_s, self._too_long)
        self._timer.daemon = True
        self._timer.start()

    def wait_for(self, beginning: str) -> None:
        """Read its output until a line begins so; fails when it ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._output += line
            if line.startswith(beginning):
                return
        done = self.finish()
        raise AssertionError(f"no line began with {beginning!r}: {done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}")

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; fails when the timer had to end it."""
        assert self.process.stdout is not None
        self._output += self.process.stdout.read()
        status = self.process.wait()
        self._errors.seek(0)
        errors = self._errors.read()
        assert not self._timed_out, (
            f"not done after {self._timeout_s:.0f} s: {self._output[-SHOWN:]}\n{errors[-SHOWN:]}"
        )
        return subprocess.CompletedProcess(self.process.args, status, self._output, errors)

    def family(self) -> list[Living]:
        """The program and all that it started, whatever their session or parent is by now, as far as they live."""
        return [
            process
            for process in living()
            if process.group == self.process.pid or self._mark in _environment(process.pid)
        ]

    def end(self) -> None:
        """Kill the family."""
        self._timer.cancel()
        with suppress(ProcessLookupError):
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        wait_until(lambda: not self._killed(), f"the processes of {self.process.args} are gone")

    def _killed(self) -> list[Living]:
        """Whom it has just killed; they may have started others before."""
        family = self.family()
        for process in family:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        return family

    def _too_long(self) -> None:
        self._timed_out = self.process.poll() is None
        self.end()


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@contextmanager
def running(
    command: Sequence[object],
    cwd: Path | None = None,
    timeout_s: float = TIMEOUT_S,
    *,
    fresh: bool = False,
    libraries: Sequence[str] = LIBRARIES,
    **variables: str,
) -> Iterator[Program]:
    """Start a program with this repository on its path; when the block ends, so does its whole family."""
    mark = uuid.uuid4().hex
    words = list(map(str, command))
    folders = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": folders, **variables, _MARK: mark}
    forked = not fresh and words[0] == sys.executable and (words[1] == "-m" or words[1].endswith(".py"))
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        if forked:
            process = Forked(words, cwd, environment, errors.fileno(), tuple(libraries))
        else:
            process = subprocess.Popen(
                words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
                errors="replace", start_new_session=True,
            )  # fmt: skip
        program = Program(process, mark, errors, timeout_s)
        try:
            yield program
        finally:
            program.end()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def run(
    command: Sequence[object], cwd: Path | None = None, timeout_s: float = TIMEOUT_S, **options
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as `running` starts it."""
    with running(command, cwd, timeout_s, **options) as program:
        return program.finish()
