"""Checkpoints: what comes back, and what damage says."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from convert.dataset.manifest import ClassEntry
from convert.errors import UserError
from tinydarknet.colour import DARKNET, IMAGENET
from tinydarknet.model import checkpoint
from tinydarknet.model.description import Description, ModelDescription, RunState
from tinydarknet.model.network import TinyDarkNet

CLASSES = tuple(ClassEntry(f"n0000000{index}", f"fish, Nº {index}") for index in range(3))
RUN = RunState(step=7, steps_per_epoch=3, global_batch=8, seed=5, dataset_digest="abc", best_top1=0.5)
DESCRIPTION = Description(ModelDescription("darknet", CLASSES, DARKNET, 32, "a test"), RUN)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "some" / "net.ckpt"
    weights = {parameter.name: parameter for parameter in TinyDarkNet(3, seed=9).get_parameters()}
    state = {"moments.conv1.conv.weight": Parameter(Tensor([1.5]), name="as it is called in the network")}
    checkpoint.write(path, weights, DESCRIPTION, state)
    return path


def test_round_trip(saved):
    loaded = checkpoint.load(saved)
    assert loaded.description == DESCRIPTION
    assert loaded.state.keys() == {"moments.conv1.conv.weight"}
    network = checkpoint.build_network(loaded)
    for ours, theirs in zip(network.get_parameters(), TinyDarkNet(3, seed=9).get_parameters(), strict=True):
        np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy())
    assert saved.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in saved.parent.iterdir()] == ["net.ckpt"]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [flip, lambda d: d[: len(d) // 2], lambda d: d[:-1], lambda _: b"", lambda _: b"\x80\x04no checkpoint"]
)
def test_damage_is_one_sentence(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(UserError, match=r"net\.ckpt is damaged or no MindSpore checkpoint"):
        checkpoint.load(saved)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint at .*nope\.ckpt"):
        checkpoint.load(tmp_path / "nope.ckpt")
    path = tmp_path / "other.ckpt"
    ms.save_checkpoint([{"name": "dense.weight", "data": Tensor([1.0])}], str(path))
    with pytest.raises(UserError, match="is no Tiny-DarkNet checkpoint"):
        checkpoint.load(path)


def test_another_version_is_refused():
    fields = json.loads(DESCRIPTION.to_json())
    with pytest.raises(ValueError, match="version must be 1, got 2"):
        Description.from_json(json.dumps({**fields, "version": 2}))
    with pytest.raises(ValueError, match=r"run\.\w+ is missing"):
        Description.from_json(json.dumps({**fields, "run": {"steps": 1}}))


def test_modelzoo_checkpoints_load_with_their_optimiser_state(tmp_path):
    network = TinyDarkNet(3, "modelzoo", seed=2)
    entries = [{"name": p.name, "data": p} for p in network.get_parameters()]
    entries += [{"name": f"moments.{p.name}", "data": Tensor(p.asnumpy() * 0)} for p in network.trainable_params()]
    ms.save_checkpoint([*entries, {"name": "global_step", "data": Tensor([4], ms.int32)}], str(tmp_path / "zoo.ckpt"))
    loaded = checkpoint.load(tmp_path / "zoo.ckpt")
    assert loaded.description.model.variant == "modelzoo"
    assert loaded.description.model.normalization == IMAGENET
    assert loaded.description.run is None
    np.testing.assert_array_equal(
        checkpoint.build_network(loaded).conv16.bn.gamma.asnumpy(), network.conv16.bn.gamma.asnumpy()
    )


def test_momentum_is_never_taken_for_weights(tmp_path):
    network = TinyDarkNet(3, "modelzoo")
    entries = [{"name": p.name, "data": p} for p in network.get_parameters() if p.name != "conv1.conv.weight"]
    entries.append({"name": "moments.conv1.conv.weight", "data": network.conv1.conv.weight})
    ms.save_checkpoint(entries, str(tmp_path / "gap.ckpt"))
    with pytest.raises(UserError, match=r"gap\.ckpt has no conv1\.conv\.weight"):
        checkpoint.build_network(checkpoint.load(tmp_path / "gap.ckpt"))


def test_another_shape_is_refused(saved):
    loaded = checkpoint.load(saved)
    with pytest.raises(UserError, match=r"of shape \(3, 128, 1, 1\), the network needs \(4, 128, 1, 1\)"):
        checkpoint.fill(TinyDarkNet(4).get_parameters(), loaded.weights, str(saved))
