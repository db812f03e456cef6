"""What several commands do alike: printing, choosing images and attacks, checking folders before the work begins."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from windfirm import data
from windfirm.attack.budget import Attack, parse_eps
from windfirm.attack.registry import build
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.files import atomic

#: What is measured when no attack is named: the columns of the poster's tables.
DEFAULT_ATTACKS = ("semantic", "occlusion", "fgsm", "clean")


def print_json(document: object) -> None:
    """One JSON document on stdout. Numbers that are not finite are refused, as JSON has none."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def printer() -> Console:
    """Standard output; no colours and no wrapping when it is not a terminal."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, no_color=True, width=100)


def folder(path: str) -> Path:
    """The folder ``path``, made and tried, so that a long run does not end at a closed door."""
    place = Path(path)
    with atomic(place / "write-test"):
        pass
    (place / "write-test").unlink()
    return place


def load_images(name: str, split: data.Split, limit: int | None) -> Images:
    """One split of a data set, or its first ``limit`` images."""
    if limit is not None and limit < 1:
        raise InputError(expected("--images", "at least 1", limit))
    return data.load(name, split)[:limit]


def chosen_attacks(args: Namespace, side: int) -> tuple[list[Attack], float]:
    """The attacks that ``--attack`` and ``--trials`` ask for, on images of this side, and ``--eps`` as a number."""
    eps = parse_eps(args.eps)
    attacks = []
    for name in args.attack or DEFAULT_ATTACKS:
        attack = build(name, side)
        if args.trials is not None and attack.average and attack.trials > 1:
            attack = build(name, side, trials=args.trials)
        attacks.append(attack)
    return attacks, eps
