"""Several networks trained in one process, by turns, on one copy of the images: seeds of a recipe, or arms.

Turns change nothing: objectives, teachers and networks of any shape go through the loop as they do alone. Stacked into
one network by torch.func, four ResNet-20 took a processor 1.5 times as long as by turns, in bfloat16 2.4 times.
"""

import math
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from windfirm.adjust.distributed import processes
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.recipe import NO_EXTRAS, Epoch, Extras, Progress, Recipe
from windfirm.adjust.train import steps
from windfirm.adjust.training import Course, Training, begin, material
from windfirm.errors import InputError, TrainingError, expected
from windfirm.models.device import default_modes, placed


@default_modes()
@torch.enable_grad()
def train_together(
    models: Sequence[nn.Module],
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    device: torch.device | str | None = None,
    objective: Objective = PLAIN,
    checkpoints: Sequence[Path | str] | None = None,
    starts: Sequence[str] | None = None,
    progress: Progress | None = None,
    extras: Extras = NO_EXTRAS,
) -> list[list[Epoch]]:
    """Train each of ``models`` in place with its seed, as ``train`` would alone; returns the epochs of each.

    They take turns, step by step, each on a stream of its own where there is a GPU; what one draws at random does not
    depend on the others. The seconds of an epoch hold the turns of the others too. With ``checkpoints``, one for each,
    all go on from where they are; ``starts``, one for each, are what ``start`` is to ``train``. ``progress`` hears of
    the images of all networks. Raises what ``train`` raises, and InputError unless there is a seed for every network.
    """
    paths = [None] * len(models) if checkpoints is None else checkpoints
    begun = [None] * len(models) if starts is None else starts
    if not len(models) == len(seeds) == len(paths) == len(begun):
        got = f"{len(models)} networks, {len(seeds)} seeds, {len(paths)} checkpoints and {len(begun)} starts"
        raise InputError(expected("train together", "a seed, a checkpoint and a start for every network", got))
    if len({id(model) for model in models}) < len(models):
        raise InputError(expected("train together", "networks that differ", "one of them twice"))
    if processes() > 1:
        raise InputError(expected("train together", "one process", f"{processes()} of torchrun"))
    device = placed(device)
    stuff = material(images, labels, extras.probe, device)
    runs = [
        begin(model, Course(recipe, extras, objective, seed, Path(path) if path else None, start), stuff)
        for model, seed, path, start in zip(models, seeds, paths, begun, strict=True)
    ]
    told = _joined(progress, runs) if progress else [None] * len(runs)
    with torch.autocast(device.type, enabled=False), ExitStack() as stack:  # not in the caller's; a step has its own
        going = [
            _Turn(seed, stack.enter_context(closing(steps(run, tell))), _lane(device))
            for seed, run, tell in zip(seeds, runs, told, strict=True)
        ]
        while going:
            going = [turn for turn in going if turn.take()]
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # what a stream did last is seen by every other
    return [run.history for run in runs]


@dataclass(frozen=True)
class _Turn:
    """A training with its seed and the stream that it runs on."""

    seed: int
    steps: Generator[None, None, None]
    lane: AbstractContextManager[object]

    def take(self) -> bool:
        """Go one step; whether there was one."""
        try:
            with self.lane:
                next(self.steps)
        except StopIteration:
            return False
        except TrainingError as error:
            raise TrainingError(f"seed {self.seed}: {error}") from error
        return True


def _lane(device: torch.device) -> AbstractContextManager[object]:
    """A stream of its own, which sees what was put on the device before; nothing without a GPU."""
    if device.type != "cuda":
        return nullcontext()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def _joined(progress: Progress, runs: Sequence[Training]) -> list[Progress]:
    """One listener for each of ``runs``, which together tell ``progress`` of images, speed and the mean loss of all."""
    epochs = runs[0].course.recipe.epochs
    count = len(runs[0].material.rows)
    latest = [(count * len(run.history), 0.0, run.history[-1].loss if run.history else math.nan) for run in runs]

    def listener(i: int) -> Progress:
        def hear(seen: int, total: int, speed: float, loss: float) -> None:
            latest[i] = seen, speed, loss
            images, speeds, losses = zip(*latest, strict=True)
            progress(sum(images), len(runs) * epochs * count, sum(speeds), sum(losses) / len(runs))

        return hear

    return [listener(i) for i in range(len(runs))]
