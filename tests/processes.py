"""Programs that tests start: watched by a timer, and gone with all that they started when the test goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300.0
"""Much longer than anything takes; ends what hangs."""
SHOWN = 4000
_MARK = "TINYDARKNET_TEST_PROGRAM"


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


class Program:
    """A running program; `running` makes it."""

    def __init__(self, process: subprocess.Popen[str], mark: str, errors: IO[str], timeout_s: float) -> None:
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
        return [process for process in living() if self._mark in _environment(process.pid)]

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
    command: Sequence[object], cwd: Path | None = None, timeout_s: float = TIMEOUT_S, **variables: str
) -> Iterator[Program]:
    """Start a program with this repository on its path; when the block ends, so does its whole family."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables, _MARK: mark}
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            list(map(str, command)), cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
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
    command: Sequence[object], cwd: Path | None = None, timeout_s: float = TIMEOUT_S, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as `running` starts it."""
    with running(command, cwd, timeout_s, **variables) as program:
        return program.finish()
