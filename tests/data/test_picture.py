from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from windfirm.data.picture import Pixels, read, resized


def gradient(width: int, height: int) -> Image.Image:
    """Red counts columns, green counts rows."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack((columns, rows, 0 * rows), 2).astype(np.uint8))


def whole(path: Path) -> Pixels:
    found = read(path, None, "crop")
    assert not isinstance(found, str), found
    return found


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "ppm"])
def test_an_image_without_a_size_asked_for_is_taken_pixel_by_pixel(tmp_path: Path, suffix: str) -> None:
    image = gradient(5, 3)
    image.save(tmp_path / f"1.{suffix}", lossless=True)  # WebP would lose some; the others take no notice
    np.testing.assert_array_equal(whole(tmp_path / f"1.{suffix}"), np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_an_image_that_has_the_size_stays_as_it_is(resize: str) -> None:
    image = gradient(64, 80)
    assert resized(image, 80, 64, resize) is image


def test_crop_shortens_the_short_side_to_the_size_and_an_eighth_more_and_cuts_the_middle() -> None:
    image = gradient(400, 300).convert("RGB")
    # 64 / 0.875 = 73: the short side becomes 73 pixels, the long one 97; 4 or 5 rows and 16 columns go on each side.
    wanted = image.resize((97, 73), Image.Resampling.BILINEAR).crop((16, 4, 80, 68))
    assert resized(image, 64, 64, "crop").tobytes() == wanted.tobytes()


def test_crop_to_a_small_size_keeps_the_whole_short_side() -> None:
    image = gradient(100, 50)
    wanted = image.resize((64, 32), Image.Resampling.BILINEAR).crop((16, 0, 48, 32))
    assert resized(image, 32, 32, "crop").tobytes() == wanted.tobytes()


def test_squash_scales_each_side_on_its_own() -> None:
    image = gradient(100, 50)
    assert resized(image, 8, 9, "squash").tobytes() == image.resize((9, 8), Image.Resampling.BILINEAR).tobytes()


def test_pad_shows_the_whole_image_in_the_middle_of_black() -> None:
    white = Image.new("RGB", (40, 20), (255, 255, 255))
    rows = np.asarray(resized(white, 8, 8, "pad")).max((1, 2))
    assert rows.tolist() == [0, 0, 255, 255, 255, 255, 0, 0]
    columns = np.asarray(resized(white.rotate(90, expand=True), 8, 8, "pad")).max((0, 2))
    assert columns.tolist() == [0, 0, 255, 255, 255, 255, 0, 0]


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (33, 31), (200, 7)])
@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (5, 70)])
def test_every_policy_reaches_every_size(resize: str, size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert resized(Image.new("RGB", size), *shape, resize).size == shape[::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_at_any_angle_shows_the_same_image(tmp_path: Path, orientation: int) -> None:
    upright = gradient(5, 3)
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "1.png", exif=exif)
    np.testing.assert_array_equal(whole(tmp_path / "1.png"), np.asarray(upright).transpose(2, 0, 1))


def test_palettes_cmyk_gray_and_transparency_become_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 3), (255, 0, 0))
    red.convert("P").save(tmp_path / "palette.png", transparency=b"\x00\x80")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    Image.new("RGBA", (4, 3), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    for path in tmp_path.iterdir():
        pixels = whole(path)
        assert pixels.shape == (3, 3, 4)
        assert np.abs(pixels.astype(int) - np.array([255, 0, 0])[:, None, None]).max() <= 2, path.name
    Image.new("LA", (4, 3), (9, 1)).save(tmp_path / "gray.png")
    assert np.unique(whole(tmp_path / "gray.png")).tolist() == [9]


def test_one_channel_means_gray(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (50, 50, 50)).save(tmp_path / "1.png")
    found = read(tmp_path / "1.png", (1, 2, 2), "squash")
    assert not isinstance(found, str)
    assert (found.shape, np.unique(found).tolist()) == ((1, 2, 2), [50])


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    gradient(50, 40).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-60])
    (tmp_path / "empty.png").write_bytes(b"")
    gradient(5, 4).save(tmp_path / "film.gif")
    (tmp_path / "film.gif").rename(tmp_path / "film.png")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(np.full((3, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    found = {path.name: read(path, (3, 32, 32), "crop") for path in sorted(tmp_path.iterdir())}
    assert found == {
        "cut.jpg": "a damaged image",
        "deep.png": "mode I;16, not 8 bits a channel",
        "empty.png": "not an image",
        "film.png": "not an image",
        "folder.png": "Is a directory",
    }


def test_damaged_metadata_does_not_lose_the_image(tmp_path: Path) -> None:
    gradient(5, 3).save(tmp_path / "1.png", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert whole(tmp_path / "1.png").shape == (3, 3, 5)


def test_an_image_too_large_to_be_honest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient(50, 40).save(tmp_path / "1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read(tmp_path / "1.png", None, "crop") == "too large"


def test_a_line_of_pixels_is_not_scaled_to_gigabytes_of_which_nothing_is_seen(tmp_path: Path) -> None:
    Image.new("RGB", (10_000, 1)).save(tmp_path / "line.png")
    assert read(tmp_path / "line.png", (3, 224, 224), "crop") == "10000×1, too long and thin to crop"
    for resize in ("squash", "pad"):
        assert isinstance(read(tmp_path / "line.png", (3, 224, 224), resize), np.ndarray)
