"""The launcher told to stop before its ranks run, left alone by msrun, or by whoever read its output."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from train_making import REPOSITORY, SIZE, free_port

from convert.errors import UserError
from tinydarknet.device import EXIT_TERMINATED
from tinydarknet.launch import LAUNCHER_VARIABLE, LaunchOptions, launch, marked_processes
from tinydarknet.training.run_folder import RunFolder

STOP_SECONDS = 30


@contextlib.contextmanager
def launched(planes_data, tmp_path):
    """An endless run on two ranks; nothing of it is left behind."""
    command = [
        sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--master-port", free_port(), "--log-dir", tmp_path / "ranks", "--",
        "--data-path", planes_data, "--run-dir", tmp_path / "run", "--device-target", "CPU", "--batch-size", 4,
        "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 100_000, "--checkpoint-every-steps", 1_000_000,
    ]  # fmt: skip
    with subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()
            for pid in marked_processes(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def wait_for(process, beginning):
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"no line begins with {beginning!r}")


def gone(launcher_pid):
    """Whether nothing of a launch runs any longer; the system takes a moment to end a process."""
    end = time.monotonic() + 10
    while marked_processes(launcher_pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_first_rank_is_heeded(planes_data, tmp_path, number):
    with launched(planes_data, tmp_path) as launcher:
        wait_for(launcher, "2 ranks")
        launcher.send_signal(number)
        rest, errors = launcher.communicate(timeout=STOP_SECONDS)
        assert launcher.returncode == 128 + signal.SIGTERM, errors
        assert "stopped: " in errors
        assert "error: " not in errors
        assert "Traceback" not in rest + errors
        assert gone(launcher.pid)
        assert not (tmp_path / "run").exists()


def test_a_stop_before_the_first_step_is_heeded(planes_data, tmp_path):
    with launched(planes_data, tmp_path) as launcher:
        wait_for(launcher, "Start worker process with rank id:1")
        time.sleep(1)
        launcher.send_signal(signal.SIGTERM)
        _, errors = launcher.communicate(timeout=STOP_SECONDS)
        assert launcher.returncode == 128 + signal.SIGTERM, errors
        assert "stopped: " in errors
        assert "error: " not in errors
        assert gone(launcher.pid)


def test_ranks_do_not_outlive_msrun(planes_data, tmp_path):
    with launched(planes_data, tmp_path) as launcher:
        wait_for(launcher, "step 4 of")
        (msrun,) = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        os.kill(int(msrun), signal.SIGKILL)
        _, errors = launcher.communicate(timeout=STOP_SECONDS)
        assert launcher.returncode == 128 + signal.SIGKILL, errors
        assert "error: msrun was ended by SIGKILL" in errors
        assert len(RunFolder(tmp_path / "run").newest_first()) == 1, "the ranks could not save"
        assert gone(launcher.pid)


def test_the_end_of_the_terminal_stops_the_ranks(planes_data, tmp_path):
    with launched(planes_data, tmp_path) as launcher:
        wait_for(launcher, "step 4 of")
        launcher.send_signal(signal.SIGHUP)
        assert launcher.wait(timeout=STOP_SECONDS) == EXIT_TERMINATED
        assert gone(launcher.pid)
        assert len(RunFolder(tmp_path / "run").newest_first()) == 1


def test_ranks_stop_when_nobody_reads_their_output(planes_data, tmp_path):
    with launched(planes_data, tmp_path) as launcher:
        wait_for(launcher, "step 4 of")
        launcher.stdout.close()
        assert launcher.wait(timeout=STOP_SECONDS) == EXIT_TERMINATED
        assert gone(launcher.pid)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match=r"cannot make the folder .*taken/ranks \(Not a directory\)"):
        launch(LaunchOptions(log_dir=tmp_path / "taken" / "ranks"), [])


def test_processes_are_found_by_the_launcher_that_they_carry():
    with subprocess.Popen(["sleep", "60"], env={**os.environ, LAUNCHER_VARIABLE: "1"}) as process:
        try:
            assert marked_processes(1) == {process.pid: ""}
            assert marked_processes(11) == {}
        finally:
            process.kill()
