"""Rank tables (hccl_tools' JSON, version 1.0): make one from this host's cards, or read one in msrun's terms.

    python scripts/rank_table.py make hccl_8p.json --devices 0 1 2 3 4 5 6 7
    python scripts/rank_table.py check hccl_8p.json      # prints: RANKS=8 NNODES=1 MASTER_ADDR=127.0.0.1

MindSpore 2 starts ranks with msrun and needs no table; the check turns an old one into what msrun wants to know.
Making one asks `hccn_tool -i N -ip -g`, or reads /etc/hccn.conf. Not run on Ascend here.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import ipaddress
import json
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from convert.cli import Command, main_subcommands
from convert.durable_files import write_output
from convert.errors import UserError

VERSION = "1.0"
HCCN_CONF = Path("/etc/hccn.conf")


@dataclass(frozen=True)
class MakeOptions:
    """Write a rank table for cards of this host."""

    table: Annotated[Path, tyro.conf.Positional]
    """File to write."""
    devices: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    """Card numbers; rank r takes the r-th."""
    server_id: str = ""
    """This host's IP address; by default the one its name resolves to."""

    def __post_init__(self) -> None:
        if not self.devices or len(set(self.devices)) != len(self.devices) or min(self.devices) < 0:
            raise ValueError(f"devices must be different card numbers from 0 on, got {self.devices}")
        if self.server_id:
            _check_address("server_id", self.server_id)


@dataclass(frozen=True)
class CheckOptions:
    """Check a rank table and print what it says in msrun's terms, as shell variables."""

    table: Annotated[Path, tyro.conf.Positional]
    """File to read."""


@dataclass(frozen=True)
class RankTable:
    """What a rank table says."""

    servers: tuple[str, ...]
    """What it calls the hosts, IP addresses where there are several; the first holds rank 0."""
    ranks: int
    """Processes on all hosts together."""

    @property
    def terms(self) -> dict[str, object]:
        """The same as run_distribute_train.sh's variables; a single host needs no address to find itself."""
        several = len(self.servers) > 1
        hosts = {"HOSTS": ",".join(self.servers)} if several else {}
        master = self.servers[0] if several else "127.0.0.1"
        return {"RANKS": self.ranks, "NNODES": len(self.servers), "MASTER_ADDR": master, **hosts}


def read_rank_table(path: Path) -> RankTable:
    """Read and check a rank table.

    Raises:
        UserError: missing, no JSON, of another version, or its ranks are not 0 to n - 1, the same number on each host.
    """
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the rank table {path} ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UserError(f"the rank table {path} is not valid JSON ({error}): make it again") from error
    try:
        return _table_from(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no rank table of version {VERSION} ({error}): make it again") from error


def _table_from(fields: dict[str, Any]) -> RankTable:
    if fields["version"] != VERSION:
        raise ValueError(f"its version is {fields['version']!r}")
    servers = fields["server_list"]
    if int(fields["server_count"]) != len(servers):
        raise ValueError(f"server_count is {fields['server_count']}, server_list has {len(servers)}")
    by_rank = {}
    for server in servers:
        if len(servers) > 1:  # a single one may have been written in a container, or elsewhere
            _check_address("server_id", server["server_id"])
        for device in server["device"]:
            _check_address("device_ip", device["device_ip"])
            by_rank[int(device["rank_id"])] = server["server_id"]
    if sorted(by_rank) != list(range(len(by_rank))) or not by_rank:
        raise ValueError(f"its rank_ids are {sorted(by_rank)}, not 0 to {len(by_rank) - 1}")
    if len({len(server["device"]) for server in servers}) != 1:
        raise ValueError("its servers have different numbers of devices, which msrun cannot start")
    addresses = tuple(dict.fromkeys(by_rank[rank] for rank in sorted(by_rank)))
    return RankTable(addresses, len(by_rank))


def _check_address(name: str, address: object) -> None:
    try:
        ipaddress.ip_address(str(address))
    except ValueError as error:
        raise ValueError(f"{name} must be an IP address, got {address!r}") from error


def check(options: CheckOptions) -> None:
    """Print the table as shell variables."""
    print(*(f"{name}={value}" for name, value in read_rank_table(options.table).terms.items()))


def make(options: MakeOptions) -> None:
    """Write the table.

    Raises:
        UserError: an address is not to be found, or the file cannot be written.
    """
    addresses = [_device_ip(number) for number in options.devices]
    server_id = options.server_id or _own_address()
    devices = [
        {"device_id": str(number), "device_ip": address, "rank_id": str(rank)}
        for rank, (number, address) in enumerate(zip(options.devices, addresses, strict=True))
    ]
    server = {"server_id": server_id, "device": devices, "host_nic_ip": "reserve"}
    fields = {"version": VERSION, "server_count": "1", "server_list": [server], "status": "completed"}
    write_output(options.table, (json.dumps(fields, indent=4) + "\n").encode())
    print(f"{options.table}: {len(devices)} ranks on {server_id}")


def _own_address() -> str:
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        raise UserError(f"this host's name, {name}, has no address ({error.strerror}): say --server-id") from error


def _device_ip(number: int) -> str:
    tool = shutil.which("hccn_tool")
    if tool is not None:
        answer = subprocess.run([tool, "-i", str(number), "-ip", "-g"], capture_output=True, text=True, check=False)
        found = re.search(r"ipaddr:\s*(\S+)", answer.stdout)
        if found:
            return found[1]
    if HCCN_CONF.is_file():
        found = re.search(rf"^address_{number}=(\S+)", HCCN_CONF.read_text(), re.MULTILINE)
        if found:
            return found[1]
    raise UserError(
        f"no address of card {number}: neither hccn_tool nor {HCCN_CONF} knows it; is the driver installed?"
    )


def main() -> None:
    """Run the command line."""
    commands = {"make": Command(MakeOptions, make), "check": Command(CheckOptions, check)}
    main_subcommands("python scripts/rank_table.py", "Make or check a rank table.", commands)


if __name__ == "__main__":
    main()
