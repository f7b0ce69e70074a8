"""Every command in the README runs: the blocks from top to bottom, as they stand, on an ImageNet of 84 pictures."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import convert_packed as packed
import numpy as np
import pytest
from processes import run as run_program
from test_documents import BEHIND, COMMAND, FENCE, ROOT, code_of, uses_in

from benchmarks.instruments.ports import free_port
from convert.dataset.manifest import load_manifest
from convert.sources.labels import LANDMARKS, TRUTH_NAME
from tinydarknet.model.network import TinyDarkNet

pytestmark = pytest.mark.usefixtures("short_network")

README = (ROOT / "README.md").read_text("utf-8")
ENTRY = {"make demo", "make test"}
"""The first block: `make demo` takes minutes (tests/scripts/test_demo.py, slow), `make test` is running now."""
INLINE = {
    "python -m convert doctor SRC OUT": "python -m convert doctor imagenet/train data/new --classes imagenet1k",
    "python -m convert verify OUT": "python -m convert verify data/imagenet/val",
    "python -m convert sample DIR": "python -m convert sample sample --classes 2 --images 2",
}
"""Commands in running text, with something to put in for their capital letters."""
SMALL = (
    "--image-height",
    "32",
    "--image-width",
    "32",
    "--batch-size",
    "8",
    "--device-target",
    "CPU",
    "--lr-init",
    "0.001",
)
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def blocks() -> list[list[list[str]]]:
    """The command lines of each fenced block, in groups that stand apart."""
    bodies = ["\n".join(block.splitlines()[1:-1]) for block in FENCE.findall(README)]
    groups = [[_commands(group) for group in body.split("\n\n")] for body in bodies]
    return [found for block in groups if (found := [group for group in block if group])]


def _commands(text: str) -> list[str]:
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if COMMAND.search(line)]


def make(*words: str) -> list[str]:
    """A make that takes this Python and installs nothing."""
    return ["make", "--no-print-directory", "-o", ".venv/ready", f"BIN={Path(sys.executable).parent}", *words]


def small(line: str) -> list[str]:
    """The command as it stands, or where it would take hours the same with small numbers behind."""
    words = shlex.split(line)
    if words[0] == "make":
        return make(*words[1:])
    words[0] = sys.executable
    if "tinydarknet.launch" in words:
        words[words.index("--ranks") + 1] = "2"
        words[words.index("--") : words.index("--")] = ["--master-port", str(free_port())]
    if "tinydarknet.launch" in words or "tinydarknet.train" in words:
        words += [*SMALL, "--epoch-size", "2" if "--resume" in words else "1"]
    return words


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    done = run_program(words, folder, PATH=PATH)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def workspace(tree, tmp_path_factory) -> Path:
    """A checkout with ImageNet in imagenet/, in every packaging."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    imagenet = folder / "imagenet"
    shutil.copytree(tree / "train", imagenet / "train")
    # the classes of the first real ones are known, and are none of these
    first = max(number for number in LANDMARKS if number < 100) + 1
    for number, path in enumerate(sorted((tree / "val").glob("*/*"), key=lambda path: path.name), first):
        (imagenet / "val" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, imagenet / "val" / path.parent.name / f"ILSVRC2012_val_{number:08d}{path.suffix}")
    for name, package in (("parquet", packed.parquet), ("webdataset", packed.webdataset)):
        packed.all_splits(package, imagenet, imagenet / name)
    packed.tar_of_tars(imagenet / "train", imagenet / "ILSVRC2012_img_train")
    pictures = sorted((imagenet / "val").glob("*/*"), key=lambda path: path.name)
    truth = imagenet / "ILSVRC2012_devkit_t12" / "data" / TRUTH_NAME
    truth.parent.mkdir(parents=True)
    wnids = [*(LANDMARKS[number] for number in range(1, first)), *(path.parent.name for path in pictures)]
    truth.write_text("".join(f"{packed.DEVKIT_ID[wnid]}\n" for wnid in wnids))
    (imagenet / "val-flat").mkdir()
    with tarfile.open(imagenet / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in pictures:
            archive.add(path, path.name)
            shutil.copy(path, imagenet / "val-flat")
    shutil.copy(pictures[0], folder / "picture.JPEG")
    header = np.array([0, 1, 0, 0], "<i4").tobytes()
    values = sum(parameter.size for parameter in TinyDarkNet(1000).get_parameters())
    (folder / "tiny.weights").write_bytes(header + np.full(values, 0.01, "<f4").tobytes())
    return folder


def test_the_blocks_run_from_top_to_bottom(workspace):
    entry, *rest = blocks()
    assert {line for group in entry for line in group} == ENTRY
    dataset = workspace / "data" / "imagenet"
    digests: dict[str, set[str]] = {"train": set(), "val": set()}
    for block in rest:
        for group in block:
            if any("convert run" in line or "make mindrecord" in line for line in group):
                shutil.rmtree(dataset, ignore_errors=True)
            for line in group:
                run(small(line), workspace)
            for split in dataset.iterdir():
                digests[split.name].add(load_manifest(split).logical_digest)
    assert [len(found) for found in digests.values()] == [1, 1]  # whatever the packaging
    for made in ("checkpoints/best.ckpt", "export/tinydarknet.onnx", "export/tinydarknet.mindir", "report.html"):
        assert (workspace / "runs" / "imagenet" / made).is_file()
    for text, line in INLINE.items():
        assert text in README
        run(small(line), workspace)


def test_make_targets_do_what_the_readme_says(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = [line for block in blocks() for group in block for line in group]

    def dry(*words: str) -> str:
        text = run(["make", "-n", *make(*words, "BIN=bin")[1:]], tmp_path).stdout
        return " ".join(text.replace("bin/python", "python").split())

    for target, module in (("train", "train"), ("eval", "evaluate"), ("export", "export"), ("report", "report")):
        line = next(line for line in commands if f"tinydarknet.{module} " in line)
        assert line in dry(target, "IMAGENET=imagenet"), target
    launch = next(line for line in commands if "tinydarknet.launch" in line)
    eight = dry("train-8p", "IMAGENET=imagenet")
    assert "RANKS=8 LOG_DIR=runs/imagenet-8p/ranks scripts/run_distribute_train.sh" in eight
    assert launch.partition(" -- ")[2] in eight
    for use in uses_in(README):
        if use.command.startswith("make "):
            assert dry(use.command.removeprefix("make ")), use.command


def test_no_command_is_left_out():
    """What the blocks do not run is put in by INLINE, is a benchmark that tests/benchmarks runs small, or a make target."""
    benchmarks = "".join(path.read_text() for path in (ROOT / "tests" / "benchmarks").glob("*.py"))
    ran = {line for block in blocks() for group in block for line in group} | set(INLINE)
    left = []
    for span in code_of(README):
        match = COMMAND.search(" ".join(span.split()))
        if match is None or " ".join(span.split()) in ran or match["target"]:
            continue
        if match["file"] and f'"{Path(match["file"]).stem}"' in benchmarks:
            continue
        left.append(span)
    assert left == []
    assert BEHIND.keys() >= {"train", "eval", "export"}


def test_both_readmes_have_the_same_blocks():
    chinese = FENCE.findall((ROOT / "README_CN.md").read_text("utf-8"))
    assert [_commands(block) for block in chinese] == [_commands(block) for block in FENCE.findall(README)]
