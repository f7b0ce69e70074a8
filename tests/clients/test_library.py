"""The library's page: its examples run as they stand, what it says of the three frameworks is so, and users' types check."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_without_mindspore import PROGRAM

from benchmarks.clients import LOADERS, ClientsOptions, store_sources
from benchmarks.instruments.datasets import store_readable
from convert.image.encoding import Encoding
from tinydarknet.colour import rgb_from_planes
from tinydarknet.feed import open_train_feed

ROOT = Path(__file__).resolve().parents[2]
REAL_IMAGES = ROOT.parent / "shared" / "imagenet-sample" / "train"
PAGES = ("library.md", "library_CN.md")
EXAMPLES = {page: re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S) for page in PAGES}
NUMPY_1, NUMPY_2 = "numpy==1.26.4", "numpy==2.2.6"
USER = """
import numpy as np
from convert.dataset import Dataset
from tinydarknet.feed import Augmentation, Normalization, Rank, open_eval_feed, open_train_feed
from tinydarknet.feed.jax import planes_to_rgb
from tinydarknet.feed.mindspore import PlanesToRgb as Cell
from tinydarknet.feed.torch import PlanesToRgb, TorchFeed

feed = open_train_feed("data", batch_size=8, seed=1, rank=Rank(0, of=2), augmentation=Augmentation(hue=0.0))
columns: tuple[str, ...] = feed.image_columns
steps: int = feed.steps + feed.steps_per_epoch
for batch in feed:
    print(np.mean(batch["y"]))
    print(planes_to_rgb(batch["y"], batch["uv"], batch["colour"]).shape)
for tensors in TorchFeed(feed, pin=False):
    print(PlanesToRgb()(tensors["y"], tensors["uv"], tensors["colour"]).shape)
for batch in open_eval_feed("data", batch_size=8, normalization=Normalization()).reused():
    print(batch["id"])
print(Dataset("data")[0][0].shape, Cell())
"""


@pytest.mark.parametrize("number", range(6))
def test_an_example_runs_as_it_stands(number, tmp_path):
    example = EXAMPLES[PAGES[0]][number]
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    (tmp_path / "example.py").write_text(example)  # MindSpore reads the source of its cells
    runpy.run_path(str(tmp_path / "example.py"))


def test_both_pages_show_the_same_examples():
    assert len(EXAMPLES[PAGES[0]]) == 6
    assert EXAMPLES[PAGES[0]] == EXAMPLES[PAGES[1]]


@pytest.fixture(scope="module")
def planes(sample, tmp_path_factory) -> list[np.ndarray]:
    """y, uv and colour of training batches of the drawn photographs and, where they are at hand, of ImageNet's own."""
    folder = tmp_path_factory.mktemp("planes")
    datasets = [sample / "data" / "sample" / "train"]
    if REAL_IMAGES.is_dir():
        for number, path in enumerate(sorted(REAL_IMAGES.rglob("*.JPEG"))[::15]):
            (folder / "real" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / "real" / path.parent.name / f"{number}.JPEG").symlink_to(path)
        datasets.append(store_readable(folder / "real", folder / "data", Encoding.of("yuv420", 256, 0)))
    batches = [next(iter(open_train_feed(dataset, batch_size=12, image_size=96))) for dataset in datasets]
    return [np.concatenate([batch[name] for batch in batches]) for name in ("y", "uv", "colour")]


def test_all_frameworks_make_the_same_rgb(planes):
    import jax
    import mindspore as ms
    import torch

    from tinydarknet.feed.jax import planes_to_rgb
    from tinydarknet.feed.mindspore import PlanesToRgb as Cell
    from tinydarknet.feed.torch import PlanesToRgb

    assert len(planes[0]) == (24 if REAL_IMAGES.is_dir() else 12)
    expected = rgb_from_planes(*planes)
    tensors = [torch.from_numpy(array) for array in planes]
    compiled = torch.compile(PlanesToRgb())
    found = {
        "torch": PlanesToRgb()(*tensors).numpy(),
        "torch.compile": compiled(*tensors).numpy(),
        "jax": np.asarray(planes_to_rgb(*planes)),
        "jax.jit": np.asarray(jax.jit(planes_to_rgb)(*planes)),
        "mindspore": Cell()(*(ms.Tensor(array) for array in planes)).asnumpy(),
    }
    for name, rgb in found.items():
        assert rgb.dtype == np.float32
        np.testing.assert_allclose(rgb, expected, atol=1e-4, rtol=0, err_msg=name)
    half = PlanesToRgb(torch.bfloat16)(*tensors)
    assert half.dtype == torch.bfloat16
    np.testing.assert_allclose(half.float().numpy(), expected, rtol=1 / 256, atol=1e-4)


def test_a_torch_feed_goes_on_where_its_state_says_and_refuses_anothers():
    import torch

    from convert.errors import BadValueError
    from tinydarknet.feed import Rank
    from tinydarknet.feed.torch import TorchFeed

    def opened(**changes):
        return TorchFeed(open_train_feed("data/sample/train", **{"batch_size": 60, "image_size": 32, **changes}))

    feed = opened()
    kept = []
    for batch in feed:
        kept.append(batch)
        if len(kept) == 4:
            break
    state = feed.state_dict()
    assert state["step"] == 4
    resumed = opened()
    resumed.load_state_dict(state)
    rest = list(resumed)
    whole = list(opened())
    assert len(kept) + len(rest) == len(whole) == len(feed) == 10
    for one, other in zip([*kept, *rest], whole, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)  # also those that were kept for long
    assert whole[0]["label"].dtype == torch.int64
    opened(batch_size=30, rank=Rank(1, of=2)).load_state_dict(state)
    for changes in ({"seed": 1}, {"batch_size": 30}, {"last_step": 3}):
        with pytest.raises(BadValueError):
            opened(**changes).load_state_dict(state)
    with pytest.raises((BadValueError, RuntimeError), match="num_workers must be 0"):
        list(torch.utils.data.DataLoader(feed, batch_size=None, num_workers=1))


def test_a_users_file_and_what_it_imports_check(tmp_path):
    """With PyTorch and JAX at hand, so their two modules too, which 'make lint' has to leave out."""
    (tmp_path / "user.py").write_text(USER)
    for name in ("torch", "jax"):
        (tmp_path / f"feed_{name}.py").write_text((ROOT / "tinydarknet" / "feed" / f"{name}.py").read_text())
    # an editable installation is invisible to it
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_the_benchmark_trains_without_mindspore(sample, tmp_path):
    program = "sys.argv = sys.argv[1:]\nimport runpy\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    options = ["--device", "cpu", "--networks", "tiny", "--images", sample / "images" / "val", "--batch-size", "2"]
    few = ["--image-size", "32", "--seconds", "0.01", "--json", tmp_path / "clients.jsonl"]
    command = [sys.executable, "-c", PROGRAM + program, ROOT / "benchmarks" / "clients.py", *options, *few]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in (tmp_path / "clients.jsonl").read_text().splitlines()]
    assert [result["from"].partition(",")[0] for result in results] == [
        "a batch that never changes", "planes", "planes", "planes", "jpeg", "torchvision",
    ]  # fmt: skip
    assert all(result["images_per_s"] > 0 and 0 <= result["wait_share"] < 1 for result in results)


def test_every_loader_of_the_benchmark_gives_more_than_an_epoch(sample, tmp_path):
    options = ClientsOptions(images=sample / "images" / "val", batch_size=60, image_size=32)
    sources = store_sources(options, tmp_path)
    for name, make_batches in LOADERS.items():
        batches = make_batches(options, sources)
        assert all(len(next(batches)) >= 2 for _ in range(3)), name


def test_the_wheel_alone_reads_a_dataset(sample, tmp_path):
    """Built, and installed into a fresh environment with what it says that it needs, and nothing else.

    With numpy 2, as PyTorch and JAX bring it: it is MindSpore that holds everything else here to numpy 1.
    """
    python = tmp_path / "fresh" / "bin" / "python"
    steps = [
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT],
        [sys.executable, "-m", "venv", tmp_path / "fresh"],
    ]
    for step in steps:
        subprocess.run(step, check=True, timeout=300)
    (wheel,) = tmp_path.glob("tinydarknet-*.whl")
    pins = (ROOT / "constraints.txt").read_text()
    assert NUMPY_1 in pins
    (tmp_path / "constraints.txt").write_text(pins.replace(NUMPY_1, NUMPY_2))
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", tmp_path / "constraints.txt", wheel]
    subprocess.run(install, check=True, timeout=300)
    program = (
        "import numpy\n"
        "from convert.dataset import Dataset\n"
        "from tinydarknet.feed import open_eval_feed, open_train_feed\n"
        f"data = Dataset({str(sample / 'data/sample/train')!r})\n"
        "assert data[0][0].shape[2] == 3\n"
        "for images in ('planes', 'rgb'):\n"
        "    feed = open_train_feed(data, batch_size=60, image_size=32, images=images)\n"
        "    assert len({int(id) for batch in feed for id in batch['id']}) == 600\n"
        "assert sum((batch['label'] >= 0).sum() for batch in open_eval_feed(data, batch_size=64, image_size=32)) == 600\n"
        "print(numpy.__version__)\n"
    )
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == f"{NUMPY_2.removeprefix('numpy==')}\n", done.stderr
    asked = [python, "-m", "tinydarknet.train", "--data-path", sample / "data/sample/train"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "needs MindSpore" in done.stderr) == (1, True), done.stderr
