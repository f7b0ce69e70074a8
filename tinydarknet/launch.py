"""Trains or evaluates on several ranks: `python -m tinydarknet.launch --ranks 8 -- --data-path DIR ...`; a watchful msrun.

msrun starts the ranks. This adds what it leaves undone: it stays in the foreground and shows the first rank's output,
passes SIGTERM on so that every rank saves, does not wait a minute for the scheduler of a run that is dead,
and returns the status of the rank that failed, with its last lines. A host that cannot be reached is told at once,
before the ranks wait for it. Linux only, like msrun.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import psutil

from convert.cli import EXIT_USER_ERROR, Command, main_single
from convert.errors import UserError, require_at_least
from convert.signals import handled, stopping
from tinydarknet.device import EXIT_TERMINATED, LOCAL_RANKS_VARIABLE, LOST_CONNECTION
from tinydarknet.hosts import check_hosts

LAST_LINES = 15
SAVING_SECONDS = 60
"""What ranks whose msrun was killed get to save in."""
SCHEDULER_ROLE = "MS_SCHED"
WORKER_ROLE = "MS_WORKER"
RANK_VARIABLE = "RANK_ID"
LAUNCHER_VARIABLE = "TINYDARKNET_LAUNCHER"
"""The launcher's process number, in the environment of everything that it starts."""

_FAILURE = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")
_MSRUN_VERDICT = re.compile(r"^RuntimeError: Distributed job exited with exception")
_MINDSPORE_LOG = re.compile(r"^\[(INFO|WARNING|ERROR)\] ")


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """Start training on several ranks through msrun; what follows -- are the options of tinydarknet.train."""

    program: Literal["train", "evaluate"] = "train"
    """What the ranks run: what follows -- are the options of tinydarknet.train or of tinydarknet.evaluate."""
    ranks: int = 8
    """Processes on all hosts together, one per device."""
    nodes: int = 1
    """Hosts."""
    node_rank: int = 0
    """Which of the hosts this is, from 0."""
    master_addr: str = "127.0.0.1"
    """Address of host 0."""
    hosts: tuple[str, ...] = ()
    """Addresses of all hosts, if known: each that is not this one must answer before the ranks are started."""
    master_port: int = 8118
    """A free TCP port on host 0."""
    log_dir: Path | None = None
    """Each rank's output; by default a new folder train_parallel-<time> or evaluate_parallel-<time>."""
    timeout_seconds: int = 300
    """How long the ranks wait for each other at the start."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "ranks", "nodes", "timeout_seconds")
        if self.ranks % self.nodes:
            raise ValueError(f"ranks must be a multiple of nodes, got {self.ranks} and {self.nodes}")
        if not 0 <= self.node_rank < self.nodes:
            raise ValueError(f"node_rank must be in [0, nodes), got {self.node_rank}")
        if not 0 < self.master_port < 2**16:
            raise ValueError(f"master_port must be in [1, 65535], got {self.master_port}")


def launch(options: LaunchOptions, program_arguments: list[str], script: Path | None = None) -> int:
    """Run the ranks to their end; returns 0, or the status of the rank that failed first.

    The ranks run `script` where it is given, `options.program` where not.

    Raises:
        UserError: msrun is not installed beside this Python, a host cannot be reached, or the folder for the ranks' output
            cannot be made.
    """
    binaries = Path(sys.executable).parent
    msrun = binaries / "msrun"
    if not msrun.is_file():
        raise UserError(f"no msrun in {binaries}: install MindSpore into this Python's environment")
    check_hosts(options.master_addr, options.hosts, options.master_port, options.nodes, options.node_rank)
    log_dir = options.log_dir or Path(f"{options.program}_parallel-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {log_dir} ({error.strerror}): choose another --log-dir") from error
    # a module, not the file of it, whose folder would stand before all others where Python looks for modules
    program = [str(script)] if script else ["python", "-m", f"tinydarknet.{options.program}"]
    relay = _StopRelay()
    with handled(stopping(), relay.stop):
        print(f"{options.ranks} ranks, output in {log_dir}", flush=True)
        process = subprocess.Popen(
            [str(msrun), *_msrun_arguments(options, log_dir), *program, *program_arguments],
            env=_ranks_environment(options, binaries),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl+C reaches the ranks through us, once
        )
        relay.connect(process)
        ending = threading.Thread(target=_end_with, args=(process,), daemon=True)
        ending.start()
        failed = _follow(process, options.ranks // options.nodes, relay)
        ending.join()
        status = process.wait()
    if failed is None:
        return _status_without_ranks(status, stopped=relay.stop_requested)
    rank, code = failed
    _show_last_lines(
        log_dir, rank, code, stopped=code == EXIT_TERMINATED or (relay.stop_requested and code == -signal.SIGTERM)
    )
    return code if code > 0 else 128 - code


def _msrun_arguments(options: LaunchOptions, log_dir: Path) -> list[str]:
    return [
        f"--worker_num={options.ranks}",
        f"--local_worker_num={options.ranks // options.nodes}",
        f"--node_rank={options.node_rank}",
        f"--master_addr={options.master_addr}",
        f"--master_port={options.master_port}",
        f"--cluster_time_out={options.timeout_seconds}",
        f"--log_dir={log_dir}",
        "--tail_worker_log=0",
        "--join=True",
    ]


def _ranks_environment(options: LaunchOptions, binaries: Path) -> dict[str, str]:
    # msrun starts "python" from PATH, which must find the package
    root = Path(__file__).parent.parent
    return {
        **os.environ,
        LAUNCHER_VARIABLE: str(os.getpid()),
        LOCAL_RANKS_VARIABLE: str(options.ranks // options.nodes),
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }


class _StopRelay:
    """Passes SIGTERM, Ctrl+C and the end of our terminal on to the ranks as SIGTERM, however early they come."""

    def __init__(self) -> None:
        self.stop_requested = False
        self._msrun: int | None = None

    def connect(self, msrun: subprocess.Popen[str]) -> None:
        """From now on there is somebody to pass it on to; what came before is passed on at once."""
        self._msrun = msrun.pid
        if self.stop_requested:
            self.stop()

    def stop(self, *_: object) -> None:
        """Tell the ranks to save and to stop; where there is none yet, end what would start them."""
        self.stop_requested = True
        if self._msrun is not None and not _signal_role(self._msrun, WORKER_ROLE, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.killpg(self._msrun, signal.SIGTERM)


def _end_with(msrun: subprocess.Popen[str]) -> None:
    """Once msrun is gone, end what it has left behind if it was killed: ranks, which may save, and the others."""
    msrun.wait()
    for number, spared in ((signal.SIGTERM, SCHEDULER_ROLE), (signal.SIGKILL, None)):
        end = time.monotonic() + SAVING_SECONDS
        signalled: set[int] = set()
        while left := {pid for pid, role in marked_processes(os.getpid()).items() if role != spared}:
            for pid in left - signalled:
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(pid, number)
            signalled |= left
            if time.monotonic() > end:
                break
            time.sleep(0.1)


def _status_without_ranks(status: int, *, stopped: bool) -> int:
    """The launcher's own status where msrun ended with `status` and no rank had failed."""
    if status < 0 and stopped:
        print("stopped: before any rank had started", file=sys.stderr)
        return 128 + signal.SIGTERM
    if status < 0:
        print(f"error: msrun was ended by {signal.Signals(-status).name}, and its ranks with it", file=sys.stderr)
        return 128 - status
    return EXIT_USER_ERROR if status else 0


def _follow(process: subprocess.Popen[str], workers: int, relay: _StopRelay) -> tuple[int | None, int] | None:
    """Show msrun's output until it ends; the first failed rank (None if unknown) and its exit code."""
    ranks: dict[int, int] = {}
    failed: tuple[int | None, int] | None = None
    in_traceback = False  # msrun's own, about the rank whose last lines follow
    if process.stdout is None:
        raise ValueError("msrun's output must be a pipe, got None")
    for line in process.stdout:
        if len(ranks) < workers:
            found = _children(process.pid, WORKER_ROLE)
            ranks |= {pid: int(variables[RANK_VARIABLE]) for pid, variables in found if RANK_VARIABLE in variables}
        match = _FAILURE.search(line)
        if match and failed is None:
            failed = ranks.get(int(match[1])), int(match[2])
            # msrun has ended the other ranks, and would now wait for the scheduler's own timeout
            _signal_role(process.pid, SCHEDULER_ROLE, signal.SIGKILL)
        in_traceback = failed is not None and (line.startswith("Traceback ") or (in_traceback and line[:1].isspace()))
        if not (in_traceback or _MINDSPORE_LOG.match(line) or _MSRUN_VERDICT.match(line)):
            try:
                print(line, end="", flush=True)
            except OSError:  # nobody reads any longer, a pipe or the terminal has been closed
                sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
                relay.stop()
    return failed


def _show_last_lines(log_dir: Path, rank: int | None, code: int, *, stopped: bool) -> None:
    name = "a rank" if rank is None else f"rank {rank}"
    print(f"{'stopped' if stopped else 'error'}: {name} ended with status {code}", file=sys.stderr)
    log = log_dir / f"worker_{rank}.log"
    if not log.is_file():
        return
    text = log.read_text(errors="replace")
    if not stopped and LOST_CONNECTION.search(text):
        print(
            f"error: it lost its connection to the other ranks: see whether all hosts are up and reach each other, then "
            f"start again with --resume (its log: {log})",
            file=sys.stderr,
        )
    else:
        lines = [line for line in text.splitlines() if not _MINDSPORE_LOG.match(line)]
        print(f"the last lines of {log}:", *lines[-LAST_LINES:], sep="\n", file=sys.stderr)


def _signal_role(parent: int, role: str, number: signal.Signals) -> int:
    """Signal the children of `parent` in that role; returns how many there were."""
    found = [pid for pid, _ in _children(parent, role)]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, number)
    return len(found)


def _children(parent: int, role: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The process numbers and environments of a process's children whose MS_ROLE is `role`."""
    for process, environment in _processes():
        of_msrun = environment.get("MS_ROLE") == role and process.info["ppid"] == parent
        if of_msrun and process.info["name"] != "tail":  # msrun's, showing a worker's log
            yield process.pid, environment


def marked_processes(launcher: int) -> dict[int, str]:
    """The running processes that the launcher of this number has started, at any remove: number to MS_ROLE ("" for none)."""
    mark = str(launcher)
    return {
        process.pid: environment.get("MS_ROLE", "")
        for process, environment in _processes()
        if environment.get(LAUNCHER_VARIABLE) == mark
    }


def _processes() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Every process with its environment; that of one that has ended, or is another user's, is empty."""
    for process in psutil.process_iter(["ppid", "name", "environ"]):
        yield process, process.info["environ"] or {}


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    middle = words.index("--") if "--" in words else len(words)
    program_arguments = words[middle + 1 :]
    command = Command(LaunchOptions, lambda options: launch(options, program_arguments))
    main_single("python -m tinydarknet.launch", command, words[:middle])


if __name__ == "__main__":
    main()
