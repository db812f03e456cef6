"""How long cells will take, judged by those that are done."""

import json
from collections.abc import Callable
from statistics import fmean

from windfirm.study.cell import Cell, canonical
from windfirm.study.store import Store

#: Seconds, or None for a kind of cell of which none is done.
Estimate = Callable[[Cell], float | None]


def estimate(store: Store) -> Estimate:
    """The mean of done cells with the same settings but for the seed, else that of all done cells of the kind."""
    with store.reading() as db:
        found = db.execute(
            "SELECT kind, json_remove(settings, '$.seed') AS alike, avg(seconds), count(*) FROM cells "
            "WHERE state = 'done' GROUP BY kind, alike"
        ).fetchall()
    alike = {(kind, canonical(json.loads(settings))): mean for kind, settings, mean, _ in found}
    by_kind: dict[str, list[float]] = {}
    for kind, _, mean, _ in found:
        by_kind.setdefault(kind, []).append(mean)

    def seconds(cell: Cell) -> float | None:
        rest = {name: value for name, value in cell.settings.items() if name != "seed"}
        exact = alike.get((cell.kind, canonical(rest)))
        if exact is not None or cell.kind not in by_kind:
            return exact
        return fmean(by_kind[cell.kind])

    return seconds
