"""``windfirm attack``: how many images each network still gets right under each attack."""

from argparse import Namespace

from windfirm import console
from windfirm.commands.shared import chosen_attacks, grid, load_images, print_json, printer
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.outcome import pack
from windfirm.models.device import pick
from windfirm.models.source import open_model
from windfirm.study.measure import naming


def run(args: Namespace) -> None:
    """Evaluate every network under every attack and print counts with their 95 % intervals."""
    device = pick(args.device)
    sources = [open_model(spec, factory=args.factory, arch=args.arch) for spec in args.models]
    images = load_images(args.data, "test", args.images)
    attacks, eps = chosen_attacks(args, images.images.shape[-1])
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
        document.append({"network": source.name, "outcomes": [pack(outcome) for outcome in outcomes]})
    if args.json:
        print_json({"data": images.name, "images": len(images), "seed": args.seed, "networks": document})
        return
    out = printer()
    out.print(table)
    out.print(f"\n{images.name}, {len(images):,} images, seed {args.seed}")
    for outcome in outcomes:
        out.print(f"  {outcome.attack}: {outcome.description}")
