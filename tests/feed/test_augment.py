"""Crop windows and colour factors as functions of (seed, epoch, id)."""

import numpy as np
import pytest

from tinydarknet.feed.augment import Augmentation, centre_windows, draw

IDS = np.arange(4000)
HEIGHTS = np.where(IDS % 2, 256, 342)
WIDTHS = np.where(IDS % 2, 388, 256)


def test_an_images_draws_do_not_depend_on_its_neighbours():
    windows, factors = draw(Augmentation(), 9, 4, IDS, HEIGHTS, WIDTHS)
    for row in (0, 17, 3999):
        alone, alone_factors = draw(Augmentation(), 9, 4, IDS[[row]], HEIGHTS[[row]], WIDTHS[[row]])
        assert alone.top[0] == windows.top[row]
        assert alone.width[0] == windows.width[row]
        assert alone.flip[0] == windows.flip[row]
        assert alone_factors.hue[0] == factors.hue[row]


def test_another_epoch_draws_otherwise():
    first, second = (draw(Augmentation(), 9, epoch, IDS, HEIGHTS, WIDTHS)[0] for epoch in (0, 1))
    assert (first.width != second.width).mean() > 0.9
    assert 0.45 < (first.flip != second.flip).mean() < 0.55


def test_windows_are_even_inside_the_image_and_spread_as_the_recipe_says():
    windows, _ = draw(Augmentation(), 1, 0, IDS, HEIGHTS, WIDTHS)
    for values in (windows.top, windows.left, windows.height, windows.width):
        assert (values % 2 == 0).all()
        assert (values >= 0).all()
    assert (windows.top + windows.height <= HEIGHTS).all()
    assert (windows.left + windows.width <= WIDTHS).all()
    fraction = windows.height * windows.width / (HEIGHTS * WIDTHS)
    assert fraction.min() < 0.1
    assert fraction.max() > 0.8
    assert 0.38 < fraction.mean() < 0.54  # uniform in [0.08, 1], less the large ones that do not fit
    ratio = windows.width / windows.height
    assert 0.7 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.4
    assert abs(np.log(ratio).mean()) < 0.02
    assert 0.47 < windows.flip.mean() < 0.53


def test_colour_factors_fill_their_ranges():
    _, factors = draw(Augmentation(), 1, 0, IDS, HEIGHTS, WIDTHS)
    for values in (factors.brightness, factors.contrast, factors.saturation):
        assert 0.6 <= values.min() < 0.61
        assert 1.39 < values.max() <= 1.4
    assert -0.1 <= factors.hue.min() < -0.099
    assert 0.099 < factors.hue.max() <= 0.1
    assert abs(np.corrcoef(factors.brightness, factors.contrast)[0, 1]) < 0.05


@pytest.mark.parametrize(("height", "width"), [(4, 4000), (4000, 4), (2, 2)])
def test_shapes_that_no_random_window_fits_are_cut_to_the_nearest_ratio(height, width):
    windows, _ = draw(Augmentation(scale_min=1.0), 1, 0, np.arange(50), np.full(50, height), np.full(50, width))
    assert (windows.top + windows.height <= height).all()
    assert (windows.left + windows.width <= width).all()
    assert (windows.height >= 2).all()
    assert (windows.width >= 2).all()


def test_evaluation_cuts_the_middle():
    windows = centre_windows(np.array([256, 256, 100]), np.array([342, 256, 80]))
    assert windows.height.tolist() == [224, 224, 70]
    assert windows.top.tolist() == [16, 16, 14]
    assert windows.left.tolist() == [58, 16, 4]
    assert not windows.flip.any()


def test_bad_ranges_are_refused_with_the_value():
    with pytest.raises(ValueError, match=r"scale_min must be in .*got 0.5"):
        Augmentation(scale_min=0.5, scale_max=0.2)
    with pytest.raises(ValueError, match=r"hue must be in \[0, 0.5\], got 0.7"):
        Augmentation(hue=0.7)
