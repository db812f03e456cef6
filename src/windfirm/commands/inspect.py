"""``windfirm inspect``: what can be removed, what cannot and why."""

from argparse import Namespace

import torch
from rich.table import Table
from torch import Tensor

from windfirm.commands.shared import print_json, printer
from windfirm.errors import InputError, expected
from windfirm.models.cost import cost
from windfirm.models.source import open_model
from windfirm.prune.select import Cut
from windfirm.prune.structure import Anatomy, Structure, anatomy


def run(args: Namespace) -> None:
    """Trace, couple, print."""
    source = open_model(args.model, factory=args.factory, arch=args.arch, weights=False)
    example = example_of(args.input)
    body = anatomy(source.model, example)
    total = cost(source.model, example)
    free = [s for s in body.structures if s.frozen is None]
    rows = [_row(body, structure) for structure in body.structures]
    if args.json:
        print_json({"model": source.name, "macs": total.macs, "params": total.params, "groups": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("filter group")
    for name in ("filters", "layers", "MACs each", "params each"):
        table.add_column(name, justify="right")
    table.add_column("stays because")
    for row in rows:
        each = (f"{row['macs_each']:,}", f"{row['params_each']:,}") if row["frozen"] is None else ("", "")
        table.add_row(row["name"], str(row["size"]), str(row["layers"]), *each, row["frozen"] or "")
    out = printer()
    out.print(table)
    units = sum(s.size for s in free)
    out.print(
        f"\n{source.name}: {total.macs / 1e6:,.2f} M MACs, {total.params:,} parameters; "
        f"{units:,} filters in {len(free)} groups can go, {len(body.structures) - len(free)} groups stay"
    )


def example_of(text: str) -> Tensor:
    """``3,32,32`` as an example batch of one. Raises InputError for anything else."""
    try:
        shape = [int(part) for part in text.split(",")]
    except ValueError:
        shape = []
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(expected("--input", "three sizes, such as 3,32,32", text))
    return torch.zeros(1, *shape)


def _row(body: Anatomy, structure: Structure) -> dict[str, object]:
    """What leaves with one filter of the group, on average over the group."""
    alone = Cut({structure: (0,)}).kept() if structure.size > 1 else {}
    return {
        "name": structure.name,
        "size": structure.size,
        "layers": len({piece.tensor for piece in structure.producers}),
        "macs_each": body.macs() - body.macs(alone),
        "params_each": body.params() - body.params(alone),
        "frozen": structure.frozen,
    }
