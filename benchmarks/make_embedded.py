"""Make the files in ``src/windfirm/data/embedded`` from the stored CIFAR-10: ``python -m benchmarks.make_embedded``.

Takes about three minutes on one core, nearly all of it in the WebP encoder's slowest and smallest mode.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from windfirm import data, seeds
from windfirm.data.embedded import FOLDER, SHEET, SIDE, digest, load_embedded
from windfirm.data.images import Images
from windfirm.files import atomic, write_text

PER_CLASS: dict[Literal["train", "test"], int] = {"train": 400, "test": 100}


def choose(labels: Tensor, per_class: int, split: str) -> Tensor:
    """Positions of ``per_class`` random images of every class, in random order."""
    chosen = []
    for label in sorted(set(labels.tolist())):
        of_class = (labels == label).nonzero().flatten()
        order = torch.randperm(len(of_class), generator=seeds.stream(0, "embedded", split, label))
        chosen.append(of_class[order[:per_class]])
    together = torch.cat(chosen)
    return together[torch.randperm(len(together), generator=seeds.stream(0, "embedded", split, "order"))]


def write_split(
    folder: Path, split: str, images: NDArray[np.uint8], labels: NDArray[np.uint8], indices: list[int]
) -> None:
    """Write one split, images (n, 3, 32, 32), so that ``load_embedded`` reads it back."""
    for i, at in enumerate(range(0, len(images), SHEET)):
        pixels = images[at : at + SHEET].transpose(0, 2, 3, 1).reshape(-1, SIDE, 3)
        with atomic(folder / f"{split}-{i}.webp") as path:
            sheet = Image.fromarray(np.ascontiguousarray(pixels))
            sheet.save(path, "WEBP", lossless=True, quality=100, method=6, exact=True)
    notes = {
        "sha256": digest(images, labels, np.array(indices, dtype=np.uint16)),
        "labels": labels.tolist(),
        "indices": indices,
    }
    write_text(folder / f"{split}.json", json.dumps(notes, separators=(",", ":")) + "\n")


def same(left: Images, right: Images) -> bool:
    """Whether two sets hold the same images and labels in the same order."""
    return torch.equal(left.images, right.images) and torch.equal(left.labels, right.labels)


def main() -> None:
    """Choose, write, read back and compare."""
    for split, per_class in PER_CLASS.items():
        full = data.load("cifar10", split)
        indices = choose(full.labels, per_class, split)
        subset = full[indices]
        write_split(FOLDER, split, subset.images.numpy(), subset.labels.numpy().astype(np.uint8), indices.tolist())
        if not same(load_embedded(split), subset):
            raise SystemExit(f"{split}: what was written does not read back")
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{FOLDER}: {total:,} bytes")


if __name__ == "__main__":
    main()
