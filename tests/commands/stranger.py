"""What a user brings along: a network for 64-pixel images of 100 classes, its weights, and folders of photographs."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from windfirm.data import Images

BUILD = "tests.commands.stranger:build"
CLASSES = 100


def build() -> nn.Module:
    """Says in timm's way what it wants to be fed."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, CLASSES),
    )
    network.pretrained_cfg = {"input_size": (3, 64, 64), "mean": (0.5, 0.4, 0.3), "std": (0.3, 0.2, 0.1)}  # type: ignore[assignment]
    return network


def build_for_32() -> nn.Module:
    """The same network, made for smaller images."""
    network = build()
    network.pretrained_cfg = {"input_size": (3, 32, 32)}  # type: ignore[assignment]
    return network


def weights(path: Path) -> Path:
    """Trained weights, so to speak, as others keep them."""
    torch.manual_seed(7)
    save_file(build().state_dict(), path)
    return path


def images(split: str) -> Images:
    """Images that need no folder."""
    generator = torch.Generator().manual_seed(len(split))
    pixels = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(8), tuple(map(str, range(CLASSES))), f"mine/{split}")


def photographs(path: Path) -> Path:
    """One image for each class in train and val: PNG, JPEG and WebP, high and wide; in each half one broken file."""
    rng = np.random.default_rng(3)
    for half in ("train", "val"):
        for number in range(CLASSES):
            place = path / half / f"class{number:02}"
            place.mkdir(parents=True)
            height, width = rng.integers(40, 100, size=2)
            image = Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8))
            image.save(place / f"1.{('png', 'jpg', 'webp')[number % 3]}")
        (path / half / "class07" / "0.jpg").write_bytes(b"\xff\xd8\xff\xe0 the rest was lost")
    return path
