"""Pictures in a run's folder, whatever their files hold."""

import numpy as np
from PIL import Image, PngImagePlugin
from report_making import finished, lines, write_run

from tinydarknet.report.run_record import read_run


def drawn(shade):
    return Image.fromarray(np.full((16, 24, 3), shade, np.uint8))


def test_a_jpeg_of_several_images_is_shown_and_a_png_that_is_a_bomb_is_not(tmp_path):
    folder = write_run(tmp_path / "run", lines(finished()))
    drawn(90).save(folder / "phone.jpg", format="MPO", save_all=True, append_images=[drawn(120)])
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("comment", "0" * (4 << 20), zip=True)
    drawn(90).save(folder / "bomb.png", pnginfo=bomb)
    (picture,) = read_run(folder).pictures
    assert (picture.name, picture.width, picture.height) == ("phone.jpg", 24, 16)
    assert picture.address.startswith("data:image/jpeg;base64,")
