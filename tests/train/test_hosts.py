"""The launcher on several hosts: addresses that lead nowhere, and a cable that is cut between two network namespaces."""

import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import processes
import pytest
from train_making import SIZE

from convert.errors import UserError
from tinydarknet import hosts as hosts_module
from tinydarknet.launch import LaunchOptions, launch

PORT = 8118


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port of this host whose queue is full: whoever knocks gets no answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def elsewhere(monkeypatch):
    """127.0.0.1 counts as another host's."""
    monkeypatch.setattr(hosts_module, "_is_own_address", lambda address: address != "127.0.0.1")
    monkeypatch.setattr(hosts_module, "ANSWER_SECONDS", 0.3)


@pytest.mark.parametrize(
    "hosts",
    [{"node_rank": 1, "master_addr": "127.0.0.1"}, {"master_addr": "127.0.0.2", "hosts": ("127.0.0.2", "127.0.0.1")}],
)
def test_a_silent_host_is_told_before_the_ranks_wait_for_it(hosts, elsewhere, tmp_path):
    with deaf_port() as port, pytest.raises(UserError, match=r"the host 127.0.0.1 cannot be reached"):
        launch(LaunchOptions(ranks=2, nodes=2, master_port=port, log_dir=tmp_path / "ranks", **hosts), [])
    assert not (tmp_path / "ranks").exists()


def test_a_host_that_has_not_started_yet_is_no_silent_one(elsewhere):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert hosts_module._silence("127.0.0.1", closed.getsockname()[1]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 1}, "192.0.2.1 is no address of this host, which is host 0: leave --master-addr out"),
        ({"nodes": 2}, "name one of its own with --master-addr"),
    ],
)
def test_host_0_refuses_an_address_that_is_not_its_own(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        launch(LaunchOptions(ranks=2, master_addr="192.0.2.1", log_dir=tmp_path / "ranks", **options), [])


@pytest.mark.parametrize(
    "options", [{"master_addr": "no-such-host.invalid"}, {"nodes": 2, "hosts": ("no-such-host.invalid",)}]
)
def test_a_name_that_no_one_knows_is_told(options, tmp_path):
    with pytest.raises(UserError, match=r"the host no-such-host.invalid is not known: check the name"):
        launch(LaunchOptions(ranks=2, log_dir=tmp_path / "ranks", **options), [])


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by one cable, 10.77.0.1 and 10.77.0.2."""
    names = tuple(f"h{uuid.uuid4().hex[:8]}{letter}" for letter in "ab")
    if shutil.which("ip") is None or subprocess.run(["ip", "netns", "add", names[0]], capture_output=True).returncode:
        pytest.skip("needs iproute2 and leave to make network namespaces")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            for link in ("lo", "cable"):
                ip("-n", name, "link", "set", link, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.mark.slow
def test_a_cut_cable_ends_both_launchers_with_a_sentence(two_hosts, planes_data, tmp_path):
    with ExitStack() as stack:
        launchers = []
        for rank, name in enumerate(two_hosts):
            (tmp_path / name).mkdir()
            command = [
                "ip", "netns", "exec", name, sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--nodes", 2,
                "--node-rank", rank, "--master-addr", "10.77.0.1", "--hosts", "10.77.0.1", "10.77.0.2",
                "--log-dir", tmp_path / name / "ranks", "--", "--data-path", planes_data, "--run-dir", tmp_path / "run",
                "--device-target", "CPU", "--batch-size", 4, "--image-height", SIZE, "--image-width", SIZE,
                "--epoch-size", 100_000, "--checkpoint-every-steps", 1_000_000,
            ]  # fmt: skip
            launchers.append(stack.enter_context(processes.running(command, tmp_path / name)))
        launchers[0].wait_for("epoch: 1 step:")
        ip("-n", two_hosts[0], "link", "set", "cable", "down")
        for launcher in launchers:
            done = launcher.finish()
            assert done.returncode != 0
            assert "lost its connection to the other ranks" in done.stderr.splitlines()[-1]
            assert "Call Stack" not in done.stderr


@pytest.mark.slow
def test_a_cut_cable_is_told_at_the_start(two_hosts, tmp_path):
    ip("-n", two_hosts[0], "link", "set", "cable", "down")
    done = processes.run(
        [
            "ip", "netns", "exec", two_hosts[1], sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--nodes", 2,
            "--node-rank", 1, "--master-addr", "10.77.0.1",
        ],
        tmp_path, timeout_s=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: the host 10.77.0.1 cannot be reached" in done.stderr
