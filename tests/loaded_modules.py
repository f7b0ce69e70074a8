"""Runs a command of this repository (`-m MODULE ...` or `FILE ...`), then lists on stderr what it has imported."""

import atexit
import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    atexit.register(lambda: print(*sys.modules, sep="\n", file=sys.stderr))
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
