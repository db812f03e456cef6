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
from windfirm.commands.shared import (
    check_fit,
    input_shape,
    load_images,
    normalisation,
    one_of,
    open_network,
    print_json,
    printer,
    results,
)
from windfirm.data.batches import Batches
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.files import write_text
from windfirm.models.checkpoint import save
from windfirm.models.cost import cost
from windfirm.models.device import batch_size, pick
from windfirm.models.intake import Intake
from windfirm.models.normalize import taken_apart
from windfirm.models.source import Source
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
    source = open_network(args, args.model)
    # The cut is made without the normalisation, so that names and file are those of the network's own factory.
    network, normalised = taken_apart(source.model)
    shape = input_shape([source])
    images = None
    if args.adjust or args.criterion not in WEIGHTS_ALONE:
        images = load_images(args, "train", [source])
        check_fit(source.name, source.model, images)
        shape = _shape(images)
    size = shape or _shape(load_images(args, "train", [source], limit=1))
    example = torch.zeros(1, *size)
    batches = Batches(images, batch_size(device, size), normalised(nn.Identity())) if images is not None else ()
    _check_patterns(args.protect, network, example)
    again = _adjuster(args, images, device, normalised) if args.adjust and images is not None else None
    out = Path(args.out)
    with results(out) as place:
        smaller, rounds = prune_in_rounds(
            copy.deepcopy(network).to(device),
            example,
            args.criterion,
            target,
            args.rounds,
            batches=batches,
            adjust=again("prune and adjust") if again else None,
            seed=args.seed,
        )
        control = copy.deepcopy(network)
        if again and args.control:
            for number in range(1, args.rounds + 1):
                again("adjust the control")(control, number)
        before, after = cost(network, example), cost(smaller.cpu(), example)
        record = {
            "model": source.name,
            "criterion": args.criterion,
            "target": vars(target),
            "adjust": args.adjust,
            "before": vars(before),
            "after": vars(after),
            "rounds": [describe(entry) for entry in rounds],
            "input": size,
            "normalisation": normalisation(source),
            "data": images.name if images else None,
            "images": len(images) if images else 0,
            "skipped": len(images.skipped) if images else 0,
            "seed": args.seed,
            "hardware": hardware(device),
            "versions": versions(),
        }
        kept: dict[str, object] = {"intake": Intake(shape, source.intake.mean, source.intake.std).to_json()}
        kept |= {"factory": maker} if (maker := _maker(args, source)) else {}
        _save(smaller, place / "model.safetensors", source, {"pruned": record} | kept)
        if args.control:
            _save(control.cpu(), place / "control.safetensors", source, {"control": args.adjust} | kept)
        write_text(place / "record.json", json.dumps(record, indent=1) + "\n")
    if args.json:
        print_json(record)
        return
    asked = f"{args.macs:.1%} of the MACs" if args.ratio is None else f"{1 - args.ratio:.1%} of the filters that can go"
    lines = [line for entry in rounds for line in told(entry)]
    lines.append(f"asked for: {asked} left")
    lines.append(
        f"{out / 'model.safetensors'}: {after.macs / before.macs:.1%} of the MACs ({after.macs / 1e6:.2f} M), "
        f"{after.params / before.params:.1%} of the parameters ({after.params:,}), "
        f"{after.peak_bytes / before.peak_bytes:.1%} of the activations' memory"
    )
    if args.control:
        lines.append(f"{out / 'control.safetensors'}: {source.name}, adjusted alike, not pruned")
    printer().print("\n".join(lines))


def told(entry: Round) -> list[str]:
    """What a round did, in words; what it could not do, and what the proof does not cover, on lines of their own."""
    lines = [
        f"round {entry.number}: {entry.cut.units:,} of {entry.candidates:,} filters, {entry.macs_before / 1e6:.2f} → "
        f"{entry.macs_after / 1e6:.2f} M MACs, proved"
    ]
    lines += [f"  {name} stays whole: {reason}" for name, reason in entry.refused.items()]
    if places := entry.changes_normalisation:
        lines.append(
            f"  changes-normalisation: {places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''} now look "
            "at fewer channels; proved with statistics over those that stay"
        )
    return lines


def describe(entry: Round) -> dict[str, object]:
    """A round as plain values: what was achieved, and how many filters left from each group."""
    left = {structure.name: len(units) for structure, units in entry.cut.removed.items()}
    return {
        "round": entry.number,
        "macs_before": entry.macs_before,
        "macs_after": entry.macs_after,
        "left": left,
        "refused": dict(entry.refused),
        "changes-normalisation": list(entry.changes_normalisation),
    }


def _shape(images: Images) -> tuple[int, int, int]:
    channels, height, width = images.images.shape[1:]
    return channels, height, width


def _maker(args: Namespace, source: Source) -> str | None:
    """The function of the user's own that makes the network, for people to read; None for a network with a name."""
    if source.arch is not None:
        return None
    return args.model if source.name == args.model else args.factory  # type: ignore[no-any-return]


def _save(network: nn.Module, path: Path, source: Source, notes: dict[str, object]) -> None:
    save(network, path, arch=source.arch, classes=source.classes, notes=notes)


def _check_patterns(patterns: Sequence[str], model: nn.Module, example: Tensor) -> None:
    """Raise InputError for a pattern that protects nothing, which is a slip of the pen."""
    names = [structure.name for structure in anatomy(model, example).structures] if patterns else []
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(expected("--protect", f"a pattern for groups such as {names[0]}", pattern))


def _adjuster(
    args: Namespace, images: Images, device: torch.device, normalised: Callable[[nn.Module], nn.Module]
) -> Callable[[str], Callable[[nn.Module, int], None]]:
    def labelled(label: str) -> Callable[[nn.Module, int], None]:
        def run(model: nn.Module, number: int) -> None:
            seed = seeds.number(args.seed, "round", number)
            with console.bar(f"{label}, round {number} of {args.rounds}") as tick:
                adjust(
                    args.adjust,
                    normalised(model),
                    images,
                    epochs=args.epochs,
                    lr=args.lr,
                    seed=seed,
                    device=device,
                    progress=lambda seen, total, speed, loss: tick(seen, total, f"{speed:.0f} img/s"),
                )

        return run

    return labelled
