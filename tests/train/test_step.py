"""Loss and update against numpy; parts, loss scale and moving average."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from tinydarknet.model.inputs import Classifier, RgbImage
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.train.step import (
    GROWTH_STEPS,
    DynamicLossScale,
    SmoothedCrossEntropy,
    TrainStep,
    WeightAverage,
    build_optimizer,
    parameter_groups,
)

pytestmark = pytest.mark.usefixtures("short_network")

CLASSES = 5


@pytest.fixture(scope="module", autouse=True)
def _graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


def batch(size=8):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(size, 3, 16, 16)).astype(np.float32)
    return Tensor(images), Tensor(np.arange(size, dtype=np.int32) % CLASSES), Tensor(np.arange(size))


def make_step(seed=0, ema=None, **options):
    network = TinyDarkNet(CLASSES, seed=seed)
    average = WeightAverage(network, TinyDarkNet(CLASSES), ema) if ema else None
    optimizer = build_optimizer(network, np.full(100, 0.05, np.float32), 0.9, 1e-2, nesterov=False)
    step = TrainStep(
        Classifier(RgbImage(), network), SmoothedCrossEntropy(CLASSES, 0.1), optimizer, average=average, **options
    )
    return step.set_train(True), network, average


def losses(step, count=3):
    return [float(step(*batch()).asnumpy()) for _ in range(count)]


def test_loss_against_numpy():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, CLASSES)).astype(np.float32), np.array([0, 1, 2, 3, 4, 0], np.int32)
    targets = np.full((6, CLASSES), 0.1 / (CLASSES - 1))
    targets[np.arange(6), labels] = 0.9
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    got = SmoothedCrossEntropy(CLASSES, 0.1)(Tensor(logits), Tensor(labels)).asnumpy()
    np.testing.assert_allclose(got, -(targets * log_p).sum(1).mean(), rtol=1e-6)


@pytest.mark.parametrize(("classes", "factor"), [(5, 1.0), (5, -0.1), (1, 0.1)])
def test_loss_refuses(classes, factor):
    with pytest.raises(ValueError, match="must be"):
        SmoothedCrossEntropy(classes, factor)


def test_no_decay_on_batch_norm_and_biases():
    free, decayed = parameter_groups(TinyDarkNet(3).trainable_params())
    assert free["weight_decay"] == 0
    assert {p.name.rsplit(".", 1)[1] for p in free["params"]} == {"gamma", "beta", "bias"}
    assert {p.name.rsplit(".", 1)[1] for p in decayed["params"]} == {"weight"}
    assert len(free["params"]) + len(decayed["params"]) == 3 * 3 + 2


class OneWeight(nn.Cell):
    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor([1.0], ms.float32), name="one.weight")


@pytest.mark.parametrize("nesterov", [False, True])
def test_update_against_numpy(nesterov):
    network = OneWeight()
    optimizer = build_optimizer(network, np.array([0.1, 0.1, 0.05], np.float32), 0.9, 0.01, nesterov)
    weight, velocity = 1.0, 0.0
    for rate in (0.1, 0.1, 0.05):
        gradient = 2.0 + 0.01 * weight
        velocity = 0.9 * velocity + gradient
        weight -= rate * (gradient + 0.9 * velocity if nesterov else velocity)
        optimizer((Tensor([2.0], ms.float32),))
        np.testing.assert_allclose(network.weight.asnumpy(), [weight], rtol=1e-5)


def test_parts_are_what_ranks_would_see():
    """Two parts against the mean of two half batches, worked out by hand: batch norm sees each half by itself."""
    step, network, _ = make_step(parts=2, loss_scale=1024.0)
    twin = TinyDarkNet(CLASSES).set_train(True)
    loss = SmoothedCrossEntropy(CLASSES, 0.1)

    def forward(images, labels):
        return loss(twin(images), labels)

    optimizer = build_optimizer(twin, np.full(100, 0.05, np.float32), 0.9, 1e-2, nesterov=False)
    gradient = ms.jit(ms.value_and_grad(forward, None, optimizer.parameters))
    images, labels, _ = batch()
    halves = [gradient(images[start::2], labels[start::2]) for start in (0, 1)]
    optimizer(tuple((a + b) / 2 for a, b in zip(halves[0][1], halves[1][1], strict=True)))
    np.testing.assert_allclose(losses(step, 1)[0], np.mean([half[0].asnumpy() for half in halves]), rtol=1e-6)
    for ours, theirs in zip(network.trainable_params(), twin.trainable_params(), strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=2e-6, err_msg=ours.name)


def test_dynamic_loss_scale_and_moving_average():
    """An overflow lowers the scale and moves nothing; a sound step moves the weights, then their average."""
    scale = DynamicLossScale(2.0**127)
    step, network, average = make_step(ema=0.75, loss_scale=scale)
    assert average is not None
    head = network.conv16.conv.weight
    head.set_data(16 * head)  # a loss that overflows
    trained = {p.name for p in network.trainable_params()}
    before = {p.name: p.asnumpy().copy() for p in [*network.get_parameters(), *average.averages]}
    step(*batch()).asnumpy()
    assert float(scale.value.asnumpy()) == 2.0**126
    for parameter in [*network.trainable_params(), *average.averages]:
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])

    scale.value.set_data(Tensor(1024.0, ms.float32))
    scale.sound_steps.set_data(Tensor(GROWTH_STEPS - 1, ms.int32))
    step(*batch()).asnumpy()
    assert float(scale.value.asnumpy()) == 2048.0
    assert int(scale.sound_steps.asnumpy()) == 0
    after = {p.name: p.asnumpy() for p in network.get_parameters()}
    assert all(np.abs(after[name] - before[name]).max() > 0 for name in trained)
    for parameter in average.averages:
        name = parameter.name.removeprefix("average.")
        np.testing.assert_allclose(parameter.asnumpy(), 0.75 * before[parameter.name] + 0.25 * after[name], atol=1e-5)


class Register(nn.Cell):
    """A stand-in for the card's status register: what it has noted is forgotten when it is cleared."""

    def __init__(self, noted, notes_again):
        super().__init__(auto_prefix=False)
        self.noted = Parameter(Tensor(noted, ms.float32), name="noted", requires_grad=False)
        self.notes_again = notes_again

    def clear(self, value):
        return ops.depend(value, ops.assign(self.noted, Tensor(0.0, ms.float32)))

    def construct(self, results):
        return ops.depend(self.noted + self.notes_again, results[0]) == 0


@pytest.mark.parametrize(("notes_again", "scale_after"), [(0.0, 1024.0), (1.0, 512.0)])
def test_clamped_overflows_are_found_in_the_register(notes_again, scale_after):
    """Gradients that were clamped are finite; what was noted before the step does not count against it."""
    scale = DynamicLossScale(1024.0)
    step, network, _ = make_step(loss_scale=scale, register=Register(1.0, notes_again))
    before = {p.name: p.asnumpy().copy() for p in network.trainable_params()}
    step(*batch()).asnumpy()
    moved = any((p.asnumpy() != before[p.name]).any() for p in network.trainable_params())
    assert (float(scale.value.asnumpy()), moved) == (scale_after, notes_again == 0)
