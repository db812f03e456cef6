"""A few images of a study as its networks saw them: the networks of one point and one seed, attacked once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from windfirm.attack.budget import EPS, show_eps
from windfirm.attack.registry import build
from windfirm.evaluate.examples import Example, apart, examples
from windfirm.models.source import MODEL, Source, open_model
from windfirm.study.cells.bench import loaded
from windfirm.study.listing import Measured, Shown, shown
from windfirm.study.store import Store

#: Images of each attack, and attacks that are shown.
IMAGES, ATTACKS = 6, 6
#: Attacks that take too long for a few pictures, or leave an image as it is.
LEFT_OUT = ("clean", "autoattack", "ensemble", "square")


@dataclass(frozen=True)
class Pictures:
    """``examples`` of several attacks, ``titles`` that say what these are, the classes; of which point and seed."""

    examples: tuple[Example, ...]
    titles: dict[str, str]
    classes: tuple[str, ...]
    point: dict[str, Any]
    seed: int


def pictures(store: Store, rows: Sequence[Measured], *, device: torch.device | None = None) -> Pictures | None:
    """Those of the first point and seed of a study that has F and F'; None when there is none.

    ``rows``: those of the study, as measured reads them from ``store``.

    Raises StoreError for damaged networks, and DataError where the images are no longer to be had.
    """
    point = next((row.point for row in rows if row.role == "F'"), None)
    if point is None:
        return None
    seed = min(row.seed for row in rows if row.point == point and row.role == "F'")
    chosen = [row for row in rows if row.point == point and row.seed == seed]
    networks = _networks(store, chosen)
    cells = [_cell(store, row) for row in chosen if row.role == "F'" and row.row["attack"] not in LEFT_OUT]
    largest = sorted((cell.settings for cell in cells if "source" not in cell.inputs), key=lambda s: s.get("eps", 0))
    asked = list({settings["attack"]: settings for settings in largest}.values())[:ATTACKS]
    if not asked or not {"F", "F'"} <= networks.keys():
        return None
    wanted, shape = asked[0]["data"], networks["F"].intake.shape
    images = loaded(wanted, "test", shape)
    models = {role: source.model for role, source in networks.items()}
    made: list[Example] = []
    titles = {}
    for settings in asked:
        attack = build(settings["attack"], images.side, **settings["options"])
        eps = settings.get("eps", EPS)
        ids = apart(images, IMAGES)
        titles[attack.name] = attack.title if attack.norm is None else f"{attack.title}, eps {show_eps(eps)}"
        made += examples(models, images, attack, ids, eps=eps, seed=settings["seed"], device=device)
    return Pictures(tuple(made), titles, images.classes, dict(point), seed)


def _networks(store: Store, rows: list[Measured]) -> dict[str, Source]:
    """The networks by role, F first."""
    files = {row.role: store.files(row.network) for row in rows if row.network}
    factory = {row.role: _cell(store, row).settings.get("factory") for row in rows}
    return {
        role: open_model(str(files[role][MODEL].checked()), factory=factory[role])
        for role in ("F", "control", "F'")
        if MODEL in files.get(role, ())
    }


def _cell(store: Store, row: Measured) -> Shown:
    return shown(store, key=row.cell)[0]
