"""How long cells will take, judged by those that are done."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

from windfirm.study.cell import Cell, canonical
from windfirm.study.store import Store

#: Seconds, or None for a kind of cell of which none is done.
Estimate = Callable[[Cell], float | None]

#: Settings that a cell's time grows with, in proportion.
COUNTS = ("epochs", "images")


def estimate(store: Store) -> Estimate:
    """The mean of done cells that are the most alike.

    They have the same settings but for the seed; else but for eps and the COUNTS as well, to which the time is scaled;
    else only the kind is the same. Settings count once, however many seeds they were done with.
    """
    with store.reading() as db:
        done = db.execute(
            "SELECT kind, json_remove(settings, '$.seed') AS alike, avg(seconds) FROM cells "
            "WHERE state = 'done' AND seconds IS NOT NULL GROUP BY kind, alike"
        ).fetchall()
    times: dict[object, list[float]] = defaultdict(list)
    for kind, text, seconds in done:
        for key, share in _likenesses(kind, json.loads(text)):
            times[key].append(seconds / share)

    def seconds_of(cell: Cell) -> float | None:
        for key, share in _likenesses(cell.kind, cell.settings):
            if key in times:
                return share * fmean(times[key])
        return None

    return seconds_of


def _likenesses(kind: str, settings: Mapping[str, Any]) -> list[tuple[object, float]]:
    """What a cell shares with those that are alike, the most alike first, each with the size of this one among them."""
    rest = {name: value for name, value in settings.items() if name != "seed"}
    counts: list[int] = []

    def counted(values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        found = {name: counted(value) for name, value in values.items() if name != "eps"}
        for name in COUNTS:
            if isinstance(found.get(name), int) and found[name] > 0:
                counts.append(found[name])
                found[name] = "counted"
        return found

    proportional = canonical(counted(rest))
    return [((kind, canonical(rest)), 1.0), ((kind, proportional), math.prod(counts)), (kind, 1.0)]
