"""``windfirm prune``: a smaller network with its record, and the control if asked."""

import copy
import json
from argparse import Namespace
from collections.abc import Callable

import torch
from torch import nn

from windfirm import console, seeds
from windfirm.adjust.adjustments import adjust, recipe_for
from windfirm.commands.shared import folder, load_images, print_json, printer
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
from windfirm.study.provenance import hardware, versions


def run(args: Namespace) -> None:
    """Prune in rounds, adjust after each, write ``model``, ``control`` and ``record.json``."""
    if args.structure != "filters":
        raise InputError(expected("--structure", "filters", args.structure))
    if args.criterion not in CRITERIA:
        raise InputError(expected("--criterion", f"one of {', '.join(CRITERIA)}", args.criterion))
    if args.control and not args.adjust:
        raise InputError(expected("--control", "an --adjust to repeat on the unpruned network", "none"))
    if args.adjust:
        recipe_for(args.adjust, epochs=args.epochs, lr=args.lr)
    target = Target(args.ratio, args.macs, args.ranking, args.floor, tuple(args.protect))
    device = pick(args.device)
    source = open_model(args.model, factory=args.factory, arch=args.arch)
    images = load_images(args.data, "train", args.images)
    out = folder(args.out)
    batches = Batches(images)
    example = next(iter(batches))[0][:1]
    again = _adjuster(args, images, device) if args.adjust else None
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
    kind = {"arch": source.arch, "classes": source.classes}
    save(smaller, out / "model.safetensors", notes={"pruned": record}, **kind)  # type: ignore[arg-type]
    if args.control:
        save(control.cpu(), out / "control.safetensors", notes={"control": args.adjust}, **kind)  # type: ignore[arg-type]
    write_text(out / "record.json", json.dumps(record, indent=1) + "\n")
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
