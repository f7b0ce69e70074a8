"""TCP ports where the ranks of one host meet."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OUTGOING_WITHOUT_FILE = (16_000, 65_535)
"""gVisor's (pkg/tcpip/ports); Linux's lies within."""
_FIRST, _END = 10_000, 65_536


def free_port() -> int:
    """A TCP port that nobody listens on, where possible none that the system gives to outgoing connections.

    Somebody else's connection would else take it before whoever asked for it listens on it, seconds later.

    Raises:
        OSError: every port is taken.
    """
    first, last = map(int, _OUTGOING.read_text().split()) if _OUTGOING.is_file() else _OUTGOING_WITHOUT_FILE
    ports = list(range(_FIRST, _END))
    outside = [port for port in ports if not first <= port <= last] or ports
    random.SystemRandom().shuffle(outside)  # two processes that ask at once get different ones
    for port in outside:
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"no TCP port in [{_FIRST}, {_END}) is free")
