"""Training speed: ``train`` beside the loop that most people write, in one run on one machine.

The other loop is plain PyTorch: a Dataset that crops, flips and converts one image at a time, a DataLoader with two
workers, float32, NCHW, SGD. Both train the same architecture on the same random images with the same batch size. The
two take turns, epoch by epoch; a first round warms up and does not count.

    python -m benchmarks.train --arch resnet56 --images 2560 --device cpu

With ``--defences`` it trains by each defence instead, by turns with the plain loss.

    python -m benchmarks.train --arch resnet20 --images 1280 --repeats 3 --defences
"""

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.train import Recipe, train
from windfirm.defend.registry import DEFENCES, defence
from windfirm.models.device import has_bfloat16, pick
from windfirm.models.registry import ARCHITECTURES, build

BATCH = 128
WORKERS = 2


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Each image padded, cropped, flipped and converted on its own, as transforms in a Dataset do."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        height, width = self.images.shape[-2:]
        top, left = torch.randint(9, (2,)).tolist()
        image = F.pad(self.images[i], (4, 4, 4, 4))[:, top : top + height, left : left + width]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        return image.to(torch.float32).div(255), self.labels[i]


def plain_epoch(
    model: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], device: torch.device
) -> Callable[[], float]:
    """The plain loop as a function that trains one epoch and returns its images a second."""
    optimizer = torch.optim.SGD(model.to(device).parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def epoch() -> float:
        model.train()
        count = 0
        start = time.perf_counter()
        for batch, target in loader:
            loss = F.cross_entropy(model(batch.to(device)), target.to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            count += len(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return count / (time.perf_counter() - start)

    return epoch


#: How many times as long as a plain step each defence may take: by the passes it makes.
LIMITS = {
    "cutmix": 1.3,
    "cutout": 1.3,
    "fast-at": 2.0,
    "mixup": 1.3,
    "pgd-at": 8.0,
    "shape-texture": 2.5,
    "stylized": 2.5,
    "trades": 12.0,
}


def compare_defences(model: nn.Module, images: Tensor, labels: Tensor, repeats: int, device: torch.device) -> None:
    """Time an epoch of each defence by turns with a plain one, and print the ratios beside their limits."""
    recipe = Recipe(epochs=1, lr=0.01, batch=BATCH)

    def seconds(objective: Objective) -> float:
        return train(model, images, labels, recipe, device=device, objective=objective)[0].seconds

    print(f"{'defence':<16}{'× plain':>10}{'lowest':>10}{'highest':>10}{'limit':>10}")
    for name in DEFENCES:
        objective = defence(name)
        ratios = [seconds(objective) / seconds(PLAIN) for _ in range(1 + repeats)][1:]
        middle = median(ratios)
        verdict = "" if middle <= LIMITS[name] else "  too slow"
        print(f"{name:<16}{middle:>10.2f}{min(ratios):>10.2f}{max(ratios):>10.2f}{LIMITS[name]:>10.1f}{verdict}")


def processor(device: torch.device) -> str:
    """The name of what computes, as exactly as this machine tells."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description="Training speed beside a plain PyTorch loop.")
    parser.add_argument("--arch", default="resnet56", choices=ARCHITECTURES)
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--defences", action="store_true", help="time the defences beside the plain loss")
    arguments = parser.parse_args()
    device = pick(arguments.device)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (arguments.images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (arguments.images,))
    if arguments.defences:
        print(f"{arguments.arch}, {arguments.images:,} random images 32×32, batch {BATCH}")
        print(f"{processor(device)}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")
        compare_defences(build(arguments.arch), images, labels, arguments.repeats, device)
        return
    pin = device.type == "cuda"
    data = OneByOne(images, labels)
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True, pin_memory=pin)
    plain = plain_epoch(build(arguments.arch), loader, device)
    model, recipe = build(arguments.arch), Recipe(epochs=1, lr=0.01, batch=BATCH)

    def ours() -> float:
        return train(model, images, labels, recipe, device=device)[0].images_per_second

    rounds = [(ours(), plain()) for _ in range(1 + arguments.repeats)][1:]
    speeds = {"windfirm": [a for a, _ in rounds], "plain PyTorch": [b for _, b in rounds]}
    ratios = [a / b for a, b in rounds]
    precision = "bfloat16 autocast" if has_bfloat16(device) else "float32"
    print(
        f"{arguments.arch}, {arguments.images:,} random images 32×32, batch {BATCH}, {arguments.repeats} rounds in turn"
    )
    print(f"{processor(device)}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    print(f"windfirm: {precision}, channels-last; plain PyTorch: float32, NCHW, {WORKERS} workers\n")
    print(f"{'loop':<16}{'images/s':>10}{'lowest':>10}{'highest':>10}")
    for name, values in speeds.items():
        print(f"{name:<16}{median(values):>10.0f}{min(values):>10.0f}{max(values):>10.0f}")
    print(f"{'ratio':<16}{median(ratios):>10.2f}{min(ratios):>10.2f}{max(ratios):>10.2f}")


if __name__ == "__main__":
    main()
