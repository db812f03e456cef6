"""The main job: prune a ResNet-56 in rounds, train the control alike, attack all three, compare.

Everything it needs is inside the package: trained weights, 4,000 training and 1,000 test images. The test images are
opened after the last training step, by the evaluator.
"""

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from windfirm import data, seeds
from windfirm.adjust.adjustments import adjust, recipe_for
from windfirm.attack.budget import EPS
from windfirm.attack.registry import build as build_attack
from windfirm.data.augment import to_float
from windfirm.data.batches import Batches
from windfirm.evaluate.compare import Comparison, Role, compare
from windfirm.evaluate.examples import Example, apart, examples
from windfirm.models.source import Source
from windfirm.prune.budget import Budget
from windfirm.prune.propose import Round, Target
from windfirm.prune.schedule import prune_in_rounds
from windfirm.prune.structure import anatomy
from windfirm.study.measure import measure, timed
from windfirm.study.provenance import digest, hardware, versions

#: ``bar(label)`` is a context that yields ``tick(done, all, note="")``.
Bar = Callable[[str], AbstractContextManager[Callable[..., None]]]


@dataclass(frozen=True)
class Plan:
    """What the quickstart does. ``macs``: the share that stays. ``epochs``: of fine-tuning after each round.

    ``images``: training images used; ``draws``: random draws of the averaged attacks. ``protect`` leaves the filters
    that the poster prunes: the first convolution of each block.
    """

    macs: float = 0.5
    rounds: int = 3
    epochs: int = 2
    images: int = 3_000
    draws: int = 4
    tests: int = 1_000
    eps: float = EPS
    criterion: str = "pls"
    protect: tuple[str, ...] = ("conv1", "layer*.conv2*")


@dataclass(frozen=True)
class Report:
    """Everything that the table and the page show, and the two networks."""

    comparison: Comparison
    examples: tuple[Example, ...]
    rounds: tuple[Round, ...]
    profile: tuple[tuple[str, int, int], ...]
    provenance: dict[str, str]
    classes: tuple[str, ...]
    smaller: nn.Module
    control: nn.Module


def quickstart(source: Source, plan: Plan, *, seed: int, device: torch.device, bar: Bar) -> Report:
    """Run the whole of it on ``source``; under five minutes on two CPU cores that have bfloat16.

    Raises TrainingError, CutError and DataError as the parts do.
    """
    start = time.perf_counter()
    training = data.load("embedded", "train")[: plan.images]
    recipe = recipe_for("fine-tuning", epochs=plan.epochs)
    original = source.model
    target = Target(Budget("macs", plan.macs), protect=plan.protect)
    example = to_float(training.images[:1]).contiguous()

    def fine_tune(label: str) -> Callable[[nn.Module, int], None]:
        def run(model: nn.Module, number: int) -> None:
            with bar(f"{label}, round {number} of {plan.rounds}") as tick:
                adjust(
                    "fine-tuning",
                    model,
                    training,
                    epochs=plan.epochs,
                    seed=seeds.number(seed, "round", number),
                    device=device,
                    progress=lambda seen, total, speed, loss: tick(seen, total, f"{speed:.0f} img/s"),
                )

        return run

    smaller, rounds = prune_in_rounds(
        copy.deepcopy(original).to(device),
        example,
        plan.criterion,
        target,
        plan.rounds,
        batches=Batches(training),
        adjust=fine_tune("prune and fine-tune F'"),
        seed=seed,
    )
    control = copy.deepcopy(original)
    for number in range(1, plan.rounds + 1):
        fine_tune("fine-tune the control")(control, number)

    tests = data.load("embedded", "test")[: plan.tests]
    side = tests.side
    attacks = [build_attack(name, side, trials=plan.draws) for name in ("semantic", "occlusion")]
    attacks += [build_attack("fgsm", side), build_attack("clean", side)]
    networks: dict[Role, nn.Module] = {"F": original, "control": control, "F'": smaller}
    names = {"F": source.name, "control": f"{source.name}, fine-tuned alike", "F'": f"{source.name}, pruned"}
    subjects = []
    for role, network in networks.items():
        with bar(f"attack {role}") as tick:
            subjects.append(
                measure(
                    role, names[role], network, tests, attacks, eps=plan.eps, seed=seed, device=device, progress=tick
                )
            )
    subjects = timed(subjects, networks.values(), tests, device)
    shown = tuple(
        example
        for attack in attacks[:3]
        for example in examples(
            dict(networks.items()), tests, attack, apart(tests, 6), eps=plan.eps, seed=seed, device=device
        )
    )
    provenance = {
        "pruning": f"{plan.criterion}, {plan.rounds} rounds to {plan.macs:.0%} of the MACs, every cut proved",
        "fine-tuning": f"{plan.rounds} × {plan.epochs} epochs on {len(training):,} training images, SGD, learning rate "
        f"{recipe.lr:g}, schedule {recipe.schedule}, batch {recipe.batch}; the same for F' and the control",
        "data": f"{tests.name}, {len(tests):,} images, SHA-256 {digest(tests)}…",
        "seed": str(seed),
        "hardware": hardware(device),
        "versions": versions(),
        "time": f"{time.perf_counter() - start:.0f} s",
    }
    comparison = compare(subjects, data=tests.name, seed=seed)
    return Report(
        comparison,
        shown,
        tuple(rounds),
        profile(original, smaller, example),
        provenance,
        tests.classes,
        smaller,
        control,
    )


def profile(before: nn.Module, after: nn.Module, example: Tensor) -> tuple[tuple[str, int, int], ...]:
    """For each filter group of ``before`` that can go: its name, its size, and what is left of it in ``after``."""
    left = {structure.name: structure.size for structure in anatomy(after, example).structures}
    return tuple(
        (structure.name, structure.size, left.get(structure.name, 0))
        for structure in anatomy(before, example).structures
        if structure.frozen is None
    )
