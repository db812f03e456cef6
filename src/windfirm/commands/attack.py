"""``windfirm attack``: how many images each network still gets right under each attack."""

from argparse import Namespace

from windfirm import console
from windfirm.attack.registry import SIDE
from windfirm.commands.shared import (
    check_fit,
    chosen_attacks,
    describe,
    grid,
    load_images,
    normalisation,
    open_networks,
    print_json,
    printer,
    say_as_made,
)
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.outcome import pack
from windfirm.models.device import pick
from windfirm.models.intake import words
from windfirm.study.measure import naming


def run(args: Namespace) -> None:
    """Evaluate every network under every attack and print counts with their 95 % intervals."""
    device = pick(args.device)
    sources = open_networks(args, args.models)
    chosen_attacks(args, SIDE)  # a wrong name is told before many images are read
    images = load_images(args, "test", sources)
    attacks, eps = chosen_attacks(args, images.side)
    for source in sources:
        check_fit(source.name, source.model, images)
    table = grid("network", "attack", "right", "of", "accuracy, %", "95 % interval", left=("network", "attack"))
    document = []
    for source in sources:
        outcomes = []
        for attack in attacks:
            with naming(source.name), console.bar(f"{source.name}, {attack.name}") as tick:
                outcomes.append(
                    evaluate(source.model, images, attack, eps=eps, seed=args.seed, device=device, progress=tick)
                )
        for outcome in outcomes:
            low, high = interval(outcome)
            share = f"{100 * outcome.accuracy:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"
            table.add_row(source.name, outcome.attack, f"{outcome.count:,}", f"{outcome.total:,}", *share)
        packed = [pack(outcome) for outcome in outcomes]
        document.append({"network": source.name, "normalisation": normalisation(source), "outcomes": packed})
    say_as_made(args, args.models)
    if args.json:
        print_json(describe(images) | {"seed": args.seed, "networks": document})
        return
    out = printer()
    out.print(table)
    out.print(f"\n{images.name}, {len(images):,} images, seed {args.seed}")
    for source in sources:
        if source.intake.mean:
            out.print(f"  {source.name}: normalised by {words(source.intake)}")
    for outcome in outcomes:
        out.print(f"  {outcome.attack}: {outcome.description}")
