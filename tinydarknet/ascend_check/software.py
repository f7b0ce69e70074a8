"""Which MindSpore, CANN, driver and Python belong together, and what this machine has of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

DRIVER_INFO = Path("/usr/local/Ascend/driver/version.info")
CANN_INFO = "compiler/version.info"
"""In $ASCEND_HOME_PATH; where MindSpore looks (mindspore/run_check/_check_version.py)."""


@dataclass(frozen=True)
class Release:
    """A MindSpore release."""

    mindspore: str
    cann: tuple[str, ...]
    """Versions of CANN that it is meant for."""
    source: str


@dataclass(frozen=True)
class Toolkit:
    """A version of CANN."""

    cann: str
    drivers: tuple[str, ...]
    """Of the driver (Ascend HDK)."""
    python_last: tuple[int, int]
    """The newest Python that it is meant for."""
    source: str


RELEASES = (
    Release("2.7.1", ("8.3",), "MindSpore Transformers 1.7.0, Installation"),
    Release("2.7.2", ("8.5",), "MindSpore Transformers 1.8.0, Installation"),
    Release("2.8.0", ("8.2", "8.3", "8.5"), "mindspore/run_check/_check_version.py of 2.8.0"),
    Release("2.9.0", ("9.0",), "MindSpore Transformers 1.9.0, Installation"),
)
TOOLKITS = (
    Toolkit("8.2", ("25.2",), (3, 11), "MindSpore Transformers 1.6.0, Installation; Python as CANN 8.0, Dependencies"),
    Toolkit("8.3", ("25.3",), (3, 11), "MindSpore Transformers 1.7.0, Installation; Python as CANN 8.0, Dependencies"),
    Toolkit("8.5", ("25.0", "25.2", "25.3", "25.5"), (3, 13), "CANN 8.5.0, Version Mapping and Running Dependencies"),
    Toolkit("9.0", ("26.0",), (3, 13), "MindSpore Transformers 1.9.0, Installation; CANN 9.0.0, Runtime Dependencies"),
)
SOCS = {
    "Ascend 910B (Atlas A2)": "supported by MindSpore Transformers' pages",
    "Ascend 910_93 (Atlas A3)": "the same",
    "Ascend 910 (Atlas, the first)": "MindSpore 2.8.0 knows it (mindspore/amp.py); the kernels in its wheel are the 910B's",
}

CANN_PACKAGES = {
    "absl-py": "absl",
    "attrs": "attr",
    "cffi": "cffi",
    "cloudpickle": "cloudpickle",
    "cython": "Cython",
    "decorator": "decorator",
    "ml-dtypes": "ml_dtypes",
    "pathlib2": "pathlib2",
    "protobuf": "google.protobuf",
    "psutil": "psutil",
    "pyyaml": "yaml",
    "requests": "requests",
    "scipy": "scipy",
    "sympy": "sympy",
    "tornado": "tornado",
}
"""What CANN 8.5's page Running Dependencies names, and what its wheel `te` requires beside it; package to module."""


@dataclass(frozen=True)
class Machine:
    """What is installed; versions are empty where nothing tells them."""

    mindspore: str
    cann: str
    driver: str
    python: str
    failed_imports: tuple[str, ...]
    """Of te and of CANN's Python packages, with the reason."""


def this_machine() -> Machine:
    """Look at this machine; the imports are tried in a process of their own."""
    toolkit = os.environ.get("ASCEND_HOME_PATH")
    program = (
        "import importlib, json, sys\nfailed = []\n"
        "for name in sys.argv[1:]:\n    try:\n        importlib.import_module(name)\n"
        "    except Exception as error:\n        failed.append(f'{name} ({error})')\n"
        "print(json.dumps(failed))"
    )
    words = [sys.executable, "-c", program, *CANN_PACKAGES.values(), "te"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    failed = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else [f"all ({done.stderr[-300:]})"]
    return Machine(
        version("mindspore"),
        _version_in(Path(toolkit) / CANN_INFO) if toolkit else "",
        _version_in(DRIVER_INFO),
        platform.python_version(),
        tuple(failed),
    )


def problems(machine: Machine) -> list[str]:
    """What does not fit together, in sentences with their mends; empty if all does."""
    found = []
    release = next((entry for entry in RELEASES if entry.mindspore == machine.mindspore), None)
    toolkit = next((entry for entry in TOOLKITS if _fits(machine.cann, (entry.cann,))), None)
    if not machine.cann:
        found.append("no CANN is found: install it and source its set_env.sh in this shell")
    elif release is not None and not _fits(machine.cann, release.cann):
        wanted = " or ".join(release.cann)
        found.append(f"MindSpore {machine.mindspore} is meant for CANN {wanted}, this is {machine.cann}: install that")
    if not machine.driver:
        found.append(f"no driver is found in {DRIVER_INFO.parent}: install it; a container must see this folder")
    elif toolkit is not None and not _fits(machine.driver, toolkit.drivers):
        wanted = " or ".join(toolkit.drivers)
        found.append(f"CANN {machine.cann} is meant for the driver {wanted}, this is {machine.driver}: install that")
    if toolkit is not None and tuple(map(int, machine.python.split(".")[:2])) > toolkit.python_last:
        last = ".".join(map(str, toolkit.python_last))
        found.append(f"CANN {machine.cann} is meant for Python up to {last}, this is {machine.python}: make PYTHON=...")
    if machine.failed_imports:
        found.append(
            f"{', '.join(machine.failed_imports)} cannot be imported: pip install 'tinydarknet[ascend]', and source "
            "set_env.sh, which has te"
        )
    return found


def _fits(found: str, wanted: tuple[str, ...]) -> bool:
    return ".".join(found.split(".")[:2]) in wanted


def _version_in(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    return next((line.partition("=")[2].strip() for line in lines if line.startswith("Version=")), "")


def markdown() -> str:
    """The tables of docs/operations.md."""
    lines = ["| MindSpore | CANN | source |", "|---|---|---|"]
    lines += [f"| {entry.mindspore} | {', '.join(entry.cann)} | {entry.source} |" for entry in RELEASES]
    lines += ["", "| CANN | driver (Ascend HDK) | Python up to | source |", "|---|---|---|---|"]
    for entry in TOOLKITS:
        last = ".".join(map(str, entry.python_last))
        lines.append(f"| {entry.cann} | {', '.join(entry.drivers)} | {last} | {entry.source} |")
    lines += ["", "| SoC | |", "|---|---|", *(f"| {name} | {note} |" for name, note in SOCS.items())]
    return "\n".join(lines)
