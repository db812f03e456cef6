"""A run of ``windfirm prune`` as one HTML page that opens offline, made from its record."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from windfirm.report import frame, profile, words
from windfirm.report import record as read
from windfirm.report.figure import Layer
from windfirm.report.record import Record, Round

#: Costs in the record, their name on the page, and their unit.
COSTS = (
    ("macs", "multiply-adds", ""),
    ("params", "parameters", ""),
    ("param_bytes", "parameters’ memory", "B"),
    ("peak_bytes", "activations’ memory", "B"),
)
#: What the last part of the page tells, in this order, and what it is called there.
SETTINGS = {
    "model": "model",
    "factory": "made by",
    "structure": "structure",
    "criterion": "criterion",
    "target": "target",
    "choose": "choice",
    "adjustment": "adjustment",
    "defence": "defence",
    "seed": "seed",
    "data": "data",
    "digest": "SHA-256 of the images",
    "images": "images",
    "skipped": "images that could not be read",
    "input": "input",
    "normalisation": "normalisation",
    "hardware": "hardware",
    "versions": "versions",
}
#: What holds for every round, or there would be none.
PROVED = "Every cut was proved: the smaller network computes what the one before it does with those parts silenced."
UNMEASURED = "What that did to accuracy and robustness is not measured here; windfirm compare does."


def page(record: Record, title: str | None = None) -> str:
    """The whole page as text. ``record`` is what ``windfirm prune`` wrote into ``record.json``; any key may be missing.

    The layers of ``profile`` stand in the order of the forward pass; ``after`` is 0 where a layer left with its block.
    """
    rounds, layers = read.rounds(record), read.layers(record)
    halves = _halves(rounds)
    return frame.render(
        "pruning.html.jinja",
        styles=("pruning.css",),
        title=title or f"{_name(record)}, pruned",
        sentences=sentences(record),
        costs=costs(record),
        skyline=Markup(profile.skyline([layer for layer, _ in layers])),
        gone=any(profile.gone(layer) for layer, _ in layers),
        layers=[(layer.name, kind, layer.before, layer.after, _value(layer), _kept(layer)) for layer, kind in layers],
        rounds=[_told(entry, [layer.name for layer, _ in layers]) for entry in rounds],
        halves=f"{halves[0]:,} of {halves[1]:,}" if halves else "",
        whole=whole(record),
        changed=list(dict.fromkeys(place for entry in rounds for place in entry.changed)),
        settings=[(label, said) for key, label in SETTINGS.items() if (said := _setting(record, key))],
    )


def sentences(record: Record) -> list[str]:
    """What left and what is left, and how sure that is; for what the record does not say there is no word."""
    rounds = read.rounds(record)
    filters, blocks = sum(entry.filters for entry in rounds), sum(len(entry.blocks) for entry in rounds)
    gone = words.listing(
        [words.several(count, what) for count, what in ((filters, "filter"), (blocks, "block")) if count]
    )
    said = f"{_name(record)} lost {gone}" if gone else f"{_name(record)} was pruned"
    said += f" in {words.several(len(rounds), 'round')}" if rounds else ""
    said += f", chosen by {criterion}" if (criterion := read.text(record.get("criterion"))) else ""
    left = [
        f"{_share(*pair)} of the {what} ({_quantity(pair[1], unit)} of {_quantity(pair[0], unit)})"
        for key, what, unit in COSTS
        if key != "param_bytes" and (pair := read.cost(record, key))
    ]
    said += f". Left are {words.listing(left)}." if left else "."
    more = []
    if halves := _halves(rounds):
        more.append(f"Two halves of the images, each asked alone, agree on {halves[0]:,} of {halves[1]:,} choices.")
    if rounds:
        more.append(f"{PROVED} {UNMEASURED}")
    return [said, *more]


def _name(record: Record) -> str:
    return read.text(record.get("model")) or "The network"


def _setting(record: Record, key: str) -> str:
    value = record.get(key)
    if key == "adjustment":
        return read.text(value or record.get("adjust"))  # of older records there is the name alone
    if key in ("images", "skipped"):
        return f"{value:,}" if isinstance(value, int) and value else ""  # none were looked at
    return read.text(value)


def costs(record: Record) -> list[tuple[str, str, str, str]]:
    """What one image costs: the name of the cost, before, after, and the change."""
    pairs = [(what, unit, pair) for key, what, unit in COSTS if (pair := read.cost(record, key))]
    return [(what, _quantity(a, unit), _quantity(b, unit), words.change(a, b)) for what, unit, (a, b) in pairs]


def _told(entry: Round, order: Sequence[str]) -> dict[str, object]:
    """A round as a line of the table; groups, in the order of their layers, and blocks by name."""
    places = {name: place for place, name in enumerate(order)}
    groups = sorted(entry.removed, key=lambda name: places.get(name, len(places)))
    what = (
        [words.several(entry.filters, "filter") + f" of {words.several(len(entry.removed), 'group')}"]
        if entry.filters
        else []
    )
    what += [words.several(len(entry.blocks), "block")] if entry.blocks else []
    known = math.isfinite(entry.before) and math.isfinite(entry.after)
    return {
        "number": entry.number,
        "what": words.listing(what) or "nothing",
        "names": [_of(name, entry.removed[name], entry.sizes) for name in groups] + [*entry.blocks],
        "notes": entry.notes,
        "before": words.quantity(entry.before) if known else words.NONE,
        "after": words.quantity(entry.after) if known else words.NONE,
        "change": words.change(entry.before, entry.after),
        "halves": f"{entry.halves[0]:,} of {entry.halves[1]:,}" if entry.halves else words.NONE,
    }


def _of(name: str, count: int, sizes: Mapping[str, int]) -> str:
    return f"{name} {count} of {sizes[name]}" if name in sizes else f"{name} {count}"


def _halves(rounds: Sequence[Round]) -> tuple[int, int] | None:
    """On how many of all units that left two halves of the images agree."""
    known = [entry.halves for entry in rounds if entry.halves]
    return (sum(agree for agree, _ in known), sum(of for _, of in known)) if known else None


def whole(record: Record) -> list[tuple[str, str]]:
    """What stayed whole and why, each reason once."""
    reasons: dict[str, str] = {}
    for entry in read.rounds(record):
        reasons |= dict.fromkeys(entry.unscored, "the criterion has no score for it")
        reasons |= {name: reason.removeprefix(f"{name}: ") for name, reason in entry.refused.items()}
    for pattern in read.names(read.mapping(record.get("target")).get("protect")):
        reasons.setdefault(pattern, "protected, as asked")
    return list(reasons.items())


def _value(layer: Layer) -> str:
    """The share of filters kept, for sorting; empty where there is none."""
    return f"{layer.after / layer.before:.6f}" if layer.before else ""


def _kept(layer: Layer) -> str:
    if profile.gone(layer):
        return "left with its block"
    return _share(layer.before, layer.after) if layer.before else words.NONE


def _share(before: float, after: float) -> str:
    return f"{words.decimal(100 * after / before, 1)}\N{NO-BREAK SPACE}%"


def _quantity(value: float, unit: str) -> str:
    said = words.quantity(value)
    return (said if " " in said else f"{said} " if unit else said).replace(" ", "\N{NO-BREAK SPACE}") + unit
