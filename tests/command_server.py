"""Forks Python commands from a process that has imported the heavy libraries once: each start costs milliseconds, not 3 s.

`python command_server.py DESCRIPTOR LIBRARY ...` reads requests (JSON, with the descriptors of stdout and stderr) from
a socket of messages, answers {"pid"} at once and {"pid", "status"} when the command has ended. No module of this
repository is imported before the fork.
"""

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from multiprocessing import util
from pathlib import Path

REPOSITORY = {"convert", "tinydarknet", "benchmarks", "sitecustomize"}
_FOLDERS = sys.path[1:]
_STREAMS: list[object] = []


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


def become(arguments: list[str], cwd: str, environment: dict[str, str]) -> None:
    """Be what a new process of Python would be, but for its imports; its descriptors 0 to 2 are in place."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):  # the old ones know whether the old files could be sought
        _STREAMS.append(getattr(sys, name))  # what it holds is another's to write
        stream = open(descriptor, "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=name == "stderr", errors=getattr(sys, name).errors)
        setattr(sys, name, stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    publish(environment)
    for name in [name for name in sys.modules if name.partition(".")[0] in REPOSITORY]:
        del sys.modules[name]
    util.spawnv_passfds = start_pool
    subprocess.Popen._execute_child = start_program
    sys.path[1:] = [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *_FOLDERS]
    if any(Path(folder, "sitecustomize.py").is_file() for folder in sys.path):
        importlib.import_module("sitecustomize")  # as Python does at its start
    kind, *sys.argv = arguments
    if kind == "-m":
        sys.path[0] = cwd
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv.insert(0, kind)
        sys.path[0] = str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


def publish(environment: dict[str, str]) -> None:
    """Write the environment where /proc shows it: over the one that this process was started with, which had room."""
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49])  # proc(5), 50 and 51
    text = b"".join(f"{name}={value}\0".encode(errors="surrogateescape") for name, value in environment.items())
    if len(text) > end - start:
        raise ValueError(f"an environment of {len(text)} bytes does not fit into {end - start}")
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def start_pool(path: bytes, arguments: Sequence[str], descriptors: Sequence[int], exec_=util.spawnv_passfds) -> int:
    """In place of multiprocessing's: its fork server is forked from this process, which has imported what it would."""
    program = arguments[-1]
    if not program.startswith("from multiprocessing.forkserver import main") or not alone():
        return exec_(path, arguments, descriptors)
    return fork(lambda: exec(program, {"__name__": "__main__"}), {0, 1, 2, *descriptors})


def start_program(process: subprocess.Popen, *values: object, exec_=subprocess.Popen._execute_child) -> None:
    """In place of subprocess's: msrun and the Python programs that it and others start are forked from this process."""
    how = inspect.signature(exec_).bind(process, *values).arguments
    environment = dict(os.environ if how["env"] is None else how["env"])
    arguments = None if isinstance(how["args"], str | bytes) else python_arguments(how["args"], environment)
    if arguments is None or how["pass_fds"] or how["shell"] or not alone():
        exec_(process, *values)
        return
    given = [how["p2cread"], how["c2pwrite"], how["errwrite"]]

    def run() -> None:
        for target, descriptor in enumerate(given):
            if descriptor not in {-1, target}:
                os.dup2(descriptor, target)
        if how["start_new_session"]:
            os.setsid()
        if how["preexec_fn"] is not None:
            how["preexec_fn"]()
        become(arguments, str(Path(how["cwd"] or ".").resolve()), environment)

    process.pid = fork(run, {0, 1, 2, *given} - {-1})
    process._child_created = True
    process._close_pipe_fds(
        *(how[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
    )


def python_arguments(command: Sequence[str | Path], environment: dict[str, str]) -> list[str] | None:
    """What follows `python` where `command` is a module or a file of this very Python; None where it is not."""
    name, *words = [os.fsdecode(word) for word in command]
    found = Path(shutil.which(name, path=environment.get("PATH")) or name)
    binaries = Path(sys.executable).parent
    if found == binaries / "msrun":
        return [str(found), *words]
    is_program = bool(words) and (words[0] == "-m" or words[0].endswith(".py"))
    return words if found.parent == binaries and found.name.startswith("python") and is_program else None


def alone() -> bool:
    """Whether no other thread runs here, whose locks a fork could find held; tqdm's only sleeps."""
    harmless = sum(type(thread).__name__ == "TMonitor" for thread in threading.enumerate())
    return len(list(Path("/proc/self/task").iterdir())) - 1 - harmless == 0


def fork(run: Callable[[], None], descriptors: set[int]) -> int:
    """The number of a new process that does `run` as a program would, with these descriptors open, and ends."""
    if (pid := os.fork()) != 0:
        return pid
    status = 1
    weakref.finalize._registry.clear()  # the temporary folders of the process that this one was forked from
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        kept = sorted(descriptors)
        for last, following in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(last + 1, following)
        status = exit_status(run)
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(status)


def exit_status(run: Callable[[], None]) -> int:
    """The status with which Python would end after `run`."""
    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    gc.disable()
    for library in sys.argv[2:]:
        importlib.import_module(library)
    if "numba" in sys.modules:
        sys.modules["numba"].njit(lambda: None)()  # its first compiled loop costs 0.3 s, whichever it is
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        request, descriptors = serve(connection)
    for target, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    become(**request)
