"""The record of a pruning: what was cut and how, that in a few lines, and the command that measures it."""

import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from windfirm.commands.adjusting import Adjusting
from windfirm.commands.rounds import describe, told
from windfirm.commands.shared import normalisation, resize_words
from windfirm.data.batches import Batches
from windfirm.data.images import Images
from windfirm.models.cost import cost
from windfirm.models.device import type_of
from windfirm.models.source import MODEL, Source
from windfirm.prune.budget import Budget
from windfirm.prune.criteria import Criterion
from windfirm.prune.profile import profile
from windfirm.prune.propose import Round, Target
from windfirm.study.provenance import digest, hardware, versions

#: What the control's file is called.
CONTROL = "control.safetensors"

#: The part of a target that the record keeps beside its budget.
KEPT = ("ranking", "floor", "protect", "plain")

#: What a budget asks for, in words.
ASKED = {
    "macs": "of the MACs left",
    "params": "of the parameters left",
    "latency": "of the time left",
    "ratio": "left of the {units} that can go",
    "rate": "of the {units} still there gone in each round",
}

UNITS = {"filters": "filters", "layers": "blocks", "both": "filters or blocks"}


@dataclass(frozen=True)
class Job:
    """What is asked for, and of which network. ``maker``: the user's function that makes it, None for a name's.

    ``size``: (channels, height, width) of an image; ``images`` None where none are needed, and ``again`` None where
    nothing is adjusted.
    """

    args: Namespace
    source: Source
    maker: str | None
    target: Target
    criterion: Criterion
    size: tuple[int, int, int]
    images: Images | None
    batches: Batches | None
    again: Adjusting | None
    device: torch.device


def record(job: Job, network: nn.Module, smaller: nn.Module, rounds: Sequence[Round]) -> dict[str, Any]:
    """All that is needed to repeat the pruning, and what every round was. Both networks without normalisation."""
    args, target, images = job.args, job.target, job.images
    example = torch.zeros(1, *job.size, dtype=type_of(network))
    return {
        "model": job.source.name,
        "arch": job.source.arch,
        "factory": job.maker,
        "structure": args.structure,
        "choose": args.choose if args.structure == "both" else None,
        "criterion": args.criterion,
        "target": {target.budget.name: target.budget.share} | {name: getattr(target, name) for name in KEPT},
        "adjust": args.adjust,
        "adjustment": job.again.record() if job.again else None,
        "defence": args.defence,
        "before": vars(cost(network, example)),
        "after": vars(cost(smaller, example)),
        "rounds": [describe(entry) for entry in rounds],
        "profile": [vars(width) for width in profile(network, smaller, example)],
        "input": job.size,
        "normalisation": normalisation(job.source),
        "data": images.name if images else None,
        "digest": digest(images) if images else None,
        "images": len(images) if images else 0,
        "batch": job.batches.size if job.batches else None,
        "skipped": len(images.skipped) if images else 0,
        "seed": args.seed,
        "hardware": hardware(job.device),
        "versions": versions(),
    }


def words(job: Job, rounds: Sequence[Round], record: dict[str, Any]) -> str:
    """What was done, in a few lines."""
    args, asked, out = job.args, job.target.budget, Path(job.args.out)
    before, after = record["before"], record["after"]
    lines = [line for entry in rounds for line in told(entry, job.criterion.name)]
    lines.append(f"asked for: {_share(asked):.1%} {ASKED[asked.name].format(units=_units(args.structure, asked.name))}")
    lines.append(
        f"{out / MODEL}: {after['macs'] / before['macs']:.1%} of the MACs ({after['macs'] / 1e6:.2f} M), "
        f"{after['params'] / before['params']:.1%} of the parameters ({after['params']:,}), "
        f"{after['peak_bytes'] / before['peak_bytes']:.1%} of the activations' memory"
    )
    if job.again:
        lines.append(job.again.words())
    if args.control:
        lines.append(f"{out / CONTROL}: {job.source.name}, adjusted alike, not pruned")
    return "\n".join([*lines, f"page: {out / 'report.html'}"])


def _units(structure: str, budget: str) -> str:
    """What a share of units counts; with a ratio of both sorts the two shares are multiplied."""
    return "filters × blocks" if (structure, budget) == ("both", "ratio") else UNITS[structure]


def _share(asked: Budget) -> float:
    return 1 - asked.share if asked.name == "ratio" else asked.share


def comparison(args: Namespace, maker: str | None) -> str:
    """The command that measures the smaller network beside the one it was made from."""
    out = Path(args.out)
    given = ["windfirm", "compare", args.model, str(out)]
    given += ["--control", str(out / CONTROL)] if args.control else []
    options = {name: getattr(args, name) for name in ("weights", "classes", "arch", "input", "mean", "std")}
    for name, value in ({"factory": maker or args.factory} | options | {"data": args.data}).items():
        if value:
            given += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join([*given, *resize_words(args), "--out", str(out / "comparison.html")])
