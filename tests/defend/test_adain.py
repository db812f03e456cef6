import numpy as np
import torch
from torch import Tensor

from tests.defend.nets import generator
from windfirm.defend.adain import adain, moments


def maps(seed: int, side: int = 6) -> Tensor:
    """Two images of three channels whose means and spreads differ."""
    size = torch.tensor([0.2, 1.0, 5.0]).view(1, 3, 1, 1)
    return torch.randn(2, 3, side, side, generator=generator(seed)) * size + 2 * size - 1


def test_moments_are_those_of_numpy() -> None:
    mean, spread = moments(maps(0))
    np.testing.assert_allclose(mean[..., 0, 0], maps(0).numpy().mean((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(spread[..., 0, 0], maps(0).numpy().std((2, 3)), rtol=1e-5)


def test_the_result_has_the_means_and_variances_of_the_style() -> None:
    content, style = maps(0), maps(1, side=9)
    found = adain(content, style)
    assert found.shape == content.shape
    np.testing.assert_allclose(found.numpy().mean((2, 3)), style.numpy().mean((2, 3)), atol=1e-5)
    np.testing.assert_allclose(found.numpy().std((2, 3)), style.numpy().std((2, 3)), atol=1e-5)


def test_where_things_are_stays_as_it_is() -> None:
    content = maps(0)
    found = adain(content, maps(1)).flatten(2)
    for i in range(2):
        for channel in range(3):
            pair = torch.stack([found[i, channel], content.flatten(2)[i, channel]])
            assert torch.corrcoef(pair)[0, 1] > 0.99999


def test_an_image_in_its_own_style_is_itself() -> None:
    torch.testing.assert_close(adain(maps(0), maps(0)), maps(0))


def test_a_constant_channel_becomes_the_mean_of_the_style() -> None:
    content = torch.full((1, 1, 4, 4), 3.0, requires_grad=True)
    style = torch.tensor([1.0, 3.0]).repeat(8).view(1, 1, 4, 4)
    found = adain(content, style)
    torch.testing.assert_close(found, torch.full_like(found, 2.0))
    (gradient,) = torch.autograd.grad(found.sum(), content)
    assert gradient.isfinite().all()
