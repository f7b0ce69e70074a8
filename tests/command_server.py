"""Forks Python commands from a process that has imported the heavy libraries once: each start costs milliseconds, not 3 s.

`python command_server.py DESCRIPTOR LIBRARY ...` reads requests (JSON, with the descriptors of stdout and stderr) from
a socket of messages, answers {"pid"} at once and {"pid", "status"} when the command has ended. No module of this
repository is imported before the fork.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from multiprocessing import util
from pathlib import Path


def serve(requests: socket.socket) -> tuple[dict, list[int]]:
    """Fork a child for every request, until nobody can ask any more; returns only in a child, with its request."""
    running: dict[int, int] = {}
    while True:
        for ready in select.select([requests, *running], [], [])[0]:
            if ready in running:
                os.close(ready)
                pid, status = os.waitpid(running.pop(ready), 0)
                requests.send(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}).encode())
                continue
            message, descriptors, *_ = socket.recv_fds(requests, 1 << 20, 2)
            if not message:
                sys.exit()
            if (pid := os.fork()) == 0:
                os.setpgid(0, 0)
                return json.loads(message), descriptors
            os.setpgid(pid, pid)  # whichever of the two comes first
            for descriptor in descriptors:
                os.close(descriptor)
            running[os.pidfd_open(pid)] = pid
            requests.send(json.dumps({"pid": pid}).encode())


def become(request: dict, descriptors: list[int]) -> None:
    """What a new process would be, but for its imports."""
    for target, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):  # the old ones know whether the old files could be sought
        stream = open(descriptor, "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=name == "stderr", errors=getattr(sys, name).errors)
        setattr(sys, name, stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    util.spawnv_passfds = start_interpreter
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if any(Path(folder, "sitecustomize.py").is_file() for folder in sys.path):
        importlib.import_module("sitecustomize")  # as Python does at its start
    kind, *sys.argv = request["arguments"]
    if kind == "-m":
        sys.path[0] = request["cwd"]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv.insert(0, kind)
        sys.path[0] = str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


def start_interpreter(
    path: bytes, arguments: Sequence[str], descriptors: Sequence[int], exec_=util.spawnv_passfds
) -> int:
    """In place of multiprocessing's: its fork server is forked from this process, which has imported what it would."""
    program = arguments[-1]
    # whose locks a fork could find held; tqdm's thread only sleeps
    harmless = sum(type(thread).__name__ == "TMonitor" for thread in threading.enumerate())
    others = len(list(Path("/proc/self/task").iterdir())) - 1 - harmless
    if not program.startswith("from multiprocessing.forkserver import main") or others:
        return exec_(path, arguments, descriptors)
    if (pid := os.fork()) == 0:
        status = 1
        try:
            for number in signal.valid_signals():
                if callable(signal.getsignal(number)):
                    signal.signal(number, signal.SIG_DFL)
            kept = sorted({0, 1, 2, *descriptors})
            for last, following in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
                os.closerange(last + 1, following)
            exec(program, {"__name__": "__main__"})
            status = 0
        finally:
            os._exit(status)
    return pid


if __name__ == "__main__":
    gc.disable()
    for library in sys.argv[2:]:
        importlib.import_module(library)
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        task = serve(connection)
    become(*task)
