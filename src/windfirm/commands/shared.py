"""What several commands do alike: printing, choosing images and attacks, keeping a folder whole."""

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from windfirm import data
from windfirm.attack.budget import Attack, parse_eps
from windfirm.attack.registry import build
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError, expected, nearest
from windfirm.evaluate.network import classify, private
from windfirm.study.measure import naming

#: What is measured when no attack is named: the columns of the poster's tables.
DEFAULT_ATTACKS = ("semantic", "occlusion", "fgsm", "clean")


def print_json(document: object) -> None:
    """One JSON document on stdout. Numbers that are not finite are refused, as JSON has none."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def printer() -> Console:
    """Standard output; no colours when it is not a terminal, and lines as long as they are."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return Console(highlight=False, markup=False, soft_wrap=True, no_color=True, width=1000)


def grid(*columns: str, left: Collection[str]) -> Table:
    """An empty table without lines; numbers stand on the right, the columns in ``left`` on the left."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right")
    return table


@contextmanager
def results(folder: str | Path) -> Iterator[Path]:
    """Yield a hidden place inside ``folder``; its files move up into ``folder`` when the block ends well.

    Else they go, and so do the folders that were made for them: a command leaves all of its results or none. Raises
    InputError at once when ``folder`` cannot be written, so that a long run does not end at a closed door.
    """
    target = Path(folder)
    place = target / ".unfinished"
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        with _disk(target):
            shutil.rmtree(place, ignore_errors=True)  # what a killed run left
            place.mkdir(parents=True)
        yield place
        with _disk(target):
            for path in sorted(place.iterdir()):
                path.replace(target / path.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for path in made:  # those that are empty; after a good end none is
            with suppress(OSError):
                path.rmdir()


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(expected(str(target), "a folder that can be written", error.strerror or error)) from error


def one_of(option: str, name: str, known: Collection[str]) -> None:
    """Raise InputError, with the nearest right spelling, unless ``name`` is among ``known``."""
    if name not in known:
        raise InputError(expected(option, " or ".join(known), name) + nearest(name, known))


def load_images(name: str, split: data.Split, limit: int | None) -> Images:
    """One split of a data set, or its first ``limit`` images."""
    return data.load(name, split)[:limit]


def chosen_attacks(args: Namespace, side: int) -> tuple[list[Attack], float]:
    """The attacks that ``--attack`` and ``--trials`` ask for, on images of this side, and ``--eps`` as a number."""
    eps = parse_eps(args.eps)
    attacks = []
    for name in dict.fromkeys(args.attack or DEFAULT_ATTACKS):
        attack = build(name, side)
        if args.trials is not None and attack.average and attack.trials > 1:
            attack = build(name, side, trials=args.trials)
        attacks.append(attack)
    return attacks, eps


def check_fit(name: str, model: nn.Module, images: Images) -> None:
    """Raise InputError that names the network unless it takes the images and tells as many classes apart."""
    with naming(name), torch.no_grad():
        classify(private(model, None), to_float(images.images[:1]), images)
