from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from windfirm.data.augment import to_float
from windfirm.models.layout import arrange, arranged, filters, layout, suit

LAST, PLAIN = torch.channels_last, torch.contiguous_format


class Viewing(nn.Module):
    """Takes the values of its convolution as they lie, as many published networks do."""

    def __init__(self, classes: int = 5, *, reshape: bool = False) -> None:
        super().__init__()
        self.conv, self.last, self.reshape = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 6, classes), reshape

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        out: Tensor = self.last(x.reshape(len(x), -1) if self.reshape else x.view(len(x), -1))
        return out


def reshaping() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


def lies(network: nn.Module) -> torch.memory_format:
    """How the filters of its one convolution lie."""
    (conv,) = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return LAST if conv.weight.is_contiguous(memory_format=LAST) else PLAIN


@pytest.mark.parametrize(("make", "form"), [(Viewing, PLAIN), (reshaping, LAST)])
def test_a_network_gets_the_faster_layout_unless_it_cannot_work_with_it(
    make: Callable[[], nn.Module], form: torch.memory_format
) -> None:
    network, images = make().eval(), torch.rand(2, 3, 8, 8)
    wanted = network(images)
    arrange(network, images[:1], LAST)
    assert lies(network) == form
    assert torch.allclose(network(images.contiguous(memory_format=LAST)), wanted, atol=1e-6)


def test_a_network_of_the_callers_is_shown_images_as_it_takes_them_inside_the_block_alone() -> None:
    network, images = Viewing(), torch.rand(2, 3, 8, 8).contiguous(memory_format=LAST)
    state = torch.get_rng_state()
    with arranged(network, images):
        assert network(images).shape == (2, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    with pytest.raises(RuntimeError, match="view size"):
        network(images)


def test_what_takes_no_images_in_any_layout_gets_the_one_asked_for() -> None:
    network = reshaping()
    assert suit(network, torch.rand(1, 3, 9, 9), LAST)
    assert lies(network) == LAST


def test_filters_alone_are_moved() -> None:
    network = nn.Sequential(nn.Conv3d(2, 2, 3), nn.Conv2d(2, 2, 3), nn.Linear(2, 2))
    network.register_buffer("mask", torch.zeros(1, 2, 3, 4))
    filters(network, LAST)
    assert lies(network[1]) == LAST
    assert all(value.is_contiguous() for name, value in network.state_dict().items() if name != "1.weight")


def test_a_processor_predicts_channels_last_and_a_gpu_channel_after_channel() -> None:
    assert (layout(None), layout(torch.device("cuda"))) == (LAST, PLAIN)


def test_images_of_a_batch_that_are_taken_one_by_one_show_only_when_there_are_two() -> None:
    class Together(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.conv(x).view(1, -1, 6, 6).mean((2, 3)).view(len(x), -1)
            return out

    network, images = Together().eval(), torch.rand(2, 3, 8, 8)
    arrange(network, images, LAST)
    assert network(images.contiguous(memory_format=LAST)).shape == (2, 4)


def test_grey_images_lie_plainly_whatever_their_strides_were() -> None:
    images = torch.randint(0, 256, (2, 8, 8, 1), dtype=torch.uint8).permute(0, 3, 1, 2)
    assert images.is_contiguous()
    assert images.is_contiguous(memory_format=LAST)  # though not to a convolution, which goes by the strides
    conv = nn.Conv2d(1, 4, 3)
    assert conv(to_float(images).contiguous()).is_contiguous()


def test_a_convolution_whose_gradient_ends_the_process_gets_plain_images() -> None:
    network = nn.Sequential(nn.Conv2d(3, 64, 1, stride=2), nn.Flatten())
    images = torch.rand(2, 3, 16, 16)
    shown: list[bool] = []
    network[0].register_forward_pre_hook(lambda module, args: shown.append(args[0].is_contiguous()))
    arrange(network, images, LAST)
    images = images.contiguous(memory_format=LAST).requires_grad_()
    network(images).square().sum().backward()
    assert set(shown) == {True}
    assert images.grad is not None
    assert images.grad.isfinite().all()
