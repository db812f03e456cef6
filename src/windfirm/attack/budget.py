"""What an attack may spend and where its random numbers come from.

A random number belongs to (seed, purpose, trial, image) and not to a place in a batch. So neither the batch size nor
the other images of a batch change a result, and two networks are shown the very same random changes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import InputError, expected

#: How far a change is: its largest value, or its length (Euclidean, over all values of an image).
Norm = Literal["linf", "l2"]

#: Norms as titles print them.
NORMS = {"linf": "Linf", "l2": "L2"}

#: The largest change of a value that papers on small images attack with, in units of a pixel in [0, 1].
EPS = 8 / 255

#: What tables call means over attacks.
MEANS = ("average", "robustness", "generalization")


@dataclass(frozen=True)
class Budget:
    """What an attack is given besides model, images and labels.

    ``eps``: the largest change of a value in [0, 1], or the largest length of the change of an image, as the attack's
    norm says (attacks without a norm do not use it). ``trial``: which of several draws or places this is. ``ids`` (b,):
    the number of each image in its data set; its place in the batch when None. ``batch``: how many images there is
    memory for in the network at once; None for all. ``at_once``: how many it looks at in about the time of one, so that
    an attack on fewer may ask ahead. Neither changes which images an attack fools.
    """

    eps: float = EPS
    seed: int = 0
    trial: int = 0
    ids: Tensor | None = None
    batch: int | None = None
    at_once: int = 1

    def draw(self, images: Tensor, count: int, purpose: str) -> Tensor:
        """``count`` numbers in [0, 1) for each image of this trial: (b, count) float64 on the CPU."""
        return uniform(self._ids(len(images)), count, self.seed, purpose, self.trial)

    def only(self, rows: Tensor, images: Tensor) -> "Budget":
        """The budget of ``images[rows]``: an attack that lets go of images that are fooled goes on with it."""
        return replace(self, ids=self._ids(len(images))[rows.cpu()])

    def _ids(self, count: int) -> Tensor:
        ids = torch.arange(count) if self.ids is None else self.ids
        if len(ids) != count:
            raise InputError(expected("budget", f"{count} image ids, one an image", len(ids)))
        return ids


#: ``(model, images (b, c, h, w) in [0, 1], labels (b,), budget) -> images`` of the same shape and range.
Apply = Callable[[nn.Module, Tensor, Tensor, Budget], Tensor]


@dataclass(frozen=True)
class Attack:
    """An attack as tables print it: its name, what it does in words with all its numbers, and how to count it.

    ``average``: accuracy is the mean over ``trials`` draws, on all images. Otherwise an image counts as right only when
    no trial fools the network. ``norm``: the norm in which ``eps`` bounds the change, None when eps means nothing.
    ``packs``: it lets go of images that it has fooled and shows the network ``budget.batch`` of the others at a time,
    so that it is best given many; any other is given no more than a batch. ``exact``: the trials that compare logits
    which hardly differ, and are searched in float32 where others are not.
    """

    name: str
    title: str
    apply: Apply
    trials: int
    average: bool
    norm: Norm | None
    packs: bool = False
    exact: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.norm not in (None, *get_args(Norm)):
            raise InputError(expected(self.name, f"a norm out of {', '.join(get_args(Norm))}, or None", self.norm))
        if self.norm and (NORMS["l2"] in self.title) != (self.norm == "l2"):  # rows keep titles, and no norms
            wanted = "a title that says L2" if self.norm == "l2" else "a title that does not say L2, as norm is linf"
            raise InputError(expected(self.name, wanted, self.title))
        if self.trials < 1:
            raise InputError(expected(self.name, "at least 1 trial", self.trials))
        if self.name in MEANS:
            raise InputError(expected("attack", "a name that no mean of attacks has in tables", self.name))

    def size(self, eps: str | float | None) -> float:
        """``eps`` as parse_eps reads it in this attack's norm; any length where eps means nothing.

        None is EPS, except for an attack that goes by L2, where so short a change of a whole image would be next to
        nothing: that raises InputError.
        """
        if eps is None and self.norm == "l2":
            raise InputError(expected("eps", f"a length in L2 for {self.name}, such as 0.5", "none"))
        return EPS if eps is None else parse_eps(eps, self.norm or "l2")


def parse_eps(text: str | float, norm: Norm | None = "linf") -> float:
    """A size of change in pixel units, from ``8/255``, ``0.25/255`` or ``0.03``: in [0, 1], or any length in ``l2``.

    Raises InputError for anything else.
    """
    if getattr(text, "ndim", None) == 0:
        text = text.item()  # type: ignore[union-attr]  # of a tensor or array without axes
    above, slash, below = str(text).partition("/")
    try:
        eps = float(above) / (float(below) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        eps = math.nan
    if not 0 <= eps <= (math.inf if norm == "l2" else 1) or eps == math.inf:
        wanted = "a length of at least 0, such as 0.5" if norm == "l2" else "a number in [0, 1], such as 8/255"
        raise InputError(expected("eps", wanted, text))
    return eps


def show_eps(eps: float) -> str:
    """The way people write it: ``8/255``, ``0.25/255``, a length above 1 as it is; parse_eps reads it back."""
    return f"{eps:.6g}" if eps > 1 else f"{eps * 255:.6g}/255"


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(ids: Tensor, count: int, seed: int, *purpose: str | int) -> Tensor:
    """``count`` uniform numbers in [0, 1) for each id (b,) >= 0, as (b, count) float64 on the CPU.

    Each is a function of its id, its column, the seed and the purpose alone: SplitMix64 (Steele, Lea & Flood, OOPSLA
    2014), whose n-th number needs no numbers before it.
    """
    key = np.uint64(seeds.number(seed, *purpose))
    rows = _mix(ids.cpu().numpy().astype(np.uint64) * _GOLDEN + key)
    cells = _mix(rows[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return torch.from_numpy((cells >> np.uint64(11)) * 2.0**-53)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: every bit of the result depends on every bit of ``z``."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
