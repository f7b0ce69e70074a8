"""Ctrl+C on a single process."""

import os
import signal
import subprocess
import sys
import threading

from train_making import REPOSITORY, SIZE

from tinydarknet.device import EXIT_TERMINATED
from tinydarknet.training.run_folder import RunFolder


def test_ctrl_c_saves_and_says_so(planes_data, tmp_path):
    command = [
        sys.executable, "-m", "tinydarknet.train", "--data-path", planes_data, "--run-dir", tmp_path / "run",
        "--device-target", "CPU", "--batch-size", 8, "--image-height", SIZE, "--image-width", SIZE,
        "--epoch-size", 100_000, "--checkpoint-every-steps", 1_000_000,
    ]  # fmt: skip
    with subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert any(line.startswith("step 2 of") for line in process.stdout)
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
        finally:
            watchdog.cancel()
            process.kill()
    assert process.returncode == EXIT_TERMINATED  # at whatever moment it came
    assert "after step" in rest
    assert len(RunFolder(tmp_path / "run").newest_first()) == 1
