"""A training that goes on: a network, what it is trained on and how, and all that changes from epoch to epoch."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from windfirm.adjust.average import average_of, settle
from windfirm.adjust.distributed import agree_on, rank
from windfirm.adjust.fit import check_fit, check_trainable, takes_last
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.probe import hold_out, judge
from windfirm.adjust.recipe import NO_EXTRAS, Epoch, Extras, Recipe, kept_epoch
from windfirm.adjust.resume import as_json, fingerprint, read_progress, write_progress
from windfirm.data.augment import Augmenter, to_float
from windfirm.errors import InputError, expected
from windfirm.models.checkpoint import held, unheld
from windfirm.models.device import require_float32
from windfirm.models.layout import filters


@dataclass(frozen=True)
class Material:
    """Images, of which those at ``rows`` are trained on and those at ``held`` are not; ``labels`` are on the device.

    Several networks may be trained on the same.
    """

    augment: Augmenter
    labels: Tensor
    rows: Tensor
    held: Tensor

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The images (b, c, h, w) uint8 and labels (b,) at ``rows`` (b,), as they are."""
        images = self.augment.images
        return images[rows.to(images.device)], self.labels[rows.to(self.labels.device)]


def material(images: Tensor, labels: Tensor, held: int, device: torch.device) -> Material:
    """Put ``images`` (n, c, h, w) uint8 and ``labels`` (n,) on ``device``, and hold some out.

    Raises InputError where they do not fit together or none is left to train on.
    """
    if images.ndim != 4 or images.dtype != torch.uint8:  # those in [0, 1] would be trained on as all but black
        got = f"{tuple(images.shape)} {images.dtype}"
        raise InputError(expected("training data", "images (n, c, h, w) of torch.uint8", got))
    count = len(images)
    if labels.ndim != 1:
        raise InputError(expected("training data", "labels (n,)", tuple(labels.shape)))
    if count == 0 or len(labels) != count:
        raise InputError(
            expected("training data", "as many labels as images, at least one", f"{len(labels)} and {count}")
        )
    whole = not (labels.is_floating_point() or labels.is_complex())
    if not whole or int(labels.min()) < 0:
        got = f"{int(labels.min())} among them" if whole else str(labels.dtype)
        raise InputError(expected("training data", "labels (n,) that are whole numbers from 0", got))
    return Material(Augmenter(images, device), labels.to(device, torch.int64), *hold_out(count, held))


@dataclass(frozen=True)
class Course:
    """How a network is trained: recipe, extras, what is made small, the seed, and where the state is kept, if it is.

    ``start``: what tells the network that it begins with from others; a state of another is not gone on from.
    """

    recipe: Recipe
    extras: Extras
    objective: Objective
    seed: int
    checkpoint: Path | None
    start: str | None = None


@dataclass
class Training:
    """``average``: that of the weights, if asked for. ``best``: the state of the epoch that is kept, if not the last.

    ``plan``: what a state on disk must have been made by. ``plain``: the network takes no images channels-last.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    material: Material
    course: Course
    plan: dict[str, object]
    average: nn.Module | None
    plain: bool
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)


def begin(model: nn.Module, course: Course, material: Material) -> Training:
    """Make ready to train ``model`` in place, or to go on from the state in the checkpoint.

    Raises InputError unless its parameters are float32, some of them to be trained, and its state, where that is to be
    kept, can be held by a file; CheckpointError for a state of another run.
    """
    require_float32(model)
    check_trainable(model)
    if course.checkpoint or course.extras.keep != "last":
        held("checkpoint" if course.checkpoint else f"keep {course.extras.keep}", model)
    recipe, extras, device = course.recipe, course.extras, material.labels.device
    first = material.at(material.rows[:2])[0]
    if course.objective.once or course.objective.labelled:  # others may call the network in ways of their own
        check_fit(model, first, material.labels, device)
    last = takes_last(model.to(device), to_float(first.to(device)))
    filters(model, torch.channels_last if last else torch.contiguous_format)
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
        fused=True,
    )
    if recipe.momentum > 0:  # the fused step wants one for all weights, and a layer may be left out of the first steps
        for parameter in model.parameters():
            if parameter.requires_grad:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    plan: dict[str, object] = {}
    if course.checkpoint:
        run = fingerprint(model, material.augment.images, material.labels)
        plan = {"recipe": asdict(recipe), "seed": course.seed, "run": run}
        if course.objective is not PLAIN:
            plan["objective"] = {"name": course.objective.name, **course.objective.options}
        if course.start is not None:
            plan["start"] = course.start
        if extras != NO_EXTRAS:
            plan["extras"] = asdict(extras)
        plan = as_json("training", plan)
    average = None if extras.ema is None else average_of(model)
    training = Training(model, optimizer, material, course, plan, average, not last)
    if course.checkpoint:
        _restore(training, course.checkpoint)
    agree_on(len(training.history))
    return training


def close(training: Training, epoch: Epoch) -> None:
    """End an epoch: judge it by the held-out images, keep its weights if it is the best, and write down the state."""
    extras, material = training.course.extras, training.material
    if extras.probe:
        network = _outcome(training)
        epoch = replace(epoch, **judge(network, *material.at(material.held)))
        if extras.keep != "last" and kept_epoch([*training.history, epoch], extras.keep) is epoch:
            training.best = {name: value.clone() for name, value in network.state_dict().items()}
    training.history.append(epoch)
    if training.course.checkpoint and rank() == 0:
        write_progress(training.course.checkpoint, _tensors(training), training.plan, training.history)


def finish(training: Training) -> None:
    """Give the network the weights that the training ends with: its own, their average, or those of its best epoch."""
    training.optimizer.zero_grad(set_to_none=True)  # they are as large as the weights, and of no use to the caller
    if training.best or training.average is not None:
        training.model.load_state_dict(training.best or _outcome(training).state_dict())


def _outcome(training: Training) -> nn.Module:
    """The network that would be the result now."""
    if training.average is None:
        return training.model
    material = training.material
    settle(training.average, training.model, material.augment.images, material.rows, training.course.seed)
    return training.average


def _tensors(training: Training) -> dict[str, Tensor]:
    """All that a training needs to go on, by name."""
    tensors = {f"model.{name}": value for name, value in training.model.state_dict().items()}
    tensors |= {f"loose.{name}": value for name, value in _loose(training.model)}
    for name, parameter in training.model.named_parameters():
        momentum = training.optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    average = {} if training.average is None else training.average.state_dict()
    tensors |= {f"average.{name}": value for name, value in average.items()}
    return tensors | {f"best.{name}": value for name, value in training.best.items()}


def _loose(model: nn.Module) -> list[tuple[str, Tensor]]:
    """The buffers that are no part of a network's state, and that training may move all the same."""
    state = model.state_dict()
    return [(name, value) for name, value in model.named_buffers() if name not in state and unheld(value) is None]


def _restore(training: Training, path: Path) -> None:
    """Take up what _tensors kept and close wrote, if anything."""
    tensors, training.history = read_progress(path, training.plan, Epoch)
    if not training.history:
        return

    def part(kind: str) -> dict[str, Tensor]:
        return {name.removeprefix(kind): value for name, value in tensors.items() if name.startswith(kind)}

    training.model.load_state_dict(part("model."))
    for name, value in part("loose.").items():
        training.model.get_buffer(name).copy_(value)
    momenta = part("momentum.")
    for name, parameter in training.model.named_parameters():
        if name in momenta:
            training.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momenta[name])
    if training.average is not None:
        training.average.load_state_dict(part("average."))
    device = training.material.labels.device
    training.best = {name: value.to(device) for name, value in part("best.").items()}
