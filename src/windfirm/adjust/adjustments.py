"""What happens to a network after the cut, and to the control: adjustments by name, all trained by the one loop.

An adjustment says with which weights training starts, how long it is, what it lessens, and whether it is of use between
two cuts. It never asks whether the network was cut: the control is F, adjusted with the same arguments.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from windfirm.adjust.distill import TEMPERATURE, WEIGHT, distillation
from windfirm.adjust.fit import check_fit, check_trainable
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.resume import weights_digest
from windfirm.adjust.scratch import refresh, work_ratio
from windfirm.adjust.statistics import restate
from windfirm.adjust.ticket import rewind
from windfirm.adjust.train import Epoch, Progress, Recipe, train
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError, expected, nearest
from windfirm.models.device import default_modes, placed, require_float32
from windfirm.models.meta import require_network

#: What an adjustment may need beside the network, and what that is.
NEEDS = {"original": "the network before its cut", "initial": "the uncut network as before training"}


@dataclass(frozen=True)
class Given:
    """What an adjustment may use: training images, the networks of NEEDS (None: not given), seed and device."""

    images: Images
    original: Any
    initial: Any
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Adjustment:
    """``recipe``: how it trains, None for not at all. ``needs``: names out of NEEDS that must be given.

    ``start`` changes the network before training. ``objective`` makes what training lessens, with these ``options``;
    None for what the caller wants. ``length``: by what the recipe's epochs are multiplied. ``last_only``: between two
    cuts it would be pointless. ``uncut``: the one that does the same to a network of which nothing was cut.
    """

    recipe: Recipe | None
    needs: tuple[str, ...] = ()
    start: Callable[[nn.Module, Given], None] = lambda model, given: None
    objective: Callable[[Given], Objective] | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    length: Callable[[nn.Module, Given], float] = lambda model, given: 1.0
    last_only: bool = False
    uncut: str | None = None


#: Keep the weights; SGD at a tenth of the usual rate, divided by ten at one half and three quarters. The shape is that
#: of Jordao's published code (600 epochs there); the length is the caller's.
FINE_TUNING = Recipe(epochs=6, lr=0.01, schedule="step")

#: The baseline's own schedule in Liu et al. (ICLR 2019).
SCRATCH = Recipe(epochs=160, lr=0.1, batch=64, schedule="step", weight_decay=1e-4)


def _fresh(model: nn.Module, given: Given) -> None:
    refresh(model, given.seed)


def _same_work(model: nn.Module, given: Given) -> float:
    return work_ratio(given.original, model, to_float(given.images.images[:1]).contiguous())


ADJUSTMENTS: Mapping[str, Adjustment] = MappingProxyType(
    {
        "bn-only": Adjustment(
            None, start=lambda model, given: restate(model, given.images, seed=given.seed, device=given.device)
        ),
        "distill": Adjustment(
            FINE_TUNING,
            needs=("original",),
            objective=lambda given: distillation(given.original, given.device, given.images.images),
            options={"temperature": TEMPERATURE, "weight": WEIGHT},
        ),
        "fine-tuning": Adjustment(FINE_TUNING),
        "scratch-b": Adjustment(
            SCRATCH, needs=("original",), start=_fresh, length=_same_work, last_only=True, uncut="scratch-e"
        ),
        "scratch-e": Adjustment(SCRATCH, start=_fresh, last_only=True),
        "w-ticket": Adjustment(
            SCRATCH, needs=("initial",), start=lambda model, given: rewind(model, given.initial), last_only=True
        ),
    }
)


def named(name: str) -> Adjustment:
    """The adjustment called ``name``. Raises InputError for an unknown name."""
    if name not in ADJUSTMENTS:
        raise InputError(expected("adjust", f"one of {', '.join(ADJUSTMENTS)}", name) + nearest(str(name), ADJUSTMENTS))
    return ADJUSTMENTS[name]


def recipe_for(name: str, *, epochs: int | None = None, lr: float | None = None) -> Recipe:
    """The recipe of the adjustment ``name``, with the given parts replaced; of scratch-b, that of the original.

    Raises InputError for an unknown name, and for an adjustment that trains nothing.
    """
    recipe = named(name).recipe
    if recipe is None:
        asked = {"epochs": epochs, "a learning rate": lr}
        got = " and ".join(what for what, value in asked.items() if value is not None) or "a call for its recipe"
        raise InputError(expected(name, "no recipe, as it trains nothing", got))
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    return recipe if lr is None else replace(recipe, lr=lr)


def due(name: str, number: int, rounds: int) -> bool:
    """Whether the adjustment ``name`` runs after round ``number`` of ``rounds``: after each, or the last alone."""
    return number == rounds or not named(name).last_only


@default_modes()
@torch.enable_grad()
def adjust(
    name: str,
    model: nn.Module,
    images: Images,
    *,
    original: nn.Module | None = None,
    initial: nn.Module | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    objective: Objective = PLAIN,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> list[Epoch]:
    """Adjust ``model`` in place by the adjustment called ``name`` on training ``images``; one entry per epoch.

    ``original`` is the network before its cut (scratch-b counts its MACs, it teaches in distill) and ``initial`` that
    network before training (w-ticket); neither is changed, and both take what ``model`` takes. ``epochs`` and ``lr``
    replace those of the recipe; ``model`` is moved to ``device``, None for the CPU. Every step lessens ``objective``;
    distill has its own. bn-only trains nothing and returns an empty list. With ``checkpoint``, the state is kept there
    after every epoch; an adjustment that finds it, called with the same network and arguments, continues, as ``train``
    does; any other is refused.

    The control of a pruned network is its original, adjusted with the same arguments. Raises InputError for an unknown
    name and for what is missing, cannot be used together or does not fit; TrainingError when the loss is not finite.
    """
    entry = named(name)
    _check_kinds(images, objective, original=original, initial=initial)
    given = Given(images, original, initial, seed, placed(device))
    recipe = _checked(name, epochs, lr, objective)
    for need in entry.needs:
        if getattr(given, need) is None:
            raise InputError(expected(name, f"{need}=, {NEEDS[need]}", "none"))
    require_float32(model)
    if recipe is not None:
        check_trainable(model)
    if objective.once or objective.labelled:  # others may call the network in ways of their own
        check_fit(model, images.images, images.labels, given.device)
    if recipe is None:
        entry.start(model, given)
        return []
    recipe = replace(recipe, epochs=max(1, round(recipe.epochs * entry.length(model, given))))
    objective = entry.objective(given) if entry.objective else objective
    entry.start(model, given)
    return train(
        model,
        images.images,
        images.labels,
        recipe,
        seed=seed,
        device=device,
        objective=objective,
        checkpoint=checkpoint,
        start=weights_digest(model) if checkpoint else None,
        progress=progress,
    )


def _check_kinds(images: object, objective: object, **networks: object) -> None:
    """Raise InputError for what is none of what it is given as."""
    if not isinstance(images, Images):
        raise InputError(expected("images", "Images", type(images).__name__))
    if not isinstance(objective, Objective):
        raise InputError(expected("objective", "an Objective, as windfirm.defence makes them", objective))
    for role, model in networks.items():
        if model is not None:
            require_network(model, role)


def describe(
    name: str, *, epochs: int | None = None, lr: float | None = None, objective: Objective = PLAIN
) -> dict[str, object]:
    """What a record needs to repeat the adjustment, as plain values: when it runs, its recipe and its objective.

    The recipe of scratch-b is that of the original. Raises InputError for what ``adjust`` refuses of these arguments.
    """
    entry, recipe = named(name), _checked(name, epochs, lr, objective)
    lessens = {"name": name, **entry.options} if entry.objective else {"name": objective.name, **objective.options}
    return {
        "name": name,
        "after": "the last round" if entry.last_only else "every round",
        "recipe": asdict(recipe) if recipe else None,
        "objective": lessens if recipe else None,
    }


def _checked(name: str, epochs: int | None, lr: float | None, objective: Objective) -> Recipe | None:
    """The recipe, None where nothing is trained. Raises InputError for what cannot be used together."""
    entry = named(name)
    if objective is not PLAIN and (entry.objective or entry.recipe is None):
        wanted = "no other objective than its own" if entry.recipe else "no objective, as it trains nothing"
        raise InputError(expected(name, wanted, objective.name))
    if entry.recipe is None and epochs is None and lr is None:
        return None
    return recipe_for(name, epochs=epochs, lr=lr)
