"""Networks that know nothing of this project learn from its feed, stop in the middle of an epoch, and go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from tinydarknet.feed import Augmentation, open_eval_feed, open_train_feed

Logits: TypeAlias = Callable[[dict[str, np.ndarray]], np.ndarray]
"""A validation batch -> a score for every image and class."""
TRAIN, VAL = "data/sample/train", "data/sample/val"
SIZE, EPOCHS, STEPS_PER_EPOCH = 48, 8, 20
STEPS = EPOCHS * STEPS_PER_EPOCH
PLANES = ("y", "uv", "colour")
STOP = 70
"""In the middle of an epoch."""
OPTIONS = {
    "batch_size": 30,
    "image_size": SIZE,
    "epochs": EPOCHS,
    "seed": 3,
    "augmentation": Augmentation(scale_min=0.5, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.0),
}


@pytest.fixture(scope="module")
def undisturbed(beside_the_data) -> list[list[int]]:
    """The ids of a run that is not stopped."""
    feed = open_train_feed(TRAIN, **OPTIONS)
    assert (feed.steps_per_epoch, STOP % STEPS_PER_EPOCH) == (STEPS_PER_EPOCH, STEPS_PER_EPOCH // 2)
    return [batch["id"].tolist() for batch in feed]


def check(undisturbed: list[list[int]], ids: list[list[int]], losses: list[float], logits: Logits) -> None:
    """The images were those of an undisturbed run, the loss has clearly fallen, validation is mostly right."""
    assert ids == undisturbed
    assert np.median(losses[-STEPS_PER_EPOCH:]) < np.median(losses[:5]) / 3  # of single batches some are odd
    hits = seen = 0
    for batch in open_eval_feed(VAL, batch_size=60, image_size=SIZE):
        hits += int((logits(batch).argmax(1) == batch["label"]).sum())
        seen += int((batch["label"] >= 0).sum())
    print(f"loss {np.mean(losses[:5]):.2f} -> {np.mean(losses[-5:]):.2f}, {hits} of {seen} right")
    assert seen == 120
    assert hits / seen > 0.8


def test_timm(undisturbed, tmp_path):
    import timm
    import torch
    from torch.utils.data import DataLoader

    from tinydarknet.feed.torch import PlanesToRgb, TorchFeed

    torch.manual_seed(0)
    rgb, network = PlanesToRgb(), timm.create_model("resnet18", num_classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, STEPS)
    losses, ids = [], []

    def train(feed: TorchFeed, steps: int) -> None:
        for batch in DataLoader(feed, batch_size=None):
            scores = network(rgb(*(batch[name] for name in PLANES)))
            loss = torch.nn.functional.cross_entropy(scores, batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            losses.append(loss.item())
            ids.append(batch["id"].tolist())
            if len(ids) == steps:
                break

    feed = TorchFeed(open_train_feed(TRAIN, **OPTIONS))
    train(feed, STOP)
    torch.save(feed.state_dict(), tmp_path / "state")
    resumed = TorchFeed(open_train_feed(TRAIN, **OPTIONS))
    resumed.load_state_dict(torch.load(tmp_path / "state"))
    train(resumed, STEPS)

    def logits(batch: dict[str, np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return network(rgb(*(torch.from_numpy(batch[name]) for name in PLANES))).numpy()

    network.eval()
    check(undisturbed, ids, losses, logits)


def test_mindcv(undisturbed):
    import mindspore as ms
    from mindcv.models import create_model
    from mindspore import Tensor, nn
    from mindspore.train import Callback, Model

    from tinydarknet.feed.mindspore import PlanesToRgb

    ms.set_seed(0)
    rgb, network = PlanesToRgb(), create_model("resnet18", num_classes=10)
    losses, ids = [], []

    class WithLoss(nn.Cell):
        def __init__(self):
            super().__init__()
            self.rgb, self.network, self.loss = rgb, network, nn.CrossEntropyLoss()

        def construct(self, y, uv, colour, label, id):
            return self.loss(self.network(self.rgb(y, uv, colour)), label)

    class Notes(Callback):
        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps = steps

        def on_train_step_end(self, run_context):
            context = run_context.original_args()
            losses.append(float(context.net_outputs.asnumpy()))
            ids.append(context.train_dataset_element[-1].asnumpy().tolist())
            if len(ids) == self.steps:
                run_context.request_stop()

    rates = Tensor(np.linspace(0.01, 0.0002, STEPS, dtype=np.float32))
    step = nn.TrainOneStepCell(WithLoss(), nn.Momentum(network.trainable_params(), rates, 0.9))
    for first, last in ((0, STOP), (STOP, STEPS)):
        feed = open_train_feed(TRAIN, **OPTIONS, first_step=first)
        Model(step.set_train()).train(1, feed.dataset(), callbacks=[Notes(last)])

    network.set_train(False)
    check(undisturbed, ids, losses, lambda batch: network(rgb(*(Tensor(batch[name]) for name in PLANES))).asnumpy())


def test_plain_jax(undisturbed):
    import jax
    import jax.numpy as jnp

    from tinydarknet.feed.jax import planes_to_rgb

    keys = iter(jax.random.split(jax.random.key(0), 8))
    widths = (3, 32, 64, 128)
    weights = [
        jax.random.normal(next(keys), (wide, narrow, 3, 3)) * np.sqrt(2 / (9 * narrow))
        for narrow, wide in itertools.pairwise(widths)
    ]
    weights.append(jax.random.normal(next(keys), (widths[-1], 10)) * 0.05)

    def logits(weights, y, uv, colour):
        x = planes_to_rgb(y, uv, colour)
        for kernel in weights[:-1]:
            x = jax.nn.relu(jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME"))
        return x.mean((2, 3)) @ weights[-1]

    def loss(weights, batch):
        scores = jax.nn.log_softmax(logits(weights, batch["y"], batch["uv"], batch["colour"]))
        return -scores[jnp.arange(len(scores)), batch["label"]].mean()

    @jax.jit
    def step(weights, moments, number, batch):
        value, gradients = jax.value_and_grad(loss)(weights, batch)
        first = [0.9 * m + 0.1 * g for (m, _), g in zip(moments, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for (_, v), g in zip(moments, gradients, strict=True)]
        corrected = [(m / (1 - 0.9**number), v / (1 - 0.999**number)) for m, v in zip(first, second, strict=True)]
        new = [w - 3e-3 * m / (jnp.sqrt(v) + 1e-8) for w, (m, v) in zip(weights, corrected, strict=True)]
        return value, new, list(zip(first, second, strict=True))

    moments = [(jnp.zeros_like(w), jnp.zeros_like(w)) for w in weights]
    losses, ids = [], []
    for first, last in ((0, STOP), (STOP, STEPS)):
        for batch in open_train_feed(TRAIN, **OPTIONS, first_step=first, last_step=last):
            value, weights, moments = step(weights, moments, len(ids) + 1, batch)
            losses.append(float(value))
            ids.append(batch["id"].tolist())
    check(undisturbed, ids, losses, lambda batch: np.asarray(logits(weights, *(batch[name] for name in PLANES))))
