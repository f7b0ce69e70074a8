"""The launch scripts in the reference's form."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from convert.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def table(ranks=(0, 1), **changes):
    devices = [{"device_id": str(r), "device_ip": f"192.1.{r}.6", "rank_id": str(r)} for r in ranks]
    server = {"server_id": "10.0.0.7", "device": devices, "host_nic_ip": "reserve"}
    return {"version": "1.0", "server_count": "1", "server_list": [server], "status": "completed", **changes}


def run(*command, cwd, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, "PATH": path, **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def check(fields, tmp_path):
    file = tmp_path / "table.json"
    file.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return run(sys.executable, SCRIPTS / "rank_table.py", "check", file, cwd=tmp_path)


def two_servers(second="10.0.0.8"):
    first = table()["server_list"][0]
    devices = [{**device, "rank_id": str(2 + number)} for number, device in enumerate(first["device"])]
    return table(server_count="2", server_list=[first, {**first, "server_id": second, "device": devices}])


def test_a_rank_table_is_told_in_msruns_terms(tmp_path):
    result = check(two_servers(), tmp_path)
    assert result.stdout == "RANKS=4 NNODES=2 MASTER_ADDR=10.0.0.7 HOSTS=10.0.0.7,10.0.0.8\n"


@pytest.mark.parametrize("server_id", ["10.0.0.7", "atlas-1"])
def test_a_single_server_needs_no_address(server_id, tmp_path):
    """The table may have been written in a container, whose address nobody here has."""
    result = check(table(server_list=[{**table()["server_list"][0], "server_id": server_id}]), tmp_path)
    assert result.stdout == "RANKS=2 NNODES=1 MASTER_ADDR=127.0.0.1\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("{", "not valid JSON"),
        ({}, "version"),
        (table(version="0.9"), "version is '0.9'"),
        (table(ranks=(0, 2)), "rank_ids are"),
        (table(server_count="2"), "server_count is 2"),
        (table(server_list=[]), "server_list has 0"),
        (two_servers("atlas-1"), "server_id must be an IP address, got 'atlas-1'"),
    ],
)
def test_a_bad_rank_table_is_refused(fields, message, tmp_path):
    result = check(fields, tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_rank_table_is_made_from_hccn_tool(tmp_path):
    """A stand-in for the driver's tool answers as the real one does."""
    tool = tmp_path / "hccn_tool"
    tool.write_text('#!/bin/sh\necho "ipaddr:192.1.$2.6"\necho "netmask:255.255.255.0"\n')
    tool.chmod(0o755)
    made = run(
        sys.executable, SCRIPTS / "rank_table.py", "make", "t.json", "--devices", 4, 5, "--server-id", "10.0.0.9",
        cwd=tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    fields = json.loads((tmp_path / "t.json").read_text())
    assert fields["server_list"][0]["device"] == [
        {"device_id": "4", "device_ip": "192.1.4.6", "rank_id": "0"},
        {"device_id": "5", "device_ip": "192.1.5.6", "rank_id": "1"},
    ]
    assert check(fields, tmp_path).stdout == "RANKS=2 NNODES=1 MASTER_ADDR=127.0.0.1\n"


def test_a_host_without_address_is_asked_for_one(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("rank_table", SCRIPTS / "rank_table.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "rank_table", script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "_device_ip", lambda number: f"192.1.{number}.6")
    monkeypatch.setattr(script.socket, "gethostname", lambda: "no-such.invalid")
    with pytest.raises(UserError, match=r"this host's name, no-such\.invalid, has no address \(.+\): say --server-id"):
        script.make(script.MakeOptions(tmp_path / "t.json"))
    with pytest.raises(UserError, match=r"cannot write .* \(File exists\): name another file"):
        script.make(script.MakeOptions(Path(__file__) / "t.json", server_id="10.0.0.9"))
    with pytest.raises(ValueError, match="server_id must be an IP address, got 'atlas-1'"):
        script.MakeOptions(tmp_path / "t.json", server_id="atlas-1")


def test_without_a_driver_making_a_table_says_so(tmp_path):
    result = run(sys.executable, SCRIPTS / "rank_table.py", "make", "t.json", cwd=tmp_path)
    assert result.returncode == 1
    assert "no address of card 0" in result.stderr
    assert not (tmp_path / "t.json").exists()


def test_scripts_return_the_status_and_keep_the_log(tmp_path):
    for script, log in (("run_standalone_train.sh", "train.log"), ("run_eval.sh", "eval.log")):
        arguments = (
            ["0", "--data-path", "none"]
            if "train" in script
            else ["--val-data-path", "none", "--checkpoint-path", "no.ckpt"]
        )
        result = run("bash", SCRIPTS / script, *arguments, cwd=tmp_path)
        assert result.returncode == 1, result.stdout
        assert "error: " in (tmp_path / log).read_text()
        assert "Traceback" not in result.stdout


def test_the_distributed_script_refuses_a_bad_table_before_it_starts_anything(tmp_path):
    (tmp_path / "table.json").write_text(json.dumps(table(version="0.9")))
    result = run("bash", SCRIPTS / "run_distribute_train.sh", "table.json", "--data-path", "none", cwd=tmp_path)
    assert result.returncode == 1
    assert "version is '0.9'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]
