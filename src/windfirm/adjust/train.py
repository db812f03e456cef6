"""The only training loop: baselines, fine-tuning after a cut, and the control all pass through here.

It is fast because nothing but arithmetic happens per step: the images live on the device as uint8, augmentation is
batched there, convolutions see channels-last tensors, and the forward pass runs in bfloat16 (weights, statistics and
loss stay float32) where the processor or GPU computes it natively.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.resume import fingerprint, read_progress, write_progress
from windfirm.adjust.schedule import SCHEDULES
from windfirm.data.augment import Augmenter
from windfirm.errors import InputError, TrainingError, expected
from windfirm.models.device import autocast, slow_in_bfloat16
from windfirm.models.mode import mode


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD with Nesterov momentum. ``lr`` is the peak rate; ``schedule`` names its course."""

    epochs: int = 50
    lr: float = 0.1
    batch: int = 128
    schedule: str = "onecycle"
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise InputError(expected("recipe", "epochs and batch of at least 1", f"{self.epochs} and {self.batch}"))
        if not 0 < self.lr < math.inf:
            raise InputError(expected("recipe", "a learning rate above 0", self.lr))
        if self.schedule not in SCHEDULES:
            raise InputError(expected("recipe", f"a schedule out of {', '.join(SCHEDULES)}", self.schedule))


@dataclass(frozen=True)
class Epoch:
    """What one epoch was: its number from 1, mean loss, share of training images right, images a second, seconds."""

    epoch: int
    loss: float
    accuracy: float
    images_per_second: float
    seconds: float


#: Called after every step with (images seen in this run, images in all, images a second, loss of the last epoch).
Progress = Callable[[int, int, float, float], None]


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    objective: Objective = PLAIN,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> list[Epoch]:
    """Train ``model`` in place on ``images`` (n, c, h, w) uint8 and ``labels`` (n,) and return one entry per epoch.

    Every step makes ``objective`` smaller. With ``checkpoint``, the state is kept there after every epoch; a run that
    finds it continues, and ends with the very weights that an undisturbed run on the same hardware would have. Raises
    TrainingError when the loss is not finite; the last good epoch stays in ``checkpoint``.
    """
    device = device or torch.device("cpu")
    count = len(images)
    if count == 0 or len(labels) != count:
        raise InputError(
            expected("training data", "as many labels as images, at least one", f"{len(labels)} and {count}")
        )
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
        fused=True,
    )
    history: list[Epoch] = []
    if checkpoint:
        plan: dict[str, object] = {"recipe": asdict(recipe), "seed": seed, "run": fingerprint(model, images, labels)}
        if objective is not PLAIN:
            plan["objective"] = {"name": objective.name, **objective.options}
        history = read_progress(checkpoint, model, optimizer, plan, Epoch)
    task = _Task(model, optimizer, Augmenter(images, device), labels.to(device), recipe, objective, seed)
    with mode(model, training=True), slow_in_bfloat16(model, device):
        for epoch in range(len(history), recipe.epochs):
            entry = _epoch(task, epoch, history[-1].loss if history else math.nan, progress)
            if not math.isfinite(entry.loss):
                remedy = f"a lower learning rate than {recipe.lr:g} may help"
                raise TrainingError(f"epoch {entry.epoch}: expected a finite loss, got {entry.loss}; {remedy}")
            history.append(entry)
            if checkpoint:
                write_progress(checkpoint, model, optimizer, plan, history)
    return history


@dataclass(frozen=True)
class _Task:
    """What stays the same from epoch to epoch; ``labels`` are on the device."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    augment: Augmenter
    labels: Tensor
    recipe: Recipe
    objective: Objective
    seed: int


def _epoch(task: _Task, epoch: int, last_loss: float, progress: Progress | None) -> Epoch:
    """One pass over the images, epoch counted from 0. Sums stay on the device, so that a GPU is never waited for."""
    labels, recipe, device = task.labels, task.recipe, task.labels.device
    count = len(labels)
    order = torch.randperm(count, generator=seeds.stream(task.seed, "order", epoch))
    batches = torch.split(order, recipe.batch)
    augmentation = seeds.stream(task.seed, "augment", epoch)
    randomness = seeds.stream(task.seed, "objective", epoch)
    share = SCHEDULES[recipe.schedule]
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    seen = 0
    start = time.perf_counter()
    for i, batch in enumerate(batches):
        task.optimizer.param_groups[0]["lr"] = recipe.lr * share((epoch + i / len(batches)) / recipe.epochs)
        target = labels[batch.to(device)]
        with autocast(device):
            loss, logits = task.objective.loss(task.model, task.augment(batch, augmentation), target, randomness)
        task.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        task.optimizer.step()
        loss_sum += loss.detach() * len(batch)
        right += (logits.detach().argmax(1) == target).sum()
        seen += len(batch)
        if progress and (device.type == "cpu" or i % 20 == 0):
            speed = seen / (time.perf_counter() - start)
            progress(epoch * count + seen, recipe.epochs * count, speed, last_loss)
    mean_loss = loss_sum.item() / count  # waits for the device
    seconds = time.perf_counter() - start
    return Epoch(epoch + 1, mean_loss, right.item() / count, count / seconds, seconds)
