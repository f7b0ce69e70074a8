"""The colour matrix against MindSpore's own operators, applied one after the other."""

import cv2
import numpy as np
import pytest
from mindspore.dataset import vision

from tinydarknet.colour import DARKNET, IMAGENET, RGB_FROM_YCC, ColourFactors, colour_matrices, plain_matrix

YCC_FROM_RGB = np.linalg.inv(RGB_FROM_YCC)


def soft_image(seed: int) -> np.ndarray:
    """RGB uint8 [64, 64, 3], smooth and far from black and white, so that nothing clips."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(90, 150, (4, 4, 3))
    return np.kron(coarse, np.ones((16, 16, 1))).round().astype(np.uint8)


def as_ycc(rgb: np.ndarray) -> np.ndarray:
    return rgb @ YCC_FROM_RGB.T + np.array([0, 128, 128])


def apply(matrix: np.ndarray, ycc: np.ndarray) -> np.ndarray:
    return ycc @ matrix[:, :3].T + matrix[:, 3]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", ["bcs", "csb", "sbc", "cbs"])
def test_brightness_contrast_and_saturation_equal_the_operators_in_any_order(seed, order):
    rng = np.random.default_rng(100 + seed)
    brightness, contrast, saturation = rng.uniform(0.7, 1.3, 3)
    steps = {
        "b": vision.AdjustBrightness(brightness),
        "c": vision.AdjustContrast(contrast),
        "s": vision.AdjustSaturation(saturation),
    }
    image = soft_image(seed)
    expected = image
    for name in order:
        expected = steps[name](expected)

    ycc = as_ycc(image)
    factors = ColourFactors(*(np.array([v]) for v in (brightness, contrast, saturation, 0.0)))
    matrix = colour_matrices(DARKNET, factors, np.array([ycc[..., 0].mean()]))[0]
    actual = 255 * apply(matrix, ycc)
    assert np.abs(actual - expected).max() < 2.5  # each operator rounds to whole grey levels
    assert np.abs((actual - expected).mean()) < 1.0


def turned(image: np.ndarray, hue: float) -> np.ndarray:
    one = np.ones(1)
    matrix = colour_matrices(DARKNET, ColourFactors(one, one, one, np.array([hue])), np.zeros(1))[0]
    return 255 * apply(matrix, as_ycc(image))


def by_formula(image: np.ndarray, hue: float) -> np.ndarray:
    """What AdjustHue means: hues of 8 bits that turn round.

    Of a negative one MindSpore converts a negative float to an unsigned byte, which C++ leaves open: x86-64 turns
    round, Arm gives 0 and no turn at all.
    """
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(hue * 255) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


@pytest.mark.parametrize("hue", [0.05, 0.1, 1 / 3])
def test_the_formula_is_the_operators(hue):
    image = soft_image(1)
    assert np.abs(by_formula(image, hue).astype(int) - vision.AdjustHue(hue)(image)).max() <= 1


@pytest.mark.parametrize("hue", [-1 / 3, 0.0, 1 / 3])
def test_hue_equals_the_operator_at_thirds_of_a_turn(hue):
    image = soft_image(1)
    assert np.abs(by_formula(image, hue) - turned(image, hue)).max() < 5  # the operator's HSV has 8 bits


@pytest.mark.parametrize("hue", [-0.1, -0.05, 0.05, 0.1])
def test_hue_comes_closer_to_the_operator_than_no_turn_or_the_opposite_one(hue):
    image = np.concatenate([soft_image(seed) for seed in range(8)])
    expected = by_formula(image, hue).astype(float)
    distance = np.abs(expected - turned(image, hue)).mean()
    assert distance < 0.9 * np.abs(expected - image).mean()
    assert distance < 0.4 * np.abs(expected - turned(image, -hue)).mean()


def test_hue_leaves_grey_alone():
    grey = np.full((2, 2, 3), 77.0)
    np.testing.assert_allclose(turned(grey, 0.1), grey, atol=1e-3)


def test_plain_matrix_is_conversion_and_normalisation():
    rgb = np.random.default_rng(0).uniform(0, 255, (100, 3))
    expected = (rgb - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    np.testing.assert_allclose(apply(plain_matrix(IMAGENET), as_ycc(rgb)), expected, atol=1e-4)
