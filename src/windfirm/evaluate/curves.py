"""Accuracy against one number: the size of a change, of a patch, of a turn of the hue, the severity of a corruption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
from torch import nn

from windfirm.attack.budget import Attack, parse_eps
from windfirm.attack.clean import clean
from windfirm.attack.fgsm import fgsm
from windfirm.attack.registry import build
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.loop import curve, evaluate
from windfirm.evaluate.network import check_images
from windfirm.evaluate.outcome import Outcome, pack, unpack

#: Sizes of change that tell naturally trained networks apart (the small ones) and reach chance (the large ones).
EPSES = tuple(eps / 255 for eps in (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16))


@dataclass(frozen=True, eq=False)
class Curve:
    """One outcome for each of ``values``, which grow and stand for ``what``: ``eps``, ``severity``, ``size`` …

    Raises InputError when there is not one outcome a value, all on as many images, or the values do not grow.
    """

    what: str
    values: tuple[float, ...]
    outcomes: tuple[Outcome, ...]

    def __post_init__(self) -> None:
        if not self.values or len(self.values) != len(self.outcomes):
            got = f"{len(self.values)} and {len(self.outcomes)}"
            raise InputError(expected(f"curve of {self.what}", "as many outcomes as values, at least one", got))
        if any(a >= b for a, b in pairwise(self.values)):
            raise InputError(expected(f"curve of {self.what}", "values that grow", list(self.values)))
        sizes = sorted({len(outcome.correct) for outcome in self.outcomes})
        if len(sizes) > 1:
            raise InputError(expected(f"curve of {self.what}", "the same number of images everywhere", sizes))

    @property
    def accuracies(self) -> tuple[float, ...]:
        """One for each value, in [0, 1]."""
        return tuple(outcome.accuracy for outcome in self.outcomes)

    def bands(self, level: float = 0.95) -> tuple[tuple[float, float], ...]:
        """The interval of each accuracy by itself."""
        return tuple(interval(outcome, level) for outcome in self.outcomes)


@dataclass(frozen=True)
class Sweep:
    """A curve to be measured: the attack of each of ``points`` (value, attack), whose values are of ``what``.

    Where that is ``eps`` it is one attack at several eps. Raises InputError unless there are at least two values, all
    different, and for eps unless it limits the attack.
    """

    what: str
    points: tuple[tuple[float, Attack], ...]

    def __post_init__(self) -> None:
        values = [value for value, _ in self.points]
        if len(values) < 2 or len(set(values)) < len(values):
            raise InputError(expected(f"sweep of {self.what}", "at least two values, all different", values))
        if self.what == "eps":
            _limited(self.points[0][1])

    @property
    def attack(self) -> str:
        """The name of the attack."""
        return self.points[0][1].name

    def measure(self, model: nn.Module, images: Images, *, eps: float | str | None = None, **options: Any) -> Curve:
        """The curve of ``model`` on ``images``, at ``eps`` where that is not what grows; ``options`` are evaluate's."""
        if self.what == "eps":
            epses = sorted(value for value, _ in self.points)
            return against_eps(model, images, self.points[0][1], epses, **options)
        return against(model, images, self.what, self.points, eps=eps, **options)


def sweep(name: str, side: int, option: str = "eps", values: Sequence[float | str] = EPSES, **options: Any) -> Sweep:
    """The attack called ``name`` at each of ``values`` of eps, which may be written ``8/255``, or of its ``option``.

    For the values of an option see variants. Raises InputError where an attack that goes by L2 is given no lengths.
    """
    if option != "eps":
        return Sweep(option, tuple(variants(name, side, option, cast(Sequence[float], values), **options)))
    attack = build(name, side, **options)
    if attack.norm == "l2" and values is EPSES:
        raise InputError(expected(f"sweep of {attack.name}", "lengths to go over, such as 0, 0.25, 0.5 and 1", "none"))
    return Sweep(option, tuple((parse_eps(value, attack.norm or "linf"), attack) for value in values))


def against_eps(
    model: nn.Module, images: Images, attack: str | Attack, epses: Sequence[float] = EPSES, **options: Any
) -> Curve:
    """``attack`` at each of ``epses``, each by itself; ``options`` are those of evaluate. No attack is run at eps 0.

    So accuracy may rise where eps grows, which would be a sign that the attack fails; see ``nested``. Raises InputError
    for an attack to which eps means nothing.
    """
    check_images(images)
    attack = build(attack, images.side)
    _limited(attack)
    if attack == fgsm(0):
        return Curve("eps", tuple(epses), curve(model, images, epses, **options))
    still = replace(attack, apply=clean(0).apply)
    outcomes = (evaluate(model, images, attack if eps else still, eps=eps, **options) for eps in epses)
    return Curve("eps", tuple(epses), tuple(outcomes))


def against(
    model: nn.Module, images: Images, what: str, points: Sequence[tuple[float, Attack]], **options: Any
) -> Curve:
    """The attack of each of ``points`` (value, attack), in the order of the values; ``options`` are evaluate's."""
    points = sorted(points, key=lambda point: point[0])
    outcomes = tuple(evaluate(model, images, attack, **options) for _, attack in points)
    return Curve(what, tuple(value for value, _ in points), outcomes)


def variants(name: str, side: int, option: str, values: Sequence[float], **options: Any) -> list[tuple[float, Attack]]:
    """Points for ``against``: the attack called ``name`` with its ``option`` at each of ``values``.

    ``variants("occlusion", 32, "size", range(0, 33, 4))``, ``variants("semantic", 32, "turn", (0, 0.25, 0.5, 1))``,
    ``variants("corruptions", 32, "severity", range(1, 6))``.
    """
    return [(value, build(name, side, **{option: value}, **options)) for value in values]


def _limited(attack: Attack) -> None:
    if attack.norm is None:
        raise InputError(expected(attack.name, "an attack that eps limits", "one without a norm"))


def nested(curve: Curve) -> Curve:
    """The accuracy left by all that was tried within each eps: an image fooled at a smaller one counts as fooled.

    What was found within a smaller eps lies within the larger one too, so this is the accuracy of one stronger attack,
    and it never rises. It is no proof that the network falls: ask the plain curve whether the attack works. Raises
    InputError for a curve of something other than eps, or of averages.
    """
    if curve.what != "eps" or any(outcome.eps is None or outcome.trials > 1 for outcome in curve.outcomes):
        raise InputError(expected(f"curve of {curve.what}", "worst-case outcomes at several eps", "others"))
    least = np.minimum.accumulate([outcome.correct for outcome in curve.outcomes])
    return replace(
        curve,
        outcomes=tuple(
            replace(outcome, title=f"{outcome.title}, worst of every eps up to it", correct=correct)
            for outcome, correct in zip(curve.outcomes, least, strict=True)
        ),
    )


def to_json(curve: Curve) -> dict[str, Any]:
    """Plain values that json.dumps takes; every image's outcome is among them, packed."""
    return {
        "what": curve.what,
        "values": np.array(curve.values).tolist(),
        "outcomes": [pack(outcome) for outcome in curve.outcomes],
    }


def from_json(values: Mapping[str, Any]) -> Curve:
    """What to_json wrote. Raises InputError when parts are missing or damaged."""
    try:
        return Curve(values["what"], tuple(values["values"]), tuple(map(unpack, values["outcomes"])))
    except (KeyError, TypeError) as error:
        raise InputError(expected("curve", "the values of a curve", f"others ({error})")) from error
