"""A round of pruning in words and as plain values."""

from collections.abc import Iterator, Sequence

from windfirm.prune.propose import KINDS, Round

#: So many groups or blocks are told by name.
NAMED = 12


def told(entry: Round, criterion: str) -> list[str]:
    """What a round did, in words; what left from where, what could not go, and how sure that is, on lines below."""
    unit = "filters" if entry.sort == "filters" else "blocks"
    spent = f", {entry.latency:.1%} of the first network's time (measured)" if entry.latency is not None else ""
    first = (
        f"round {entry.number}: {entry.cut.units:,} of {entry.candidates:,} {unit}, {entry.macs_before / 1e6:.2f} → "
        f"{entry.macs_after / 1e6:.2f} M MACs{spent}, proved"
    )
    return [first, *(f"  {line}" for line in _details(entry, criterion))]


def describe(entry: Round) -> dict[str, object]:
    """A round as plain values: what it cost, and how many filters left from each group or which blocks did."""
    left = {structure: len(units) for structure, units in entry.cut.removed.items() if units}
    groups = {structure: count for structure, count in left.items() if structure.kind == "filters"}
    return {
        "number": entry.number,
        "kind": entry.sort,
        "macs_before": entry.macs_before,
        "macs_after": entry.macs_after,
        "params_before": entry.params_before,
        "params_after": entry.params_after,
        "latency": entry.latency,
        "removed": {structure.name: count for structure, count in groups.items()},
        "sizes": {structure.name: structure.size for structure in groups},
        "blocks": [structure.name for structure in left if structure.kind == "block"],
        "stability": vars(entry.stability) if entry.stability else None,
        "choose": entry.rule,
        "distances": dict(entry.distances),
        "stopped": dict(entry.stopped),
        "refused": dict(entry.refused),
        "unscored": list(entry.unscored),
        "changes-normalisation": list(entry.changes_normalisation),
    }


def _details(entry: Round, criterion: str) -> Iterator[str]:
    if entry.rule:
        far = ", ".join(f"{sort} {distance:.3g}" for sort, distance in entry.distances.items())
        yield f"{entry.sort} by {entry.rule}{f': {far}' if far else ''}"
    for sort, reason in entry.stopped.items():
        yield f"no {sort}: {reason}"
    removed = entry.cut.removed
    if removed:
        blocks = KINDS[entry.sort] == "block"
        yield _named([s.name if blocks else f"{s.name} {len(units)} of {s.size}" for s, units in removed.items()])
    if entry.stability:
        yield f"two halves of the images agree on {entry.stability.agree:,} of {entry.stability.of:,}"
    if entry.unscored:
        count, what = len(entry.unscored), "group" if entry.sort == "filters" else "block"
        many = f"{count} {what}s stay" if count > 1 else f"1 {what} stays"
        yield f"{many} whole, {criterion} has no score: {_named(entry.unscored)}"
    for name, reason in entry.refused.items():
        yield f"{name} stays whole: {reason}"
    if places := entry.changes_normalisation:
        yield (
            f"changes-normalisation: {places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''} now look "
            "at fewer channels; proved with statistics over those that stay"
        )


def _named(names: Sequence[str]) -> str:
    """The first few, and how many there are besides."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more, see record.json" if more > 0 else "")
