"""What an attack did to each image: counts, so that two networks can be compared image by image at any later time."""

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windfirm.attack.budget import NORMS, show_eps
from windfirm.errors import InputError, expected

#: The most draws an image that are stored.
MOST = 2**16 - 1


@dataclass(frozen=True, eq=False)
class Outcome:
    """One network under one attack.

    ``correct`` (n,) int64: how many of ``trials`` draws each image was classified right in; ``trials`` is 1 where the
    worst of several tries counts. ``eps`` is None for an attack that has none.
    """

    attack: str
    title: str
    eps: float | None
    trials: int
    correct: NDArray[np.int64]

    @property
    def description(self) -> str:
        """What was done, in words, with its strength."""
        return self.title if self.eps is None else f"{self.title}, eps {show_eps(self.eps)}"

    @property
    def in_l2(self) -> bool:
        """Whether ``eps`` is a length in L2, as the title says."""
        return NORMS["l2"] in self.title

    @property
    def count(self) -> int:
        """Right predictions, over all images and draws."""
        return int(self.correct.sum())

    @property
    def total(self) -> int:
        """Predictions: images times draws."""
        return len(self.correct) * self.trials

    @property
    def accuracy(self) -> float:
        """``count / total``, in [0, 1]."""
        return self.count / self.total


def pack(outcome: Outcome) -> dict[str, Any]:
    """Plain values for JSON; the counts per image are compressed (16 bits each, zlib, base64).

    Raises InputError for more draws than 16 bits hold.
    """
    if outcome.trials > MOST:
        raise InputError(
            expected(f"outcome {outcome.attack}", f"at most {MOST:,} draws an image", f"{outcome.trials:,}")
        )
    packed = zlib.compress(outcome.correct.astype("<u2").tobytes(), 9)
    return {
        "attack": outcome.attack,
        "title": outcome.title,
        "eps": outcome.eps,
        "trials": outcome.trials,
        "count": outcome.count,
        "total": outcome.total,
        "correct": base64.b64encode(packed).decode("ascii"),
    }


def unpack(values: Mapping[str, Any]) -> Outcome:
    """What pack wrote. Raises InputError when the counts per image are damaged or do not add up."""
    try:
        data = zlib.decompress(base64.b64decode(values["correct"], validate=True))
        correct = np.frombuffer(data, "<u2").astype(np.int64)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputError(
            expected(f"outcome {values['attack']}", "packed counts per image", f"damage ({error})")
        ) from error
    outcome = Outcome(values["attack"], values["title"], values["eps"], values["trials"], correct)
    if (outcome.count, outcome.total) != (values["count"], values["total"]):
        wanted = f"{values['count']} right of {values['total']}"
        raise InputError(expected(f"outcome {outcome.attack}", wanted, f"{outcome.count} of {outcome.total}"))
    return outcome
