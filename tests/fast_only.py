"""`pytest --fast`: what starts MindSpore, a Dask cluster or another process of Python is skipped at that moment, wherever it happens.

No list of fast tests is kept: a module that imports MindSpore is skipped as a whole, a test that reaches for one of
these, alone or through a fixture, by itself.
"""

from __future__ import annotations

import multiprocessing.process
import subprocess
import sys
from collections.abc import Sequence

import pytest


def leave_out(what: str) -> None:
    pytest.skip(f"not with --fast: {what}", allow_module_level=True)


class FastOnly:
    """A plugin, and the finder of modules that stands before all others."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def pytest_sessionstart(self) -> None:
        popen = subprocess.Popen.__init__

        def other_programs_only(process: subprocess.Popen, args: str | Sequence, *others: object, **options) -> None:
            words = [args] if isinstance(args, str) else list(map(str, args))
            if any("python" in word or word in {"make", "sh", "bash"} for word in words[:1]):
                leave_out(f"starts {words[0]}")
            popen(process, args, *others, **options)

        self._patch.setattr(subprocess.Popen, "__init__", other_programs_only)
        self._patch.setattr(multiprocessing.process.BaseProcess, "start", lambda _: leave_out("starts a process"))
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in {"mindspore", "distributed"}:
            leave_out(f"imports {name}")

    def pytest_sessionfinish(self) -> None:
        sys.meta_path.remove(self)
        self._patch.undo()
        assert not {"mindspore", "distributed"} & sys.modules.keys()
