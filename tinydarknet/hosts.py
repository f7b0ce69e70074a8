"""Whether the hosts of a run can be reached, asked before their ranks wait for each other."""

from __future__ import annotations

import socket
import time

from convert.errors import UserError

ANSWER_SECONDS = 20
"""How long another host may leave a knock unanswered; a closed port is an answer, that host has only not started yet."""


def check_hosts(master: str, hosts: tuple[str, ...], port: int, nodes: int, node_rank: int) -> None:
    """Refuse addresses that would let the ranks wait for each other in vain.

    Args:
        master: name or address of host 0.
        hosts: of all hosts, as far as known.
        port: TCP port of host 0.
        nodes: how many hosts there are.
        node_rank: which of them this is, in [0, nodes).

    Raises:
        UserError: names the host that is not known, is not this one though it should be, or does not answer.
    """
    for name in (master, *hosts):
        try:
            socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise UserError(f"the host {name} is not known: check the name, or give its address") from error
    if node_rank == 0 and not _is_own_address(master):
        use = "leave --master-addr out" if nodes == 1 else "name one of its own with --master-addr"
        raise UserError(f"{master} is no address of this host, which is host 0: {use}")
    others = hosts if node_rank == 0 else (master, *hosts)
    for address in others:
        if not _is_own_address(address) and (reason := _silence(address, port)) is not None:
            raise UserError(
                f"the host {address} cannot be reached ({reason}): check its address, that it is up, and the network "
                f"and firewall between the hosts (TCP port {port})"
            )


def _is_own_address(address: str) -> bool:
    """Whether a socket of this host can have it."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True


def _silence(address: str, port: int) -> str | None:
    """Why nothing answers at this address; None where something does, be it that the port is closed."""
    end = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=max(0.1, end - time.monotonic())).close()
        except ConnectionRefusedError:
            return None
        except OSError as error:
            if time.monotonic() > end:
                return error.strerror or f"no answer in {ANSWER_SECONDS} s"
            time.sleep(0.1)
        else:
            return None
