import re
from base64 import b64decode
from io import BytesIO

import numpy as np
from PIL import Image

from tests.report.made import comparison, every
from windfirm.report.occlusion import EVEN, LOST, SAFE, picture, strip
from windfirm.report.page import page

IMAGE = np.zeros((8, 8, 3), np.uint8)


def test_safe_lost_and_even_places_have_their_colours() -> None:
    odds = np.array([[9.0, -9.0], [0.0, 9.0]], np.float32)
    seen = picture(odds, side=2)
    assert seen.tolist() == [[SAFE.tolist(), LOST.tolist()], [EVEN.tolist(), SAFE.tolist()]]


def test_a_map_stands_for_each_network_and_tells_where_the_label_is_lost() -> None:
    odds = np.array([[[1.0, -1.0], [-2.0, 3.0]]], np.float32)
    made = strip([IMAGE], [1], {"F": odds, "F'": np.abs(odds)}, ("cat", "dog"))
    assert [(label, [cell.said for cell in cells]) for label, cells in made.rows] == [
        ("clean", ["dog"]),
        ("F", ["lost at 2 of 4"]),
        ("F′", ["lost at 0 of 4"]),
    ]
    assert made.rows[1][1][0].alt == "dog: F loses it at 2 of 4"


def test_the_page_shows_maps_that_no_filter_hides() -> None:
    odds = np.ones((1, 2, 2), np.float32)
    text = page(
        comparison(every((2.0, 1.0, 3.0, 0.0001))), title="t", maps=[strip([IMAGE], [0], {"F": odds}, ("cat",))]
    )
    assert "occlusion map" in text
    assert 'data-fooled="' not in text
    shown = re.findall(r'src="data:image/png;base64,(.*?)"', text)
    assert [Image.open(BytesIO(b64decode(data))).size for data in shown] == [(8, 8), (64, 64)]
