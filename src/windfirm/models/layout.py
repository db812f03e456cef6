"""How images and filters lie in memory.

Convolutions on a processor are faster with channels-last. A network that takes the values of an intermediate result in
the order in which they lie, as ``x.view(len(x), -1)`` does, can only be shown images that lie channel after channel.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import CutError
from windfirm.models.copies import copied
from windfirm.models.device import in_float32, is_gpu
from windfirm.models.mode import mode


def layout(device: torch.device | None) -> torch.memory_format:
    """How images and filters lie in memory where a network predicts in float32: as that is fastest on ``device``."""
    return torch.contiguous_format if is_gpu(device) else torch.channels_last


def arrange(network: nn.Module, images: Tensor, form: torch.memory_format) -> None:
    """Let the filters of ``network`` lie as ``form`` says, and show it ``images`` (b, c, h, w) as it takes them."""
    if not suit(network, images, form):
        network.register_forward_pre_hook(_plain)


@contextmanager
def arranged(network: nn.Module, images: Tensor) -> Iterator[None]:
    """Inside the block ``network`` is shown images such as ``images`` (b, c, h, w) as it takes them."""
    asked = network
    with suppress(CutError):
        asked = copied(network)
    with nullcontext() if takes(asked, images) else shown_plain(network):
        yield


@contextmanager
def shown_plain(network: nn.Module) -> Iterator[None]:
    """Inside the block ``network`` is shown every image channel after channel."""
    hook = network.register_forward_pre_hook(_plain)
    try:
        yield
    finally:
        hook.remove()


def suit(network: nn.Module, images: Tensor, form: torch.memory_format) -> bool:
    """Let the filters of ``network`` lie as ``form`` says; channel after channel where it then takes no ``images``.

    Returns whether it takes ``images`` (b, c, h, w) channels-last; also where it takes them in no layout.
    """
    filters(network, form)
    if takes(network, images):
        return True
    filters(network, torch.contiguous_format)
    if takes(network, images, torch.contiguous_format):
        return False
    filters(network, form)
    return True


def filters(network: nn.Module, form: torch.memory_format) -> None:
    """Let the filters of convolutions lie as ``form`` says; everything else stays as it is."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            for parameter in module.parameters(recurse=False):
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=form)


def takes(
    network: nn.Module, images: Tensor, form: torch.memory_format = torch.channels_last, *, training: bool = False
) -> bool:
    """Whether ``network`` takes ``images`` (b, c, h, w) that lie as ``form`` says.

    Two images or more tell best: some networks treat one alone in another way.
    """
    if form is torch.channels_last and not is_gpu(images.device) and any(map(_overruns, network.modules())):
        return False
    exactly = torch.autocast(images.device.type, enabled=False)
    try:
        with (
            mode(network, training=training),
            torch.no_grad(),
            seeds.kept(),
            in_float32(),
            exactly,
        ):
            network(images.clone(memory_format=form))
    except Exception:  # a network may raise anything
        return False
    return True


def _overruns(module: nn.Module) -> bool:
    """Whether its gradient, channels-last on a processor, is written beyond its memory, which ends the process.

    So it is in PyTorch 2.13 for 1×1 convolutions of stride 2 that read fewer channels than a vector holds, as RepVGG's
    and FastViT's do of an image.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < 16
    )


def _plain(network: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return args[0].contiguous(), *args[1:]
