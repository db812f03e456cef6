"""The poster's four tables: their rows and columns in its order, and the numbers that it printed.

A. Jordao and H. Pedrini, "On the Effect of Pruning on Adversarial Robustness", ICCV 2021 Workshop on Adversarial
Robustness in the Real World (AROW). The numbers are F' − F in percentage points; there are no intervals in it.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

#: The value of an axis on which a point does nothing.
NONE = "none"

#: A place in the grid of a study: the values on its axes.
Point = Mapping[str, Any]

ATTACKED = ("semantic", "occlusion", "fgsm")
FOUR = {"semantic": (), "occlusion": (), "fgsm": (), "clean": (), "average": (*ATTACKED, "clean")}
THREE = {"semantic": (), "occlusion": (), "fgsm": (), "average": ATTACKED}
BOTH_SIDES = {"robustness": ATTACKED, "generalization": ("clean",), "average": ("robustness", "generalization")}

NAMES = {
    "resnet56": "ResNet56",
    "mobilenet-v2": "MobileNetV2",
    "scratch-e": "Scratch-E",
    "scratch-b": "Scratch-B",
    "w-ticket": "W-Ticket",
    "fine-tuning": "Fine-Tuning",
    "l1": "ℓ1-norm",
    "expected-abs": "ExpectedABS",
    "hrank": "HRank",
    "kl-divergence": "KLDivergence",
    "pls": "PLS",
    "mixup": "MixUp",
    "cutmix": "CutMix",
    "shape-texture": "Shape-Texture",
}


@dataclass(frozen=True)
class Form:
    """One of the poster's tables.

    ``columns``: for each column what it is the mean of, attacks or columns before it; nothing for an attack itself.
    ``row_of`` gives the name of a point's row. ``head`` stands above the rows' labels. ``published``: percentage points
    by row and column.
    """

    number: int
    head: str
    columns: Mapping[str, tuple[str, ...]]
    row_of: Callable[[Point], str]
    published: Mapping[tuple[str, str], float]

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows in the poster's order."""
        return tuple(dict.fromkeys(row for row, _ in self.published))

    def label(self, row: str) -> str:
        """A row as the poster writes it: ``ResNet56, Filters``."""
        parts = [NAMES.get(part, part.capitalize()) for part in row.split("/")]
        return f"Pruning {parts[0]}" if self.number == 4 and row in ("filters", "layers", "both") else ", ".join(parts)


@cache
def forms() -> Mapping[str, Form]:
    """The tables by the name of their study."""
    tables = (
        ("architecture, structure", FOUR, _arch_and_structure),
        ("adjustment", THREE, _value_of("adjust.name")),
        ("criterion", FOUR, _value_of("prune.criterion")),
        ("defense", BOTH_SIDES, _value_of("defend.name", "prune.structure")),
    )
    published = _published()
    return {
        f"table{number}": Form(number, head, columns, row_of, published[number])
        for number, (head, columns, row_of) in enumerate(tables, 1)
    }


def _arch_and_structure(point: Point) -> str:
    return f"{point.get('network.arch', '')}/{point.get('prune.structure', '')}"


def _value_of(*axes: str) -> Callable[[Point], str]:
    """The value on the first of these axes on which a point does something."""
    return lambda point: str(next((point[axis] for axis in axes if point.get(axis, NONE) != NONE), ""))


def _published() -> dict[int, dict[tuple[str, str], float]]:
    text = files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    found: dict[int, dict[tuple[str, str], float]] = {}
    for entry in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        found.setdefault(int(entry["table"]), {})[entry["row"], entry["column"]] = float(entry["points"])
    return found
