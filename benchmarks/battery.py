"""The whole battery on one network, timed: every attack of a careful reading, on all test images.

Clean, semantic, occlusion, FGSM, PGD-50 at six eps and the standard AutoAttack, one after another as ``evaluate`` runs
them. The first attack also pays for the start of the device, which is timed apart.

    python -m benchmarks.battery --data cifar10 --device cuda
"""

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from benchmarks.train import processor, wait
from windfirm import data
from windfirm.attack import build, parse_eps
from windfirm.evaluate import evaluate
from windfirm.models.device import pick
from windfirm.models.source import open_model

#: Names of attacks with what they are given, and eps; the last is the budget that most papers report.
BATTERY = [
    ("clean", {}, "8/255"),
    ("semantic", {}, "8/255"),
    ("occlusion", {}, "8/255"),
    ("fgsm", {}, "8/255"),
    *[("pgd", {"steps": 50}, eps) for eps in ("0.25/255", "0.5/255", "1/255", "2/255", "4/255", "8/255")],
    ("autoattack", {}, "8/255"),
]

T = TypeVar("T")


def timed(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What ``work`` returns, and the seconds until the device has done it."""
    wait(device)
    start = time.perf_counter()
    result = work()
    wait(device)
    return result, time.perf_counter() - start


def main() -> None:
    """Run and print a line for each attack, and the sum."""
    parser = argparse.ArgumentParser(description="The whole battery of attacks on one network.")
    parser.add_argument("--network", default="resnet56", help="a checkpoint or a built-in name")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--images", type=int, help="the first of the test images (default: all)")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick(arguments.device)
    images = data.load(arguments.data, "test", limit=arguments.images)
    model = open_model(arguments.network).model
    side = images.side
    print(f"{arguments.network}, {len(images):,} images of {images.name}, {processor(device)}, {torch.__version__}")
    _, start = timed(lambda: evaluate(model, images[:100], build("fgsm", side), device=device), device)
    print(f"{'the start':<12}{'':<10}{'':>10}{start:>9.2f} s", flush=True)
    seconds = 0.0
    for name, options, eps in BATTERY:
        attack = build(name, side, **options)
        outcome, spent = timed(lambda: evaluate(model, images, attack, eps=parse_eps(eps), device=device), device)  # noqa: B023
        shown = eps if attack.norm else ""
        print(f"{name:<12}{shown:<10}{outcome.accuracy:>10.2%}{spent:>9.2f} s", flush=True)
        seconds += spent
    print(f"{'together':<12}{'':<10}{'':>10}{seconds:>9.2f} s")


if __name__ == "__main__":
    main()
