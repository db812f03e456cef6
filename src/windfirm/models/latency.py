"""How long a network takes for one image, measured."""

import time
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor, nn

from windfirm.errors import InputError, expected
from windfirm.models.mode import mode

WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Seconds per image over ``repeats`` passes of ``batch`` images: the median and the quartiles around it."""

    median: float
    low: float
    high: float
    batch: int
    repeats: int


def latency(model: nn.Module, example: Tensor, repeats: int = 20) -> Latency:
    """Time ``repeats`` forward passes of ``example`` (b, c, h, w), after a few that do not count.

    Runs where the model's parameters are, in eval mode and without gradients; the model's mode is put back. The number
    holds for this batch size, this machine and its present load; compare networks only within one run.
    """
    if len(example) < 1 or repeats < 2:
        got = f"{len(example)} and {repeats}"
        raise InputError(expected("latency", "at least one image and two repeats", got))
    device = next((parameter.device for parameter in model.parameters()), example.device)
    example = example.to(device)
    with mode(model, training=False), torch.inference_mode():
        for _ in range(WARM_UP):
            model(example)
        seconds = [_one_pass(model, example) / len(example) for _ in range(repeats)]
    low, median, high = quantiles(seconds, method="inclusive")
    return Latency(median, low, high, len(example), repeats)


def _one_pass(model: nn.Module, example: Tensor) -> float:
    _wait(example.device)
    start = time.perf_counter()
    model(example)
    _wait(example.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    """A GPU is handed its work and runs on its own; a clock means nothing until it has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
