"""The record of a pruning run, read with care: what an older one lacks, or holds in another form, is left out."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from windfirm.report.figure import Layer

Record = Mapping[str, object]


@dataclass(frozen=True)
class Round:
    """One round: its number, MACs before and after it (NaN: not known), and what left, filters by group and blocks.

    ``sizes``: how many filters a group had. ``halves``: how many units two halves of the images agree on, and of how
    many. ``refused``: what stayed whole, and why; ``unscored``: what had no score; ``changed``: the calls that look at
    fewer channels now. ``notes``: what else there is to say, in words.
    """

    number: int
    before: float
    after: float
    removed: Mapping[str, int]
    sizes: Mapping[str, int]
    blocks: tuple[str, ...]
    halves: tuple[int, int] | None
    refused: Mapping[str, str]
    unscored: tuple[str, ...]
    changed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def filters(self) -> int:
        """How many filters left."""
        return sum(self.removed.values())


def rounds(record: Record) -> list[Round]:
    """The rounds of a run."""
    return [_round(mapping(entry), number) for number, entry in enumerate(_sequence(record.get("rounds")), 1)]


def layers(record: Record) -> list[tuple[Layer, str]]:
    """The layers in the order of the forward pass, each with its kind; those whose numbers are missing are left out."""
    found = []
    for entry in map(mapping, _sequence(record.get("profile"))):
        before, after = number(entry.get("before")), number(entry.get("after"))
        if math.isfinite(before) and math.isfinite(after):
            found.append((Layer(text(entry.get("layer")), int(before), int(after)), text(entry.get("kind"))))
    return found


def cost(record: Record, key: str) -> tuple[float, float] | None:
    """One of the costs before and after; None where either is missing, or nothing was there before."""
    before, after = (number(mapping(record.get(when)).get(key)) for when in ("before", "after"))
    return (before, after) if before > 0 and after >= 0 else None


def number(value: object) -> float:
    """A number as it is; NaN for everything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def text(value: object) -> str:
    """A value as people read it: a mapping as ``key value, key value``, what is not there or false as nothing."""
    if isinstance(value, Mapping):
        entries = ((key, entry is True, text(entry)) for key, entry in value.items())
        return ", ".join(str(key) if true else f"{key} {said}" for key, true, said in entries if said)
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(text, value)))
    return "" if value is None or value is False else str(value)


def mapping(value: object) -> Mapping[str, object]:
    """A mapping as it is; an empty one for everything else."""
    return value if isinstance(value, Mapping) else {}


def names(value: object) -> tuple[str, ...]:
    """The entries of a list as texts; none for everything else."""
    return tuple(filter(None, map(text, _sequence(value))))


def _round(entry: Mapping[str, object], position: int) -> Round:
    said, halves = number(entry.get("number", entry.get("round"))), mapping(entry.get("stability"))
    agree, of = number(halves.get("agree")), number(halves.get("of"))
    return Round(
        int(said) if math.isfinite(said) else position,
        number(entry.get("macs_before")),
        number(entry.get("macs_after")),
        _counts(entry.get("removed", entry.get("left"))),
        _counts(entry.get("sizes")),
        names(entry.get("blocks")),
        (int(agree), int(of)) if agree >= 0 and of > 0 else None,
        {name: text(reason) for name, reason in mapping(entry.get("refused")).items()},
        names(entry.get("unscored")),
        names(entry.get("changes-normalisation")),
        tuple(_notes(entry)),
    )


def _notes(entry: Mapping[str, object]) -> Iterator[str]:
    """How one of two cuts was chosen, why there was none, and how much time is left."""
    if rule := text(entry.get("choose")):
        far = [f"{sort} {number(value):.3g}" for sort, value in mapping(entry.get("distances")).items()]
        yield f"{text(entry.get('kind'))}, by the rule {rule}" + (f"; distances: {', '.join(far)}" if far else "")
    for sort, reason in mapping(entry.get("stopped")).items():
        yield f"no {sort}: {text(reason)}"
    if math.isfinite(left := number(entry.get("latency"))):
        yield f"{100 * left:.1f} % of the first network’s time, measured"


def _counts(value: object) -> dict[str, int]:
    found = {name: number(count) for name, count in mapping(value).items()}
    return {name: int(count) for name, count in found.items() if count > 0}


def _sequence(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
