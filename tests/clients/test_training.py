"""Networks that know nothing of this project learn from its feed, stop in the middle of an epoch, and go on."""

from __future__ import annotations

import itertools

import numpy as np

from tinydarknet.feed import Augmentation, open_eval_feed, open_train_feed

TRAIN, VAL = "data/sample/train", "data/sample/val"
SIZE = 48
EPOCHS = 8
STOP = 70
"""In the middle of epoch 3."""
OPTIONS = {
    "batch_size": 30,
    "image_size": SIZE,
    "epochs": EPOCHS,
    "seed": 3,
    "augmentation": Augmentation(scale_min=0.5, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.0),
}


def check(losses: list[float], ids: list[list[int]], hits: int, seen: int) -> None:
    """The loss has fallen, the images were those of an undisturbed run, validation is mostly right."""
    undisturbed = [batch["id"].tolist() for batch in open_train_feed(TRAIN, **OPTIONS)]
    assert STOP % 20
    assert ids == undisturbed
    print(f"loss {np.mean(losses[:5]):.2f} -> {np.mean(losses[-5:]):.2f}, {hits} of {seen} right")
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 3
    assert seen == 120
    assert hits / seen > 0.8


def test_timm(tmp_path):
    import timm
    import torch
    from torch.utils.data import DataLoader

    from tinydarknet.feed.torch import PlanesToRgb, TorchFeed

    torch.manual_seed(0)
    rgb, network = PlanesToRgb(), timm.create_model("resnet18", num_classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses, ids = [], []

    def train(feed: TorchFeed, steps: int) -> None:
        for batch in DataLoader(feed, batch_size=None):
            loss = torch.nn.functional.cross_entropy(
                network(rgb(batch["y"], batch["uv"], batch["colour"])), batch["label"]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            ids.append(batch["id"].tolist())
            if len(ids) == steps:
                break

    feed = TorchFeed(open_train_feed(TRAIN, **OPTIONS))
    train(feed, STOP)
    torch.save(feed.state_dict(), tmp_path / "state")
    resumed = TorchFeed(open_train_feed(TRAIN, **OPTIONS))
    resumed.load_state_dict(torch.load(tmp_path / "state"))
    train(resumed, EPOCHS * resumed.feed.steps_per_epoch)

    network.eval()
    hits = seen = 0
    with torch.no_grad():
        for batch in TorchFeed(open_eval_feed(VAL, batch_size=50, image_size=SIZE)):
            guesses = network(rgb(batch["y"], batch["uv"], batch["colour"])).argmax(1)
            hits += int((guesses == batch["label"]).sum())
            seen += int((batch["label"] >= 0).sum())
    check(losses, ids, hits, seen)


def test_mindcv():
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

    step = nn.TrainOneStepCell(WithLoss(), nn.Momentum(network.trainable_params(), 0.01, 0.9))
    for first, last in ((0, STOP), (STOP, EPOCHS * 20)):
        feed = open_train_feed(TRAIN, **OPTIONS, first_step=first)
        Model(step.set_train()).train(1, feed.dataset(), callbacks=[Notes(last)])

    network.set_train(False)
    hits = seen = 0
    for batch in open_eval_feed(VAL, batch_size=50, image_size=SIZE):
        guesses = network(rgb(*(Tensor(batch[name]) for name in ("y", "uv", "colour")))).asnumpy().argmax(1)
        hits += int((guesses == batch["label"]).sum())
        seen += int((batch["label"] >= 0).sum())
    check(losses, ids, hits, seen)


def test_plain_jax():
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
    for first, last in ((0, STOP), (STOP, EPOCHS * 20)):
        for batch in open_train_feed(TRAIN, **OPTIONS, first_step=first, last_step=last):
            value, weights, moments = step(weights, moments, len(ids) + 1, batch)
            losses.append(float(value))
            ids.append(batch["id"].tolist())
    hits = seen = 0
    for batch in open_eval_feed(VAL, batch_size=50, image_size=SIZE):
        guesses = np.asarray(jax.jit(logits)(weights, batch["y"], batch["uv"], batch["colour"])).argmax(1)
        hits += int((guesses == batch["label"]).sum())
        seen += int((batch["label"] >= 0).sum())
    check(losses, ids, hits, seen)
