"""Ranks that were told different things find out before they train."""

import sys
from contextlib import ExitStack

import pytest
from processes import running
from train_making import SIZE, free_port

pytestmark = pytest.mark.usefixtures("short_network")


def test_hosts_with_other_seeds_are_refused(planes_data, tmp_path):
    """Two launchers of one rank each, as on two hosts."""
    port = free_port()
    commands = [
        [
            sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--nodes", 2, "--node-rank", node,
            "--master-port", port, "--log-dir", tmp_path / f"ranks{node}", "--timeout-seconds", 120, "--",
            "--data-path", planes_data, "--run-dir", tmp_path / "run", "--device-target", "CPU", "--batch-size", 4,
            "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 2, "--seed", node + 1,
        ]
        for node in (0, 1)
    ]  # fmt: skip
    with ExitStack() as stack:
        launchers = [stack.enter_context(running(command, tmp_path)) for command in commands]
        done = [launcher.finish() for launcher in launchers]
    said = [result.stdout + result.stderr for result in done]
    assert all(result.returncode for result in done), said
    sentence = "error: the ranks differ in seed: give every host the same options, dataset and run folder"
    assert any(sentence in text for text in said), said
    assert not any("step 1 of" in text for text in said)
