from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.defend.nets import batch, generator
from windfirm.defend.adain import adain, moments
from windfirm.defend.stylizer import SHIPPED, SMALL, Stylizer, load_stylizer, save_stylizer
from windfirm.errors import CheckpointError


def fresh(seed: int = 0) -> Stylizer:
    """A small one whose decoder does not draw grey alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stylizer = Stylizer((4, "down", 6, 6, "down", 8))
        for layer in stylizer.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.orthogonal_(layer.weight, 2)
        return stylizer.eval().requires_grad_(False)


def test_no_style_gives_what_the_decoder_makes_of_the_images_themselves() -> None:
    images, _ = batch(4)
    stylizer = fresh()
    expected = stylizer.draw(stylizer.code(images), 8, 8)
    torch.testing.assert_close(stylizer(images, images.flip(0), 0.0), expected)
    torch.testing.assert_close(stylizer(images, images, 1.0), expected, atol=1e-5, rtol=0)


def test_a_style_is_the_code_with_other_statistics_and_alpha_goes_there_evenly() -> None:
    images, _ = batch(4)
    stylizer = fresh()
    content, style = stylizer.code(images), stylizer.code(images.flip(0))
    full = adain(content, style)
    for alpha in (0.3, 1.0):
        expected = stylizer.draw((1 - alpha) * content + alpha * full, 8, 8)
        torch.testing.assert_close(stylizer(images, images.flip(0), alpha), expected)


def test_styles_from_within_the_batch_are_those_of_a_second_batch() -> None:
    images, _ = batch(5)
    order = torch.tensor([3, 0, 4, 2, 1])
    stylizer = fresh()
    torch.testing.assert_close(stylizer.within(images, order, 0.7), stylizer(images, images[order], 0.7))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 6), (1, 2), (13, 7)])
def test_any_size_of_image_goes_through(height: int, width: int) -> None:
    images = torch.rand(2, 3, height, width, generator=generator())
    drawn = fresh()(images, images.flip(0))
    assert drawn.shape == images.shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.dtype == torch.float32
    assert drawn.is_contiguous(memory_format=torch.channels_last)


def test_the_encoder_tells_the_maps_after_the_first_relu_of_each_resolution() -> None:
    images, _ = batch(2)
    stylizer = fresh()
    maps = stylizer.encoder(images)
    assert [tuple(part.shape) for part in maps] == [(2, 4, 8, 8), (2, 6, 4, 4), (2, 8, 2, 2)]
    convs = [layer for layer in stylizer.encoder.modules() if isinstance(layer, nn.Conv2d)]
    x = stylizer.encoder.normalize(images)
    first = convs[0](x).relu()
    second = convs[1](torch.nn.functional.max_pool2d(first, 2)).relu()
    torch.testing.assert_close(maps[0], first)
    torch.testing.assert_close(maps[1], second)
    torch.testing.assert_close(maps[2], convs[3](torch.nn.functional.max_pool2d(convs[2](second).relu(), 2)).relu())


def test_what_was_saved_is_loaded_frozen(tmp_path: Path) -> None:
    images, _ = batch(2)
    stylizer = fresh().half().float()  # weights that float16 holds exactly
    save_stylizer(stylizer, tmp_path / "s.safetensors", {"seed": 3})
    again = load_stylizer(tmp_path / "s.safetensors")
    assert again.plan == stylizer.plan
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    torch.testing.assert_close(again(images, images.flip(0)), stylizer(images, images.flip(0)))


@pytest.mark.parametrize("content", [None, b"", b"no tensors", "plain"])
def test_another_file_is_refused(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    if content == "plain":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_stylizer(path)
    assert str(error.value).startswith(f"{path}: expected a file that `windfirm train-stylizer` wrote, got ")


def test_the_package_brings_one_of_less_than_a_megabyte() -> None:
    assert SHIPPED.stat().st_size < 1_000_000
    assert load_stylizer().plan == SMALL


def rough(images: Tensor) -> Tensor:
    """How bright each region of an image is: its shape, whatever its colours."""
    return torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)


def test_the_one_in_the_package_keeps_shape_and_takes_colour() -> None:
    from windfirm import data

    images = data.load("embedded", "test", limit=64).images / 255
    stylizer = load_stylizer()
    styles = images.roll(1, 0)
    drawn = stylizer(images, styles)
    plain = stylizer(images, images, 0.0)
    pairs = [torch.corrcoef(torch.stack([a, b]))[0, 1] for a, b in zip(rough(drawn), rough(plain), strict=True)]
    assert torch.stack(pairs).abs().median() > 0.7
    colour, wanted, own = (moments(part)[0][..., 0, 0] for part in (drawn, styles, images))
    assert (colour - wanted).abs().mean() < 0.5 * (own - wanted).abs().mean()
    assert (plain - images).abs().mean() < 0.1
