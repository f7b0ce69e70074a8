"""Trains or evaluates on several ranks: `python -m tinydarknet.launch --ranks 8 -- --data-path DIR ...`; a watchful msrun.

msrun starts the ranks. This adds what it leaves undone: it stays in the foreground and shows the first rank's output,
passes SIGTERM on so that every rank saves, does not wait a minute for the scheduler of a run that is dead,
and returns the status of the rank that failed, with its last lines. Linux only, like msrun.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from convert.cli import EXIT_USER_ERROR, Command, main_single
from convert.errors import UserError
from tinydarknet.device import EXIT_TERMINATED, LOCAL_RANKS_VARIABLE

LAST_LINES = 15
SCHEDULER_ROLE = "MS_SCHED"
WORKER_ROLE = "MS_WORKER"
RANK_VARIABLE = "RANK_ID"

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
    master_port: int = 8118
    """A free TCP port on host 0."""
    log_dir: Path | None = None
    """Each rank's output; by default a new folder train_parallel-<time> or evaluate_parallel-<time>."""
    timeout_seconds: int = 300
    """How long the ranks wait for each other at the start."""

    def __post_init__(self) -> None:
        for name in ("ranks", "nodes", "timeout_seconds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
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
        UserError: msrun is not installed beside this Python.
    """
    binaries = Path(sys.executable).parent
    msrun = binaries / "msrun"
    if not msrun.is_file():
        raise UserError(f"no msrun in {binaries}: install MindSpore into this Python's environment")
    log_dir = options.log_dir or Path(f"{options.program}_parallel-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
    log_dir.mkdir(parents=True, exist_ok=True)
    command = [
        msrun,
        f"--worker_num={options.ranks}",
        f"--local_worker_num={options.ranks // options.nodes}",
        f"--node_rank={options.node_rank}",
        f"--master_addr={options.master_addr}",
        f"--master_port={options.master_port}",
        f"--cluster_time_out={options.timeout_seconds}",
        f"--log_dir={log_dir}",
        "--tail_worker_log=0",
        "--join=True",
        script or Path(__file__).with_name(f"{options.program}.py"),
        *program_arguments,
    ]
    # msrun starts "python" from PATH; the package must be found from a script inside it
    root = Path(__file__).parent.parent
    environment = {
        **os.environ,
        LOCAL_RANKS_VARIABLE: str(options.ranks // options.nodes),
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    print(f"{options.ranks} ranks, output in {log_dir}", flush=True)
    process = subprocess.Popen(
        list(map(str, command)),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl+C reaches the ranks through us, once
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _signal_role(process.pid, WORKER_ROLE, signal.SIGTERM))
    failed = _follow(process, options.ranks // options.nodes)
    status = process.wait()
    if failed is None:
        return EXIT_USER_ERROR if status else 0
    rank, code = failed
    _show_last_lines(log_dir, rank, code)
    return code if code > 0 else 128 - code


def _follow(process: subprocess.Popen[str], workers: int) -> tuple[int | None, int] | None:
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
            print(line, end="", flush=True)
    return failed


def _show_last_lines(log_dir: Path, rank: int | None, code: int) -> None:
    name = "a rank" if rank is None else f"rank {rank}"
    word = "stopped" if code == EXIT_TERMINATED else "error"
    print(f"{word}: {name} ended with status {code}", file=sys.stderr)
    log = log_dir / f"worker_{rank}.log"
    if log.is_file():
        lines = [line for line in log.read_text(errors="replace").splitlines() if not _MINDSPORE_LOG.match(line)]
        print(f"the last lines of {log}:", *lines[-LAST_LINES:], sep="\n", file=sys.stderr)


def _signal_role(parent: int, role: str, number: signal.Signals) -> None:
    for pid, _ in _children(parent, role):
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it has just ended by itself
            continue


def _children(parent: int, role: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The process numbers and environments of a process's children whose MS_ROLE is `role`."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # the command in parentheses, then state, parent, ... (proc(5))
            name, _, fields = (entry / "stat").read_text().rpartition(")")
            if int(fields.split()[1]) != parent or name.endswith("(tail"):  # msrun's, showing a worker's log
                continue
            words = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended while we looked
            continue
        environment = dict(word.split("=", 1) for word in words if "=" in word)
        if environment.get("MS_ROLE") == role:
            yield int(entry.name), environment


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    middle = words.index("--") if "--" in words else len(words)
    program_arguments = words[middle + 1 :]
    command = Command(LaunchOptions, lambda options: launch(options, program_arguments))
    main_single("python -m tinydarknet.launch", command, words[:middle])


if __name__ == "__main__":
    main()
