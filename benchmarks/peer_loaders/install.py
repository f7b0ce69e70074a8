"""Makes the peers' own environment; what cannot be installed is written down, not an error.

python -m benchmarks.peer_loaders.install .venv-peers
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peer_loaders.catalogue import PEERS

OUTCOME_NAME = "peers.json"
"""In the environment's folder: by package "", or why pip could not install it."""

_TELLING = re.compile(r"^\s*(?:\w*Error|ERROR|error): \S")


def install(folder: Path) -> dict[str, str]:
    """Install every peer by itself, so that one failure leaves the others whole; returns what OUTCOME_NAME holds."""
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    outcomes: dict[str, str] = {}
    for peer in PEERS.values():
        if peer.package in outcomes:
            continue
        print(f"installing {', '.join(peer.requirements)}", flush=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*command, "psutil", *peer.requirements], capture_output=True, text=True, check=False)
        outcomes[peer.package] = last_error(done.stderr) if done.returncode else ""
        if outcomes[peer.package]:
            print(f"  not installed: {outcomes[peer.package]}", flush=True)
    (folder / OUTCOME_NAME).write_text(json.dumps(outcomes, indent=1) + "\n")
    return outcomes


def last_error(output: str) -> str:
    """The last line of pip's output that says what went wrong; its very last lines are hints."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.match(line)]
    # pip closes a failed build with an error of its own, which says less than the build's
    own = [line for line in telling if not line.startswith("error: ")]
    return [*(lines[-1:] or ["pip failed without a word"]), *telling, *own][-1]


if __name__ == "__main__":
    install(Path(sys.argv[1]))
