"""Contact sheets: tiles in order, captions below, no picture larger than its cell."""

import numpy as np
from PIL import Image

from convert.image.contact_sheet import Tile, draw_sheet


def flat(colour, height=300, width=200):
    return np.full((height, width, 3), colour, np.uint8)


def test_tiles_stand_row_by_row_with_their_captions(tmp_path):
    colours = [(20 * number, 0, 255 - 20 * number) for number in range(10)]
    draw_sheet([Tile(flat(colour), ("one", "two"), "red") for colour in colours], tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * (160 + 2 * 14), 8 * 160, 3)
    for number, colour in enumerate(colours):
        row, column = divmod(number, 8)
        assert tuple(sheet[188 * row + 80, 160 * column + 80]) == colour
    caption = sheet[160:188, :160].astype(int)
    assert (caption.sum(axis=2) < 765).any()
    assert (caption[..., 0] >= caption[..., 1]).all()  # red, not black


def test_few_tiles_make_a_narrow_sheet_and_small_pictures_stay_small(tmp_path):
    draw_sheet([Tile(flat((9, 9, 9), 20, 30), ("\u6f22" * 90,))] * 2, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (160 + 14, 2 * 160, 3)
    assert (sheet[:160, :160] == 9).all(axis=2).sum() == 20 * 30
