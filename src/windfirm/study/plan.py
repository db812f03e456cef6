"""A study file: read, brought to a scale, overridden, checked; complaints name the line.

name = "sweep"                        # by default the name of the file
default-scale = "laptop"              # of the scales below
seeds = [0, 1, 2]

[prune]                               # settings, see settings.py
criterion = "pls"

[[grid]]                              # a value or a list of values for each; several grids are added up
network.arch = ["resnet56", "mobilenet-v2"]
prune.ratio = [0.1, 0.3, 0.5]

[[attack]]
name = "fgsm"
eps = ["2/255", "8/255"]

[scale.smoke]                         # what is different at that scale; lists take the place of lists
seeds = [0]
train.epochs = 1
attack.fgsm = { images = 8 }          # and a table changes every attack of its name
"""

import itertools
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windfirm.errors import InputError, expected, nearest
from windfirm.files import as_text
from windfirm.prune.budget import BUDGETS
from windfirm.study.cell import canonical
from windfirm.study.lines import Lines
from windfirm.study.measurements import Measurement, measurements_of
from windfirm.study.settings import SETTINGS, listed, show, unknown

#: What a study file has beside settings, tables and scales.
TOP = ("name", "about", "scale", "seeds")

#: Of these a study has one; one that is set later takes the place of any other.
SHARES = tuple(f"prune.{budget}" for budget in BUDGETS)


@dataclass(frozen=True)
class Point:
    """A place in the grid: the values on its axes, and all settings there."""

    axes: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A study as it is to be run. ``changes``: what was put over the file, as on the command line; not the seeds."""

    name: str
    scale: str | None
    seeds: tuple[int, ...]
    points: tuple[Point, ...]
    measurements: tuple[Measurement, ...]
    changes: tuple[str, ...] = field(default=(), compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the store."""
        points = [{"axes": point.axes, "settings": point.settings} for point in self.points]
        measured = [vars(entry) for entry in self.measurements]
        head = {"name": self.name, "scale": self.scale, "seeds": self.seeds, "changes": shlex.join(self.changes)}
        return head | {"points": points, "attacks": measured}


def read(path: Path | str, *, scale: str | None = None, changes: Sequence[str] = ()) -> Plan:
    """The plan in a study file. ``changes`` are overrides such as ``prune.rounds=3``.

    Raises InputError that names the line for whatever cannot be used.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(expected(str(path), "a study in TOML", error)) from error
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or "a file that is no text"
        raise InputError(expected(str(path), "a study file that can be read", got)) from error
    lines = Lines(path, text)
    values, changed = _scaled(values, scale, lines)
    grids, attacks = values.pop("grid", [{}]), values.pop("attack", [])
    top = {key: values.pop(key) for key in TOP if key in values}
    settings = {key: _checked(lines.where(key), key, value) for key, value in _flat(values)}
    overrides = {}
    places = {key: lines.where(key) for key in ("name", "seeds")}
    read_changes = [_change(text) for text in changes]
    for key, value in read_changes:
        if key in places:
            top[key], places[key] = value, f"--set {key}"
        else:
            overrides[key] = _checked(f"--set {key}", key, value)
    fixed = _over({key: setting.default for key, setting in SETTINGS.items()}, settings)
    points = _points(grids, fixed, overrides, lines)
    trials = _over(fixed, overrides)["attacks.trials"]
    measurements = tuple(measurements_of(attacks, changed, trials, lines))
    called, seeds = _name(places["name"], top.get("name", path.stem)), _seeds(places["seeds"], top.get("seeds", [0]))
    kept = tuple(text for text, (key, _) in zip(changes, read_changes, strict=True) if key != "seeds")
    return Plan(called, top.get("scale"), seeds, points, measurements, kept)


def _checked(place: str, dotted: str, value: Any) -> Any:
    if dotted not in SETTINGS:
        raise unknown(place, dotted, (*TOP, *SETTINGS))
    try:
        return SETTINGS[dotted].check(place, value)
    except InputError as error:
        if listed(dotted, value):
            raise InputError(f"{error}; values to go over belong into a table [[grid]]") from error
        raise


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` in front of ``below``; a budget takes the place of any other."""
    if any(share in above for share in SHARES):
        below = {**below, **dict.fromkeys(SHARES)}
    return {**below, **above}


def _scaled(values: dict[str, Any], scale: str | None, lines: Lines) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file with the part for a scale put over it; what that part says goes before what the rest says.

    Beside it what the scale changes of attacks, by their name.
    """
    scales = values.pop("scale", {})
    if not isinstance(scales, dict) or not all(isinstance(part, dict) for part in scales.values()):
        raise InputError(expected(lines.where("scale"), "tables such as [scale.smoke]", show(scales)))
    default = values.pop("default-scale", None)
    chosen = scale if scale is not None else default
    if chosen is None:
        return values, {}
    if not isinstance(chosen, str) or chosen not in scales:
        place = "--scale" if scale is not None else lines.where("default-scale")
        wanted = f"one of {', '.join(scales)}" if scales else "none, as there is no table such as [scale.smoke]"
        raise InputError(expected(place, wanted, chosen) + nearest(str(chosen), scales))
    lines.prefer("scale", chosen)
    part = dict(scales[chosen])
    changed = part.pop("attack") if isinstance(part.get("attack"), dict) else {}
    budget = part.get("prune")
    if isinstance(budget, dict) and any(name in budget for name in BUDGETS) and isinstance(values.get("prune"), dict):
        values["prune"] = {key: value for key, value in values["prune"].items() if key not in BUDGETS}
    return _merged(values, part) | {"scale": chosen}, changed


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _flat(values: Mapping[str, Any], *path: str) -> Iterator[tuple[str, Any]]:
    """Tables in tables as dotted names."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, *path, key)
        else:
            yield ".".join((*path, key)), value


def _change(text: str) -> tuple[str, Any]:
    """``prune.rounds=3`` as a name and a value; what is no TOML value is a text."""
    dotted, equals, value = text.partition("=")
    if not equals or not dotted:
        raise InputError(expected("--set", "NAME=VALUE, such as prune.rounds=3", text))
    try:
        return dotted.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return dotted.strip(), value.strip()


def _name(place: str, found: Any) -> str:
    if not isinstance(found, str) or not found or as_text(found) != found:
        raise InputError(expected(place, "a name", as_text(show(found))))
    return found


def _seeds(place: str, found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or not found or not all(type(seed) is int and abs(seed) < 2**63 for seed in found):
        raise InputError(expected(place, "a list of whole numbers below 2^63", show(found)))
    return tuple(dict.fromkeys(found))


def _points(grids: Any, fixed: Mapping[str, Any], overrides: Mapping[str, Any], lines: Lines) -> tuple[Point, ...]:
    """Every combination of values of every grid. What was set on the command line stays as it was set."""
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise InputError(expected(lines.where("grid"), "tables [[grid]]", show(grids)))
    if not grids:
        raise InputError(expected(lines.where("grid"), "at least one table [[grid]], or no word of it", "none"))
    found: dict[str, dict[str, Any]] = {}
    named: dict[str, bool] = {}  # and whether a list was gone through
    for index, grid in enumerate(grids):
        values: dict[str, list[Any]] = {}
        for dotted, value in _flat(grid):
            place = lines.where("grid", index, dotted)
            if dotted == "attacks.trials":
                raise InputError(
                    expected(place, "attacks.trials outside of [[grid]]: all are attacked alike", "one inside")
                )
            several = value if dotted in SETTINGS and listed(dotted, value) else [value]
            values[dotted] = [_checked(place, dotted, one) for one in several]
            named[dotted] = several is value or named.get(dotted, False)
            if not several:
                raise InputError(expected(place, "at least one value", "none"))
        for combination in itertools.product(*values.values()):
            settings = _over(_over(fixed, dict(zip(values, combination, strict=True))), overrides)
            found.setdefault(canonical(settings), settings)
    points = [*found.values()]
    axes = [key for key, listed_there in named.items() if listed_there]
    if not _apart(points, axes):  # grids that differ in single values alone
        axes = [key for key in named if key in axes or not _alike(points, key)]
    if any(point[axis] is None for point in points for axis in axes if axis in SHARES):  # another budget is there
        axes = [key for key in named if key in axes or key in SHARES]
    return tuple(Point(_place(settings, axes), settings) for settings in points)


def _place(settings: Mapping[str, Any], axes: Sequence[str]) -> dict[str, Any]:
    """The values on the axes; of the budgets that which there is."""
    return {axis: settings[axis] for axis in axes if axis not in SHARES or settings[axis] is not None}


def _apart(points: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> bool:
    """Whether the values along ``axes`` tell all points from each other."""
    return len({canonical({axis: point[axis] for axis in axes}) for point in points}) == len(points)


def _alike(points: Sequence[Mapping[str, Any]], key: str) -> bool:
    return len({canonical({key: point[key]}) for point in points}) == 1
