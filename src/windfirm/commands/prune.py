"""``windfirm prune``: a smaller network with its record, and the control if asked."""

import copy
import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn

from windfirm import console, seeds
from windfirm.adjust.adjustments import ADJUSTMENTS, adjust
from windfirm.commands.shared import check_fit, load_images, one_of, print_json, printer, results
from windfirm.data.batches import Batches
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.files import write_text
from windfirm.models.checkpoint import save
from windfirm.models.cost import cost
from windfirm.models.device import pick
from windfirm.models.source import open_model
from windfirm.prune.criteria import CRITERIA
from windfirm.prune.schedule import Round, Target, prune_in_rounds
from windfirm.prune.select import RANKINGS
from windfirm.prune.structure import anatomy
from windfirm.study.provenance import hardware, versions

#: Criteria that look at no image, so that the images need not fit the network.
WEIGHTS_ALONE = ("l1", "random")


def run(args: Namespace) -> None:
    """Prune in rounds, adjust after each, write ``model``, ``control`` and ``record.json``."""
    one_of("--structure", args.structure, ("filters",))
    one_of("--criterion", args.criterion, CRITERIA)
    one_of("--ranking", args.ranking, RANKINGS)
    if args.control and not args.adjust:
        raise InputError(expected("--control", "an --adjust to repeat on the unpruned network", "none"))
    if args.adjust:
        one_of("--adjust", args.adjust, ADJUSTMENTS)
    target = Target(args.ratio, args.macs, args.ranking, args.floor, tuple(args.protect))
    device = pick(args.device)
    source = open_model(args.model, factory=args.factory, arch=args.arch)
    images = load_images(args.data, "train", args.images)
    batches = Batches(images)
    example = next(iter(batches))[0][:1]
    if args.adjust or args.criterion not in WEIGHTS_ALONE:
        check_fit(source.name, source.model, images)
    _check_patterns(args.protect, source.model, example)
    again = _adjuster(args, images, device) if args.adjust else None
    out = Path(args.out)
    with results(out) as place:
        smaller, rounds = prune_in_rounds(
            copy.deepcopy(source.model).to(device),
            example,
            args.criterion,
            target,
            args.rounds,
            batches=batches,
            adjust=again("prune and adjust") if again else None,
            seed=args.seed,
        )
        control = copy.deepcopy(source.model)
        if again and args.control:
            for number in range(1, args.rounds + 1):
                again("adjust the control")(control, number)
        before, after = cost(source.model, example), cost(smaller.cpu(), example)
        record = {
            "model": source.name,
            "criterion": args.criterion,
            "target": vars(target),
            "adjust": args.adjust,
            "before": vars(before),
            "after": vars(after),
            "rounds": [describe(entry) for entry in rounds],
            "data": images.name,
            "seed": args.seed,
            "hardware": hardware(device),
            "versions": versions(),
        }
        kind = {"arch": source.arch, "classes": len(images.classes)}
        save(smaller, place / "model.safetensors", notes={"pruned": record}, **kind)  # type: ignore[arg-type]
        if args.control:
            save(control.cpu(), place / "control.safetensors", notes={"control": args.adjust}, **kind)  # type: ignore[arg-type]
        write_text(place / "record.json", json.dumps(record, indent=1) + "\n")
    if args.json:
        print_json(record)
        return
    lines = [
        f"round {entry.number}: {entry.cut.units} filters, {entry.macs_before / 1e6:.2f} → "
        f"{entry.macs_after / 1e6:.2f} M MACs, proved"
        for entry in rounds
    ]
    lines.append(
        f"{out / 'model.safetensors'}: {after.macs / before.macs:.1%} of the MACs ({after.macs / 1e6:.2f} M), "
        f"{after.params / before.params:.1%} of the parameters ({after.params:,})"
    )
    if args.control:
        lines.append(f"{out / 'control.safetensors'}: {source.name}, adjusted alike, not pruned")
    printer().print("\n".join(lines))


def describe(entry: Round) -> dict[str, object]:
    """A round as plain values: what was achieved, and how many filters left from each group."""
    left = {structure.name: len(units) for structure, units in entry.cut.removed.items()}
    return {"round": entry.number, "macs_before": entry.macs_before, "macs_after": entry.macs_after, "left": left}


def _check_patterns(patterns: Sequence[str], model: nn.Module, example: Tensor) -> None:
    """Raise InputError for a pattern that protects nothing, which is a slip of the pen."""
    names = [structure.name for structure in anatomy(model, example).structures] if patterns else []
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(expected("--protect", f"a pattern for groups such as {names[0]}", pattern))


def _adjuster(
    args: Namespace, images: Images, device: torch.device
) -> Callable[[str], Callable[[nn.Module, int], None]]:
    def labelled(label: str) -> Callable[[nn.Module, int], None]:
        def run(model: nn.Module, number: int) -> None:
            seed = seeds.number(args.seed, "round", number)
            with console.bar(f"{label}, round {number} of {args.rounds}") as tick:
                adjust(
                    args.adjust,
                    model,
                    images,
                    epochs=args.epochs,
                    lr=args.lr,
                    seed=seed,
                    device=device,
                    progress=lambda seen, total, speed, loss: tick(seen, total, f"{speed:.0f} img/s"),
                )

        return run

    return labelled
