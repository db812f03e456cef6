"""``windfirm inspect``: what can be removed, what cannot and why."""

from argparse import Namespace
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod

import torch

from windfirm.commands.shared import example_shape, grid, open_network, print_json, printer
from windfirm.models.cost import cost
from windfirm.models.device import type_of
from windfirm.models.normalize import taken_apart
from windfirm.prune.structure import Anatomy, Structure, anatomy
from windfirm.report.words import several


@dataclass(frozen=True)
class Row:
    """A filter group or a block; ``layers`` make it; ``macs`` and ``params`` are what leaves with one of its units."""

    name: str
    size: int
    layers: int
    macs: int
    params: int
    frozen: str | None


def run(args: Namespace) -> None:
    """Trace, couple, print."""
    source = open_network(args, args.model, trained=False)
    network, _ = taken_apart(source.model)
    shape, said = example_shape(source)
    example = torch.zeros(1, *shape, dtype=type_of(network))
    body = anatomy(network, example)
    total = cost(network, example)
    groups, blocks = ([_row(body, s) for s in body.structures if s.kind == kind] for kind in ("filters", "block"))
    if args.json:
        found = {"groups": [vars(row) for row in groups], "blocks": [vars(row) for row in blocks]}
        print_json({"model": source.name, "input": shape, "macs": total.macs, "params": total.params, **found})
        return
    out = printer()
    free, whole = ([row for row in rows if row.frozen is None] for rows in (groups, blocks))
    if free:
        table = grid("filter groups", "count", "filters", "layers", "MACs each", "params each", left=("filter groups",))
        for row, count in [(row, 1) for row in free] if args.all else alike(free):
            table.add_row(row.name, *(f"{n:,}" for n in (count, row.size, row.layers, row.macs, row.params)))
        out.print(table)
    if whole:
        table = grid("blocks", "count", "layers", "MACs each", "params each", left=("blocks",))
        for row, count in [(row, 1) for row in whole] if args.all else alike(whole):
            table.add_row(row.name, *(f"{n:,}" for n in (count, row.layers, row.macs, row.params)))
        out.print()
        out.print(table)
    rows = sorted([*groups, *blocks], key=lambda row: row.frozen or "")
    for reason, stuck in groupby(rows, key=lambda row: row.frozen):
        if reason is not None:
            out.print(f"\n{', '.join(f'{row.name} ({row.size})' for row in stuck)}: must stay, {reason}")
    going, staying = (sum(row.size for row in groups if (row.frozen is None) is can) for can in (True, False))
    out.print(
        f"\n{source.name}: {total.macs / 1e6:,.2f} M MACs, {total.params:,} parameters, {said}\n"
        f"{going:,} filters in {several(len(free), 'group')} and {len(whole)} of {len(blocks)} residual blocks can go, "
        f"{staying:,} filters must stay"
    )


def alike(rows: list[Row]) -> list[tuple[Row, int]]:
    """Rows that differ in numbers of their names alone made one, ``layer1.0-8.conv1``, with how many they were."""
    lines = [([[part] for part in row.name.split(".")], row) for row in rows]
    for place in range(max((len(parts) for parts, _ in lines), default=0)):
        merged: dict[object, tuple[list[list[str]], Row]] = {}
        for parts, row in lines:
            others = str(parts[:place] + parts[place + 1 :])
            counts = place < len(parts) and parts[place][0].isdigit()
            key = (place if counts else str(parts), others, replace(row, name=""))
            if key in merged:
                merged[key][0][place] += parts[place]
            else:
                merged[key] = (parts, row)
        lines = list(merged.values())
    return [(replace(row, name=".".join(map(_spans, parts))), prod(map(len, parts))) for parts, row in lines]


def _spans(parts: list[str]) -> str:
    """``0-3,5`` for the names 0, 1, 2, 3 and 5; a single name as it is."""
    if len(parts) == 1:
        return parts[0]
    numbers = sorted(map(int, parts))
    spans = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        spans.append(f"{members[0]}-{members[-1]}" if len(members) > 1 else str(members[0]))
    return ",".join(spans)


def _row(body: Anatomy, structure: Structure) -> Row:
    alone = {structure: (0,)} if structure.size > 1 or structure.kind == "block" else {}
    return Row(
        structure.name,
        structure.size,
        len({piece.tensor for piece in structure.producers}),
        body.macs() - body.macs(alone),
        body.params() - body.params(alone),
        structure.frozen,
    )
