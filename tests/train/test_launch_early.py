"""The launcher told to stop before its ranks run, left alone by msrun, or by whoever read its output."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from processes import wait_until
from train_making import endless_launch

from convert.errors import UserError
from tinydarknet.launch import LAUNCHER_VARIABLE, LaunchOptions, launch, marked_processes
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")


def finished(launcher):
    """How it ended; nothing that it started may run on."""
    done = launcher.finish()
    wait_until(lambda: not launcher.family(), "nothing of the launch is left")
    return done


@pytest.fixture
def hangup_heeded() -> Iterator[None]:
    """Programs started meanwhile heed SIGHUP, even if the tests were started with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_before_the_first_rank_is_heeded(planes_data, tmp_path, number, hangup_heeded):
    """SIGHUP is the end of the terminal. How the ranks save when they run, test_launch.py shows."""
    with endless_launch(planes_data, tmp_path) as launcher:
        launcher.wait_for("2 ranks")
        launcher.process.send_signal(number)
        done = finished(launcher)
        assert done.returncode == 128 + signal.SIGTERM, done.stderr
        assert "stopped: " in done.stderr
        assert "error: " not in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert not (tmp_path / "run").exists()


def test_a_stop_before_the_first_step_is_heeded(planes_data, tmp_path):
    with endless_launch(planes_data, tmp_path) as launcher:
        launcher.wait_for("Start worker process with rank id:1")
        time.sleep(1)  # somewhere in its start
        launcher.process.send_signal(signal.SIGTERM)
        done = finished(launcher)
        assert done.returncode == 128 + signal.SIGTERM, done.stderr
        assert "stopped: " in done.stderr
        assert "error: " not in done.stderr


def test_ranks_do_not_outlive_msrun(planes_data, tmp_path):
    with endless_launch(planes_data, tmp_path) as launcher:
        launcher.wait_for("epoch: 1 step:")
        (msrun,) = (process.pid for process in launcher.family() if process.parent == launcher.process.pid)
        os.kill(msrun, signal.SIGKILL)
        done = finished(launcher)
        assert done.returncode == 128 + signal.SIGKILL, done.stderr
        assert "error: msrun was ended by SIGKILL" in done.stderr
        assert len(RunFolder(tmp_path / "run").newest_first()) == 1, "the ranks could not save"


def test_ranks_stop_when_nobody_reads_their_output(planes_data, tmp_path):
    with endless_launch(planes_data, tmp_path) as launcher:
        launcher.wait_for("2 ranks")
        launcher.process.stdout.close()
        assert launcher.process.wait() == 128 + signal.SIGTERM
        wait_until(lambda: not launcher.family(), "nothing of the launch is left")


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
