"""The network's contract: counts, gradients, input cells, and that the fast forms change nothing."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from tinydarknet.colour import IMAGENET
from tinydarknet.mindspore_hub_conf import create_network
from tinydarknet.model.architecture import LAYERS, layer_shapes
from tinydarknet.model.inputs import Classifier, PlanesToRgb, RgbImage, RgbPixels
from tinydarknet.model.network import LeakyReLU, TinyDarkNet
from tinydarknet.train.step import SmoothedCrossEntropy


@pytest.fixture(scope="module", autouse=True)
def _graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


def image(batch=2, size=32, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, 3, size, size)).astype(np.float32)


def test_darknet_stores_what_tiny_weights_holds():
    network = TinyDarkNet(1000)
    assert sum(p.size for p in network.get_parameters()) == 1_046_488
    assert len(LAYERS) == 16


def test_modelzoo_has_its_parameters_by_its_names():
    network = TinyDarkNet(1000, "modelzoo")
    assert sum(p.size for p in network.trainable_params()) == 1_043_104
    expected = set()
    for number in range(1, 17):
        expected |= {f"conv{number}.conv.weight"}
        expected |= {f"conv{number}.bn.{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert {p.name for p in network.get_parameters()} == expected


@pytest.mark.parametrize("variant", ["darknet", "modelzoo"])
def test_num_classes_changes_the_head(variant):
    network = create_network("tinydarknet", num_classes=42, variant=variant).set_train(False)
    assert network(Tensor(image())).shape == (2, 42)
    assert layer_shapes(42, variant)[-1].out_channels == 42


def test_initial_weights_are_a_function_of_the_seed():
    first, same, other = TinyDarkNet(5, seed=3), TinyDarkNet(5, seed=3), TinyDarkNet(5, seed=4)
    weights = [net.conv4.conv.weight.asnumpy() for net in (first, same, other)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 0
    np.testing.assert_allclose(weights[0].std(), np.sqrt(2 / (16 * 9)), rtol=0.02)


class Plain(nn.Cell):
    """The textbook form: convolution, batch norm, nn.LeakyReLU, pool; head, then mean."""

    def __init__(self, network, shapes, slope):
        super().__init__(auto_prefix=False)
        self.convs = nn.CellList([getattr(network, s.name).conv for s in shapes])
        self.norms = nn.CellList([getattr(network, s.name).bn for s in shapes if s.normalized])
        self.pools = [s.pool for s in shapes]
        self.normalized = [s.normalized for s in shapes]
        self.pool = nn.MaxPool2d(2, 2, pad_mode="same")
        self.activation = nn.LeakyReLU(slope)

    def construct(self, x):
        for index in range(len(self.pools)):
            x = self.convs[index](x)
            if self.normalized[index]:
                x = self.activation(self.norms[index](x))
            if self.pools[index]:
                x = self.pool(x)
        return ops.mean(x, (2, 3))


@pytest.mark.parametrize(("variant", "slope"), [("darknet", 0.1), ("modelzoo", 0.2)])
def test_every_parameter_gets_the_textbooks_gradient(variant, slope):
    network = TinyDarkNet(7, variant, keep_argmax=True)
    plain = Plain(network, layer_shapes(7, variant), slope)
    x, y = Tensor(image(4)), Tensor([0, 1, 2, 3], ms.int32)
    loss = SmoothedCrossEntropy(7, 0.1)
    weights = network.trainable_params()

    def run(net):
        net.set_train(True)

        def forward(x, y):
            return loss(net(x), y)

        value, gradients = ms.jit(ms.value_and_grad(forward, None, weights))(x, y)
        return value.asnumpy(), [g.asnumpy() for g in gradients]

    (fast, fast_gradients), (slow, slow_gradients) = run(network), run(plain)
    np.testing.assert_allclose(fast, slow, rtol=1e-5)
    for parameter, ours, theirs in zip(weights, fast_gradients, slow_gradients, strict=True):
        scale = np.abs(theirs).max()
        assert scale > 0, parameter.name
        assert np.abs(ours - theirs).max() < 1e-3 * scale, parameter.name


def test_leaky_relu_and_its_gradient():
    cell = LeakyReLU(0.1)
    x = np.array([-2.0, -0.5, 0.0, 0.5, 3.0], np.float32)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), np.where(x > 0, x, 0.1 * x), rtol=1e-6)

    def total(values):
        return cell(values).sum()

    gradient = ms.jit(ms.grad(total))(Tensor(x[[0, 1, 3, 4]])).asnumpy()
    np.testing.assert_allclose(gradient, [0.1, 0.1, 1, 1], rtol=1e-6)
    with pytest.raises(ValueError, match="slope must be in"):
        LeakyReLU(1.5)


def test_planes_to_rgb_against_numpy():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 256, (3, 1, 32, 32), dtype=np.uint8)
    uv = rng.integers(0, 256, (3, 2, 16, 16), dtype=np.uint8)
    colour = (rng.normal(size=(3, 3, 4)) / 100).astype(np.float32)
    planes = np.concatenate([y, uv.repeat(2, 2).repeat(2, 3)], axis=1).astype(np.float64)
    expected = np.einsum("nij,njhw->nihw", colour[:, :, :3], planes) + colour[:, :, 3, None, None]
    got = PlanesToRgb()(Tensor(y), Tensor(uv), Tensor(colour)).asnumpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_pixels_are_normalised():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (IMAGENET.mean, IMAGENET.std))
    got = RgbPixels(IMAGENET)(Tensor(pixels)).asnumpy()
    np.testing.assert_allclose(got, (pixels - mean) / std, atol=1e-5)


def test_classifier_gives_float32_logits():
    classifier = Classifier(RgbImage(), TinyDarkNet(4).to_float(ms.float16)).set_train(False)
    assert classifier(Tensor(image())).dtype == ms.float32


def test_bad_classes_and_names():
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        TinyDarkNet(1)
    with pytest.raises(ValueError, match="variant must be one of"):
        TinyDarkNet(3, "resnet")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the only network here"):
        create_network("resnet")
