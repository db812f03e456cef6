from pathlib import Path

import numpy as np
import torch
from PIL import Image

from windfirm.data.sheet import write_sheet


def test_images_stand_in_rows_with_white_around_each(tmp_path: Path) -> None:
    black, red = torch.zeros(3, 40, 48), torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 40, 48)
    write_sheet(tmp_path / "sheet.png", [[black, red], [red, black], [black, black]])
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert pixels.shape == (2 * 3 * 42, 2 * 2 * 50, 3)  # twice as large, so that each image has 96 pixels
    small = pixels[::2, ::2]
    assert (small[[0, 41, 42]] == 255).all()
    assert (small[1:41, 1:49] == 0).all()
    assert (small[1:41, 51:99] == [255, 0, 0]).all()
    assert (small[43:83, 1:49] == [255, 0, 0]).all()
