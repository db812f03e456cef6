"""A tiny network with a normalisation, images of noise for it, and ways to compare what came of a training."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from windfirm.adjust.train import Epoch


def toy(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64, 3),
    )


def data(count: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, 3, (count,), generator=generator)


def what_was_computed(history: list[Epoch]) -> list[tuple[int, float, float, int | None, int | None]]:
    """All of an epoch but its speed."""
    return [(entry.epoch, entry.loss, entry.accuracy, entry.clean, entry.fgsm) for entry in history]


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    """Every weight and every statistic, bit by bit."""
    for name, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def keep(model: nn.Module, path: Path) -> None:
    """Every weight and every statistic in a file."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def import_all() -> None:
    """Let PyTorch import now what it would import in every process that is forked from this one."""
    torch.optim.SGD(toy().parameters())
