"""Ranks that were told different things find out before they train."""

import os
import subprocess
import sys

from train_making import REPOSITORY, SIZE, free_port


def test_hosts_with_other_seeds_are_refused(planes_data, tmp_path):
    """Two launchers of one rank each, as on two hosts."""
    port = free_port()
    launchers = [
        subprocess.Popen(
            list(map(str, [
                sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--nodes", 2, "--node-rank", node,
                "--master-port", port, "--log-dir", tmp_path / f"ranks{node}", "--timeout-seconds", 60, "--",
                "--data-path", planes_data, "--run-dir", tmp_path / "run", "--device-target", "CPU", "--batch-size", 4,
                "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 2, "--seed", node + 1,
            ])),
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for node in (0, 1)
    ]  # fmt: skip
    try:
        said = [launcher.communicate(timeout=120)[0] for launcher in launchers]
    finally:
        for launcher in launchers:
            launcher.kill()
    assert all(launcher.returncode for launcher in launchers), said
    sentence = "error: the ranks differ in seed: give every host the same options, dataset and run folder"
    assert any(sentence in text for text in said), said
    assert not any("step 1 of" in text for text in said)
