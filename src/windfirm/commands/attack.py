"""``windfirm attack``: how many images each network still gets right under each attack."""

from argparse import Namespace

from rich.table import Table

from windfirm import console
from windfirm.commands.shared import chosen_attacks, load_images, print_json, printer
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.outcome import pack
from windfirm.models.device import pick
from windfirm.models.source import open_model


def run(args: Namespace) -> None:
    """Evaluate every network under every attack and print counts with their 95 % intervals."""
    device = pick(args.device)
    sources = [open_model(spec, factory=args.factory, arch=args.arch) for spec in args.models]
    images = load_images(args.data, "test", args.images)
    attacks, eps = chosen_attacks(args, images.images.shape[-1])
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("network", "attack", "right", "of", "accuracy, %", "95 % interval"):
        table.add_column(name, justify="left" if name in ("network", "attack") else "right")
    document = []
    for source in sources:
        outcomes = []
        for attack in attacks:
            with console.bar(f"{source.name}, {attack.name}") as tick:
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
