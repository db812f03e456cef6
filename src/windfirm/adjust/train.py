"""The only training loop: baselines, fine-tuning after a cut, and the control all pass through here.

It is fast because nothing but arithmetic happens per step: the images live on the device as uint8, augmentation is
batched there, convolutions see channels-last tensors, and the forward pass runs in bfloat16 (weights, statistics and
loss stay float32) where the processor or GPU computes it natively.

A training is its state (training.py), which goes on epoch by epoch (epoch.py), a step at a time: so that it can take
turns with others (together.py), and share a step with other processes (distributed.py).
"""

import math
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from windfirm.adjust.compiling import compiled, replayed
from windfirm.adjust.distributed import processes, synchronised
from windfirm.adjust.epoch import epoch
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.recipe import NO_EXTRAS, Epoch, Extras, Progress, Recipe
from windfirm.adjust.training import Course, Training, begin, close, finish, material
from windfirm.data.augment import to_float
from windfirm.errors import InputError, TrainingError, expected
from windfirm.models.device import default_modes, placed, slow_in_bfloat16
from windfirm.models.layout import shown_plain
from windfirm.models.meta import named_tensors
from windfirm.models.mode import mode

__all__ = ["Epoch", "Extras", "Progress", "Recipe", "steps", "train"]


@default_modes()
@torch.enable_grad()
def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    objective: Objective = PLAIN,
    checkpoint: Path | str | None = None,
    start: str | None = None,
    progress: Progress | None = None,
    extras: Extras = NO_EXTRAS,
) -> list[Epoch]:
    """Train ``model`` in place on ``images`` (n, c, h, w) uint8 and ``labels`` (n,) and return one entry per epoch.

    It is moved to ``device``, None for the CPU. Every step makes ``objective`` smaller; ``extras`` happen beside that.
    With ``checkpoint``, the state is kept there after every epoch; a run that finds it continues, and ends with the
    very weights that an undisturbed run on the same hardware would have; ``start``, such as weights_digest of the
    network, keeps one that began otherwise from doing so. Processes that ``distributed.joined`` train the one network
    together. Raises TrainingError when the loss is not finite; the last good epoch stays in ``checkpoint``.
    """
    stuff = material(images, labels, extras.probe, placed(device))
    path = Path(checkpoint) if checkpoint else None
    training = begin(model, Course(recipe, extras, objective, seed, path, start), stuff)
    with torch.autocast(stuff.labels.device.type, enabled=False):  # the caller's; a step has its own
        for _ in steps(training, progress):
            pass
    return training.history


def steps(training: Training, progress: Progress | None) -> Generator[None, None, None]:
    """All the epochs that are left, with a pause after every step; at the end the network has the weights to keep.

    Raises what ``train`` raises, and InputError for what several processes cannot do.
    """
    model, material, course = training.model, training.material, training.course
    recipe, device = course.recipe, material.labels.device
    if course.extras.compile and processes() > 1:
        raise InputError(expected("compile", "one process", f"{processes()} of torchrun"))
    count = len(material.rows)
    rest = count % recipe.batch or min(recipe.batch, count)
    rest += recipe.batch if rest == 1 < count else 0  # which the batch before takes in
    if rest < processes():
        raise InputError(expected("torchrun", f"a last batch with an image for each of {processes()} processes", rest))
    shown = shown_plain(model) if training.plain else nullcontext()
    with mode(model, training=True), slow_in_bfloat16(model, device), synchronised(model), shown:
        network = model
        graphs = device.type == "cuda" and course.objective.once and processes() == 1
        if (course.extras.compile or graphs) and len(training.history) < recipe.epochs:
            example = to_float(material.at(material.rows[: recipe.batch])[0].to(device))
            how = course.extras.compile
            network = compiled(model, example, how) if how else replayed(model, example, kept=course.objective.kept)
        infinite = _infinite(model)  # masks of -inf, say, which are meant to be
        while len(training.history) < recipe.epochs:
            entry = yield from epoch(training, network, progress)
            where, remedy = f"epoch {entry.epoch}", f"; a lower learning rate than {recipe.lr:g} may help"
            if not math.isfinite(entry.loss):
                raise TrainingError(expected(where, "a finite loss", f"{entry.loss}{remedy}"))
            if spoilt := [name for name in _infinite(model) if name not in infinite]:  # by the last step
                raise TrainingError(expected(where, "finite weights", f"others in {spoilt[0]}{remedy}"))
            close(training, entry)
    finish(training)


def _infinite(model: nn.Module) -> list[str]:
    """The parameters and buffers that hold infinity or NaN."""
    return [name for name, tensor in named_tensors(model) if not bool(tensor.isfinite().all())]
