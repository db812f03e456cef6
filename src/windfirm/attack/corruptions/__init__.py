"""The nineteen corruptions of CIFAR-10-C (Hendrycks & Dietterich, ICLR 2019), made on the fly for images of any size.

The constants are those of ``make_cifar_c.py`` in ``hendrycks/robustness``, for 32×32. On larger images lengths in
pixels (of blurs, flakes, drops, streaks, the reach of glass) grow with the side, so that they cover the same share of
it; shares, amplitudes, zoom factors and qualities stay. At 32×32 nothing is scaled. Random numbers are our own, frost
is drawn in place of photographs, and values are not cut to 256 steps: the images are *generated* and not the official
files, and every title says so.

An image's random numbers are the same at every severity, which makes severities easy to compare.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget
from windfirm.attack.corruptions import blurs, digital, noise, spatter, weather
from windfirm.attack.corruptions.scene import Scene
from windfirm.errors import InputError, expected, nearest


@dataclass(frozen=True)
class Corruption:
    """``paint`` and what it takes, besides the scene, at severities 1 to 5."""

    paint: Callable[..., Tensor]
    levels: tuple[tuple[Any, ...], ...]


def _one(paint: Callable[..., Tensor], *values: float) -> Corruption:
    return Corruption(paint, tuple((value,) for value in values))


def _spatter(scene: Scene, paint: Callable[..., Tensor], *values: float) -> Tensor:
    return paint(scene, *values)


#: Every corruption by its name.
KINDS: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian-noise": _one(noise.gaussian_noise, 0.04, 0.06, 0.08, 0.09, 0.10),
        "shot-noise": _one(noise.shot_noise, 500, 250, 100, 75, 50),
        "impulse-noise": _one(noise.impulse_noise, 0.01, 0.02, 0.03, 0.05, 0.07),
        "speckle-noise": _one(noise.speckle_noise, 0.06, 0.1, 0.12, 0.16, 0.2),
        "defocus-blur": Corruption(blurs.defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
        "glass-blur": Corruption(
            blurs.glass_blur, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
        ),
        "motion-blur": Corruption(blurs.motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
        "zoom-blur": _one(blurs.zoom_blur, 1.06, 1.11, 1.16, 1.21, 1.26),
        "gaussian-blur": _one(blurs.gaussian_blur, 0.4, 0.6, 0.7, 0.8, 1),
        "snow": Corruption(
            weather.snow,
            (
                (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
                (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
            ),
        ),
        "frost": Corruption(weather.frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
        "fog": Corruption(weather.fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
        "spatter": Corruption(
            _spatter,
            (
                (spatter.water, 0.62, 0.1, 0.7, 0.7, 0.5),
                (spatter.water, 0.65, 0.1, 0.8, 0.7, 0.5),
                (spatter.water, 0.65, 0.3, 1, 0.69, 0.5),
                (spatter.mud, 0.65, 0.1, 0.7, 0.69, 0.6),
                (spatter.mud, 0.65, 0.1, 0.5, 0.68, 0.6),
            ),
        ),
        "brightness": _one(digital.brightness, 0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": _one(digital.contrast, 0.75, 0.5, 0.4, 0.3, 0.15),
        "saturate": Corruption(digital.saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
        "elastic": Corruption(
            digital.elastic, ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
        ),
        "pixelate": _one(digital.pixelate, 0.95, 0.9, 0.85, 0.75, 0.65),
        "jpeg": _one(digital.jpeg, 80, 65, 58, 50, 40),
    }
)


def single(kind: str, side: int, *, severity: int = 3, trials: int = 1) -> Attack:
    """The corruption called ``kind``, drawn ``trials`` times an image."""
    _check(kind, severity)
    corruption = KINDS[kind]
    level = corruption.levels[severity - 1]

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(expected(kind, "RGB images (b, 3, h, w)", tuple(images.shape)))
        return corruption.paint(Scene(images, side / 32, kind, budget), *level).clamp(0, 1)

    drawn = " with a drawn texture" if kind == "frost" else ""
    title = _title(f"{kind.replace('-', ' ')}{drawn}", severity, trials)
    return Attack(kind, title, apply, trials, average=True, norm=None)


def every(side: int, *, severity: int = 3, kinds: str | Sequence[str] = tuple(KINDS), trials: int = 1) -> Attack:
    """Each of ``kinds`` drawn ``trials`` times an image: the mean of what the attacks of those names find.

    In a text the kinds are separated by commas. For each image it is exactly that mean. The attack's own trials count
    kind after kind and then the next draw.
    """
    _check("corruptions", severity)
    kinds = tuple(kinds.split(",") if isinstance(kinds, str) else kinds)
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(expected("corruptions", f"kinds out of {', '.join(KINDS)}", kind) + nearest(kind, KINDS))
    if not kinds:
        raise InputError(expected("corruptions", "at least one kind", "none"))
    attacks = [single(kind, side, severity=severity) for kind in kinds]

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        draw, which = divmod(budget.trial, len(attacks))
        return attacks[which].apply(model, images, labels, replace(budget, trial=draw))

    names = f"the {len(KINDS)} corruptions of CIFAR-10-C" if tuple(kinds) == tuple(KINDS) else ", ".join(kinds)
    title = _title(f"mean of {names}", severity, trials)
    return Attack("corruptions", title, apply, trials * len(attacks), average=True, norm=None)


#: Name to factory, for the registry of attacks.
FACTORIES: Mapping[str, Callable[..., Attack]] = MappingProxyType(
    {"corruptions": every} | {kind: partial(single, kind) for kind in KINDS}
)


def _title(what: str, severity: int, trials: int) -> str:
    draws = f", mean of {trials} draws" if trials > 1 else ""
    return f"{what} at severity {severity} of 5{draws}, generated, not the official files"


def _check(where: str, severity: int) -> None:
    if not hasattr(severity, "__index__") or not 1 <= severity <= 5:
        raise InputError(expected(where, "a whole severity from 1 to 5", severity))
