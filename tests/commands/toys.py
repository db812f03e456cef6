"""A tiny network and tiny folders of images, and a way to run a command in this process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from windfirm.cli import main
from windfirm.models.checkpoint import save

NET = "tests.commands.toys:network"


def network(classes: int = 2) -> nn.Module:
    """Two convolutions; takes images of any size."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def square_only() -> nn.Module:
    """Takes 32×32 images and no others."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 32 * 32, 2))


class _Viewing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 8, 5), nn.Linear(8 * 5 * 5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.first(x).relu(), 2)
        x = functional.max_pool2d(self.second(x).relu(), 2)
        out: torch.Tensor = self.last(x.view(x.size(0), -1))
        return out


def viewing() -> nn.Module:
    """A LeNet for 32×32 images, which takes values as they lie in memory."""
    torch.manual_seed(0)
    return _Viewing()


def double() -> nn.Module:
    """The tiny network in double precision."""
    torch.manual_seed(0)
    return network().double()


def frozen() -> nn.Module:
    """The tiny network, none of whose weights is to be trained."""
    return network().requires_grad_(False)


class _Picky(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] != 64:
            raise ValueError("wants 64")
        return x


def picky() -> nn.Module:
    """Says by itself which images it takes."""
    return _Picky()


def half() -> nn.Module:
    """The tiny network in half precision."""
    torch.manual_seed(0)
    return network().half()


def not_a_network() -> str:
    return "a string"


def broken() -> nn.Module:
    raise KeyError("width")


def folder(path: Path, count: int = 8, side: int = 32, classes: tuple[str, ...] = ("bright", "dark")) -> Path:
    """``count`` images in each class folder, the first class brighter than the others."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(128, size=(side, side, 3), dtype=np.uint8) + (128 if label == 0 else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(path / name / f"{i}.png")
    return path


def checkpoint(path: Path, classes: int = 2) -> Path:
    """The tiny network in a file that names no architecture."""
    torch.manual_seed(0)
    save(network(classes), path, classes=classes)
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Standard output of a command that ends well."""
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def run_json(capsys: pytest.CaptureFixture[str], *argv: object) -> Any:
    return json.loads(run(capsys, *argv, "--json"))


def complaint(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The last line on standard error of a command that ends with exit code 2, after nothing but lines of progress."""
    try:
        code: object = main([str(word) for word in argv])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    *progress, last, rest = err.split("\n")
    assert rest == ""
    assert all("%" in line for line in progress)
    return last


def listing(path: Path) -> list[str]:
    """Every file and folder below ``path``, hidden ones as well."""
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))
