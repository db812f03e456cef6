"""``windfirm prune``: a smaller network with its record, and the control if asked."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from windfirm import console
from windfirm.commands.adjusting import adjusting, check, settle
from windfirm.commands.folder import RECORD, check_apart, keep, recorded, results
from windfirm.commands.pruning_record import CONTROL, Job, comparison, record, words
from windfirm.commands.shared import (
    check_fit,
    input_shape,
    load_images,
    one_of,
    open_network,
    print_json,
    printer,
    say_as_made,
)
from windfirm.data.batches import Batches
from windfirm.errors import InputError, expected
from windfirm.files import write_text
from windfirm.models.checkpoint import held
from windfirm.models.copies import copied
from windfirm.models.device import batch_size, pick, type_of
from windfirm.models.normalize import taken_apart
from windfirm.models.source import INITIAL, MODEL, Source
from windfirm.prune.both import CHOICES, COMPARING
from windfirm.prune.budget import BUDGETS, budget
from windfirm.prune.criteria import named
from windfirm.prune.propose import STRUCTURES, Target
from windfirm.prune.schedule import check_patterns, prune_in_rounds
from windfirm.prune.select import RANKINGS
from windfirm.prune.structure import structures
from windfirm.report.card import card
from windfirm.report.pruning import page

#: Images that are looked at for their size alone: enough to find out that there are several.
SAMPLE = 64


def run(args: Namespace) -> None:
    """Prune in rounds, adjust after each, write ``model``, ``control``, ``record.json``, a page and a model card.

    An interrupted run leaves the states of its trainings, whole epochs; the same command cuts anew and goes on there.
    """
    target, criterion = _target(args), named(args.criterion, "--criterion")
    check(args)
    device = pick(args.device)
    source = open_network(args, args.model)
    out = Path(args.out)
    _check_apart(args, out)
    # The cut is made without the normalisation, so that names and file are those of the network's own factory.
    network, normalised = taken_apart(source.model)
    held(source.name, network)  # which is what its file will be
    shape = input_shape([source])
    images = None
    if args.adjust or criterion.data or (args.structure == "both" and args.choose in COMPARING):
        images = load_images(args, "train", [source])
        check_fit(source.name, source.model, images)
        shape = images.shape
    size = shape or load_images(args, "train", [source], limit=SAMPLE).shape
    example = torch.zeros(1, *size, dtype=type_of(network))
    batches = Batches(images, batch_size(device, size), normalised(nn.Identity())) if images is not None else None
    if target.protect:
        check_patterns("--protect", structures(network, example, plain=target.plain), target)
    maker = _maker(args, source)
    again = None
    if args.adjust and images is not None:
        states = None if target.budget.name == "latency" else out  # by what is measured no two cuts need be alike
        again = adjusting(args, source, maker, images, device, normalised, states)
    earlier, controlled = recorded(out), (out / CONTROL).is_file()
    job = Job(args, source, maker, target, criterion, size, images, batches, again, device)
    with results(out) as place:
        smaller, rounds = prune_in_rounds(
            copied(network).to(device),
            example,
            criterion,
            target,
            args.rounds,
            batches=batches or (),
            adjust=again.arm("pruned", "prune and adjust") if again else None,
            seed=args.seed,
        )
        control = copied(network)
        if again and args.control:
            alike = again.arm("control", "adjust the control")
            for number in range(1, args.rounds + 1):
                alike(control, number)
        told = record(job, network, smaller.cpu(), rounds)
        keep(smaller, place / MODEL, source, size, pruned=told, factory=maker)
        if args.control:
            keep(control, place / CONTROL, source, size, control=args.adjust, factory=maker)
        write_text(place / RECORD, json.dumps(told, indent=1) + "\n")
        write_text(place / "report.html", page(told))
        write_text(place / "MODEL_CARD.md", card(told, compare=comparison(args, maker)))
    settle(out)
    for name in (INITIAL, *([] if args.control else [CONTROL])):
        (out / name).unlink(missing_ok=True)  # an earlier run's: it is none of this network's
    say_as_made(args, [args.model])
    if "rounds" in earlier and _which(earlier) != _which(json.loads(json.dumps(told))):
        gone = f", whose {CONTROL} is gone" if controlled and not args.control else ""
        console.say(f"{out}: another pruning was there{gone}; what was made of it, such as comparisons, is out of date")
    if args.json:
        print_json(told)
        return
    printer().print(words(job, rounds, told))


def _target(args: Namespace) -> Target:
    """What is to leave. Raises InputError for options that cannot be used together."""
    one_of("--structure", args.structure, STRUCTURES)
    one_of("--choose", args.choose, CHOICES)
    one_of("--ranking", args.ranking, RANKINGS)
    if args.choose != CHOICES[0] and args.structure != "both":
        raise InputError(expected("--choose", "--structure both, whose rule it is", f"--structure {args.structure}"))
    if args.plain_layers and args.structure == "filters":
        raise InputError(expected("--plain-layers", "--structure layers or both, whose blocks they are", "filters"))
    asked = budget(**{name: vars(args)[name] for name in BUDGETS})
    return Target(asked, args.structure, args.choose, args.ranking, args.floor, tuple(args.protect), args.plain_layers)


def _check_apart(args: Namespace, out: Path) -> None:
    """Raise InputError where a training or the network's file would be written over, or its weights before removed."""
    if (out / INITIAL).is_file() and "epochs" in recorded(out):
        raise InputError(expected("--out", "a folder without a training", args.out))
    for spec in filter(None, (args.model, args.weights, args.initial)):
        for name in (MODEL, CONTROL, INITIAL):
            check_apart("--out", out / name, spec)
        path = Path(spec)
        folder = path if path.is_dir() else path.parent
        if path.exists() and (out / INITIAL).exists() and folder.resolve() == out.resolve():
            wanted = f"another folder than that of {spec} and of its weights before training"
            raise InputError(expected("--out", wanted, args.out))


def _which(told: dict[str, Any]) -> dict[str, Any]:
    """A record without where it was made."""
    return {name: value for name, value in told.items() if name not in ("hardware", "versions")}


def _maker(args: Namespace, source: Source) -> str | None:
    """The function of the user's own that makes the network, for people to read; None for a network with a name."""
    if source.arch is not None:
        return None
    is_maker = source.name == args.model and not Path(args.model).exists()  # the folder of a run has its name as well
    return args.model if is_maker else args.factory  # type: ignore[no-any-return]
