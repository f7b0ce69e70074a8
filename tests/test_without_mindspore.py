"""Reading needs no MindSpore: datasets and feeds work where it is not installed; commands that need it say so."""

import subprocess
import sys

PROGRAM = """
import sys


class NotInstalled:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "mindspore":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
"""

READ = """
from convert.dataset import Dataset
from tinydarknet.feed import open_eval_feed, open_train_feed

for name in sys.argv[1:]:
    dataset = Dataset(name)
    rgb, label = dataset[0]
    assert rgb.shape[2] == 3
    for images in ("planes", "rgb"):
        seen = [id for batch in open_train_feed(name, batch_size=14, image_size=32, images=images) for id in batch["id"]]
        assert sorted(seen) == dataset.ids.tolist()
    assert sum((batch["label"] >= 0).sum() for batch in open_eval_feed(dataset, batch_size=32, image_size=32)) == 70
assert not any(name.startswith("mindspore") for name in sys.modules)
"""

COMMANDS = """
import importlib

source, data, output = sys.argv[1:]
for module, words in (
    ("convert", ["run", source, output]),
    ("tinydarknet.train", ["--data-path", data]),
    ("tinydarknet.evaluate", ["--val-data-path", data, "--checkpoint-path", "x.ckpt"]),
    ("tinydarknet.export", ["--checkpoint-path", "x.ckpt", "--file-format", "onnx"]),
):
    sys.argv = [module, *words]
    try:
        importlib.import_module(f"{module}.__main__").main()
    except SystemExit as end:
        print(end.code)
"""


def run_without(program, *arguments):
    command = [sys.executable, "-c", PROGRAM + program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_datasets_and_feeds_of_every_kind_work(planes_dataset, original_dataset):
    result = run_without(READ, planes_dataset, original_dataset)
    assert result.returncode == 0, result.stderr


def test_commands_that_need_it_say_so(tree, planes_dataset, tmp_path):
    result = run_without(COMMANDS, tree / "train", planes_dataset, tmp_path / "output")
    assert result.stdout.split() == ["1"] * 4, result.stderr
    assert result.stderr.count("needs MindSpore, which is not installed") == 4
    assert "pip install 'tinydarknet[mindspore]'" in result.stderr
    assert not (tmp_path / "output").exists()
