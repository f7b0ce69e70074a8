"""The rules of the house: which room may import which, what an import may do, how every command answers."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import processes
import pytest

ROOT = processes.ROOT
HEAVY = {
    "mindspore",
    "cv2",
    "PIL",
    "simplejpeg",
    "distributed",
    "pyarrow.dataset",
    "onnxruntime",
    "matplotlib",
    "numba",
}
LOADED = ROOT / "tests" / "loaded_modules.py"
ROOMS = ("convert", "tinydarknet", "benchmarks")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
GROUND = {
    "cli",
    "durable_files",
    "entries",
    "errors",
    "json_fields",
    "processors",
    "signals",
}
"""Modules of convert that stand on nothing but each other."""
CONVERT_FLOORS = [
    GROUND,
    {"image"},
    {"dataset"},
    {"sources"},
    {"job"},
    {"doctor", "inspect", "run", "sample", "verify"},
    {"__main__"},
]
"""Convert's rooms from the ground up: each imports from its own floor and from those below."""
SHARED_WITH_TRAINING = {*GROUND, "dataset", "image"}
"""What tinydarknet may know of convert: the dataset, its images, and the ground files."""
MODULES_DIRECTLY_IN_CONVERT_MAX = 14
NAMES_OF_SEVERAL_MODULES = {
    "__init__",
    "__main__",  # of every command
    "options",  # of a command, in its own package
}
NAMES_OF_SEVERAL_CLASSES = {"PlanesToRgb"}  # one first cell, in each framework

OTHER_FRAMEWORKS = [ROOT / "tinydarknet" / "feed" / name for name in ("torch.py", "jax.py")]
"""They import what is not installed here; tests/clients has it."""

COMMANDS = {
    "-m convert sample": ["folder"],
    "-m convert run": ["source", "output"],
    "-m convert verify": ["dataset"],
    "-m convert inspect": ["dataset"],
    "-m convert doctor": ["source", "output"],
    "-m tinydarknet.darknet_weights": ["tiny.weights", "tiny.ckpt"],
    "-m tinydarknet.train": ["--data-path", "dataset"],
    "-m tinydarknet.evaluate": ["--val-data-path", "dataset", "--checkpoint-path", "tiny.ckpt"],
    "-m tinydarknet.preview": ["dataset", "--out", "sheet.png"],
    "-m tinydarknet.report": ["--runs", "run"],
    "-m tinydarknet.ascend_check": [],
    "-m tinydarknet.export": ["--checkpoint-path", "tiny.ckpt", "--file-format", "onnx"],
    "-m tinydarknet.predict": ["picture.JPEG", "--checkpoint-path", "tiny.ckpt"],
    "benchmarks/feed_rate.py": ["--data", "dataset"],
    "benchmarks/convert_rate.py": ["--source", "source"],
    "benchmarks/convert_scale.py": [],
    "benchmarks/convert_estimate.py": ["--source", "source"],
    "benchmarks/step_time.py": [],
    "benchmarks/stored_size.py": ["--source", "source"],
    "benchmarks/open_rate.py": [],
    "benchmarks/peers.py": ["--source", "source"],
    "benchmarks/scaling.py": ["--data", "dataset"],
    "benchmarks/learning.py": ["--source", "source", "--json", "results.jsonl"],
    "benchmarks/predict_step.py": [],
    "benchmarks/clients.py": [],
    "benchmarks/compare.py": ["old.jsonl", "new.jsonl"],
    "benchmarks/report.py": [],
    "benchmarks/infer_rate.py": [],
}
"""Every command, with the arguments that it cannot do without."""


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports from this project, late imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in (*ROOMS, "scripts", "tests")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = {"convert": {"convert"}, "tinydarknet": {"convert", "tinydarknet"}, "benchmarks": set(ROOMS)}[room]
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] in allowed, f"{path.name} imports {name}"
        if room == "tinydarknet" and parts[0] == "convert":
            assert parts[1] in SHARED_WITH_TRAINING, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "convert").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_conversion_imports_from_its_own_floor_and_from_below(path):
    """Commands, job, sources, dataset, image, ground files."""
    floors = {room: floor for floor, rooms in enumerate(CONVERT_FLOORS) for room in rooms}
    room = path.relative_to(ROOT).with_suffix("").parts[1]
    if room == "__init__":
        assert not imports(path)
        return
    for name in imports(path):
        target = name.split(".")[1]
        if target != "__version__":
            assert floors[target] <= floors[room], f"{path.name} imports {name}"


def test_few_modules_lie_directly_in_convert():
    found = [path.stem for path in (ROOT / "convert").glob("*.py")]
    assert len(found) <= MODULES_DIRECTLY_IN_CONVERT_MAX, found


def test_no_name_stands_for_two_things():
    modules = Counter(path.stem for path in MODULES)
    assert {name for name, times in modules.items() if times > 1} <= NAMES_OF_SEVERAL_MODULES
    classes = Counter(
        node.name for path in MODULES for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)
    )
    assert {name for name, times in classes.items() if times > 1} <= NAMES_OF_SEVERAL_CLASSES


def test_no_module_imports_itself_in_a_circle():
    graph = {}
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = imports(path)
    names = set(graph)
    edges = {
        name: {longest for target in targets for longest in [_module(target, names)] if longest and longest != name}
        for name, targets in graph.items()
    }
    done: set[str] = set()
    for start in sorted(edges):
        _visit(start, edges, [], done)


def _module(target: str, names: set[str]) -> str | None:
    while target and target not in names:
        target = target.rpartition(".")[0]
    return target or None


def _visit(name, edges, path, done):
    assert name not in path, " -> ".join([*path, name])
    if name not in done:
        for target in sorted(edges[name]):
            _visit(target, edges, [*path, name], done)
        done.add(name)


def answer(command: str, *arguments: str) -> subprocess.CompletedProcess:
    """A command's answer; none of the libraries that --help must not load is at hand before."""
    words = [ROOT / word if word.endswith(".py") else word for word in command.split()]
    return processes.run([sys.executable, *words, *arguments], ROOT, libraries=processes.LIGHT)


def test_importing_anything_touches_nothing(tmp_path):
    """Every module at once, with arguments that no parser would take, in an empty folder."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.name != "__main__.py" and path not in OTHER_FRAMEWORKS
    ]
    program = (
        "import os, sys, cv2, mindspore\n"  # which do change it
        f"sys.path.insert(0, {str(ROOT)!r}); before = dict(os.environ); sys.argv = ['x', '--nonsense']\n"
        + "".join(f"import {name}\n" for name in names)
        + "assert dict(os.environ) == before, 'the environment has changed'\n"
    )
    result = processes.run([sys.executable, "-c", program], tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["-m convert", *COMMANDS])
def test_help_answers_without_loading_the_heavy_libraries(command):
    result = processes.run([sys.executable, LOADED, *command.split(), "--help"], ROOT, libraries=processes.LIGHT)
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout
    loaded = set(result.stderr.split())
    assert "convert.cli" in loaded  # or this test would look at nothing
    light = {"-m convert": {"scipy"}, "-m tinydarknet.train": {"pyarrow"}, "-m tinydarknet.evaluate": {"pyarrow"}}
    assert not loaded & HEAVY.union(*(names for start, names in light.items() if command.startswith(start)))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_refused_by_name(command):
    result = answer(command, *COMMANDS[command], "--no-such-option", "7")
    assert result.returncode == 2
    assert "no-such-option" in result.stderr or "no_such_option" in result.stderr
    assert "Traceback" not in result.stderr


def test_make_help_names_every_target():
    result = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")).split()[
        1:
    ]
    assert result.returncode == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} == set(phony)
    assert all(len(line.split()) > 2 for line in result.stdout.splitlines())
