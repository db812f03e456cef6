"""Rows of a study by hand: which images are right is chosen, so that every difference can be counted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windfirm.evaluate.outcome import Outcome, pack
from windfirm.study.listing import Measured

ABOUT = {"data": "embedded/test", "digest": "00ff", "hardware": "a processor, 1 thread", "versions": "windfirm 0"}
MACS = {"F": 1000, "control": 1000, "F'": 900}


def outcome(attack: str, right: int, total: int = 100, first: int = 0, eps: float | None = None) -> Outcome:
    """Right on ``right`` images from number ``first`` on."""
    images = np.arange(total)
    return Outcome(
        attack, f"{attack} in words", eps, 1, ((images >= first) & (images < first + right)).astype(np.int64)
    )


def row(
    study: str, role: str, point: Mapping[str, Any], seed: int, made: Outcome, macs: Mapping[str, int] = MACS
) -> Measured:
    cell = f"{role}-{seed}-{made.attack}"
    return Measured(study, role, point, seed, pack(made), macs[role], 10, cell, f"net-{role}", 1.5, ABOUT)


def rows(
    study: str,
    point: Mapping[str, Any],
    right: Mapping[str, Mapping[str, int]],
    *,
    seeds: Sequence[int] = (0,),
    total: int = 100,
    macs: Mapping[str, int] = MACS,
) -> list[Measured]:
    """One row for each role, seed and attack; ``right`` by role and attack. FGSM has an eps of 8/255."""
    return [
        row(study, role, point, seed, outcome(attack, count, total, eps=8 / 255 if attack == "fgsm" else None), macs)
        for role, counts in right.items()
        for seed in seeds
        for attack, count in counts.items()
    ]


def four(semantic: int, occlusion: int, fgsm: int, clean: int) -> dict[str, int]:
    return {"semantic": semantic, "occlusion": occlusion, "fgsm": fgsm, "clean": clean}


#: F, the control and F' of one point.
THREE = {"F": four(70, 80, 20, 93), "control": four(71, 80, 24, 93), "F'": four(72, 78, 30, 92)}
