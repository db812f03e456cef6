"""How long networks take for one image, measured."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor, nn

from windfirm.errors import InputError, expected
from windfirm.models.copies import copied
from windfirm.models.device import type_of
from windfirm.models.layout import filters
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


def latencies(models: Sequence[nn.Module], example: Tensor, repeats: int = 20) -> tuple[Latency, ...]:
    """Time ``repeats`` forward passes of ``example`` (b, c, h, w) through each of ``models``, after a few uncounted.

    The networks take turns, pass by pass, so that whatever else the machine does meets all of them alike. Each runs
    where its parameters are, in eval mode and without gradients, with its filters as a file holds them: training may
    have left those of one network channels-last and not another's, which makes more of a difference than many a cut.
    Its mode is put back. The numbers hold for this batch size, this machine and its present load; compare networks only
    within one call.
    """
    if len(example) < 1 or repeats < 2:
        got = f"{len(example)} and {repeats}"
        raise InputError(expected("latency", "at least one image and two repeats", got))
    models = [_as_loaded(model) for model in models]
    pairs = [(model, _suited(model, example)) for model in models]
    with ExitStack() as modes, torch.inference_mode():
        for model in models:
            modes.enter_context(mode(model, training=False))
        for _ in range(WARM_UP):
            for model, images in pairs:
                model(images.clone())
        turns = [[_one_pass(model, images) / len(images) for model, images in pairs] for _ in range(repeats)]
    spreads = [quantiles(times, method="inclusive") for times in zip(*turns, strict=True)]
    return tuple(Latency(median, low, high, len(example), repeats) for low, median, high in spreads)


def _as_loaded(model: nn.Module) -> nn.Module:
    """``model``, or a copy with its filters in the order of a fresh network's, where they are in another."""
    if all(parameter.is_contiguous() for parameter in model.parameters()):
        return model
    loaded = copied(model)
    filters(loaded, torch.contiguous_format)
    return loaded


def _suited(model: nn.Module, example: Tensor) -> Tensor:
    """``example`` where the parameters of ``model`` are and, where it holds no whole numbers, of their type."""
    device = next((parameter.device for parameter in model.parameters()), example.device)
    return example.to(device, type_of(model) if example.is_floating_point() else None)


def _one_pass(model: nn.Module, example: Tensor) -> float:
    example = example.clone()  # a network may change what it is given
    _wait(example.device)
    start = time.perf_counter()
    model(example)
    _wait(example.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    """A GPU is handed its work and runs on its own; a clock means nothing until it has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
