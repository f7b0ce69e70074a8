"""Ctrl+C on a single process."""

import signal
import sys

import pytest
from processes import running
from train_making import SIZE

from tinydarknet.device import EXIT_TERMINATED
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")


def test_ctrl_c_saves_and_says_so(planes_data, tmp_path):
    command = [
        sys.executable, "-m", "tinydarknet.train", "--data-path", planes_data, "--run-dir", tmp_path / "run",
        "--device-target", "CPU", "--batch-size", 8, "--image-height", SIZE, "--image-width", SIZE,
        "--epoch-size", 100_000, "--checkpoint-every-steps", 1_000_000,
    ]  # fmt: skip
    with running(command, tmp_path) as program:
        program.wait_for("epoch: 1 step:")
        program.process.send_signal(signal.SIGINT)
        done = program.finish()
    assert done.returncode == EXIT_TERMINATED  # at whatever moment it came
    assert "after step" in done.stdout
    assert len(RunFolder(tmp_path / "run").newest_first()) == 1
