"""What ``windfirm train`` trains: a network for each seed, fresh or from an earlier run, with its folder."""

import json
import re
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from windfirm.commands.folder import RECORD, check_apart
from windfirm.commands.shared import asked
from windfirm.errors import InputError, expected
from windfirm.models.checkpoint import read_manifest
from windfirm.models.copies import copied
from windfirm.models.factory import is_name
from windfirm.models.normalize import taken_apart
from windfirm.models.registry import ARCHITECTURES
from windfirm.models.source import INITIAL, MODEL, WEIGHTS, Source, fresh, open_model, shipped


@dataclass(frozen=True)
class Run:
    """One network of the command: its seed and folder, the one that is trained, with its normalisation before it, the
    one as before training, without, and the record of an earlier training, None without.
    """

    seed: int
    folder: Path
    source: Source
    initial: nn.Module
    before: Any

    @property
    def network(self) -> nn.Module:
        """The network that is trained, as its own function makes it."""
        return taken_apart(self.source.model)[0]


def runs(args: Namespace, classes: int) -> list[Run]:
    """The networks that the command is to train, for images of so many classes.

    Raises InputError for an ``--out`` in which one would be written over that they begin with, and for a function that
    gives the same network twice.
    """
    name = re.sub("[/:]", "-", args.arch)
    out = Path(args.out or f"runs/{name}{f'-{args.defence}' if args.defence else ''}")
    folders = {seed: out / f"seed-{seed}" for seed in args.seeds} if args.seeds else {args.seed: out}
    if args.start and args.start != args.arch:
        for folder in folders.values():
            check_apart("--out", folder / MODEL, args.start)
    made = [
        Run(seed, folder, *(_continued(args) if args.start else _fresh(args, seed, classes)))
        for seed, folder in folders.items()
    ]
    if len({id(one.network) for one in made}) < len(made):
        raise InputError(expected(args.arch, "a new network each time that it is called", "the same again"))
    return made


def shape(args: Namespace) -> tuple[int, int, int] | None:
    """The size that the images of a folder are brought to, None for the one that they have.

    That is what the network is made for, or was trained on; those inside the package take any. A wrong name is told.
    """
    if args.start and args.start != args.arch and (file := Path(args.start) / MODEL).is_file():
        return open_model(str(file), factory=factory(args), asked=asked(args)).intake.shape
    first = fresh(args.arch, asked=asked(args))
    return args.input if args.arch in ARCHITECTURES else first.intake.shape


def factory(args: Namespace) -> str | None:
    """The function of the user's own that makes the network; None for a network with a name."""
    return None if is_name(args.arch) else args.arch


def _fresh(args: Namespace, seed: int, classes: int) -> tuple[Source, nn.Module, None]:
    """A network as before training, twice; the seed decides its weights."""
    source = fresh(args.arch, classes=classes, seed=seed, asked=asked(args))
    return source, copied(taken_apart(source.model)[0]), None


def _continued(args: Namespace) -> tuple[Source, nn.Module, Any]:
    """Trained weights, initial weights and the record of an earlier training, a folder or the one in the package."""
    folder = Path(args.start)
    if args.start == args.arch:
        paths = [WEIGHTS / f"{args.arch}{end}" for end in ("-initial.safetensors", ".safetensors", ".json")]
    else:
        paths = [folder / name for name in (INITIAL, MODEL, RECORD)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        inside = f", or {args.arch} for the weights in the package" if shipped(args.arch) else ""
        got = "a file" if folder.is_file() else f"no {missing[0]} there"
        raise InputError(expected(f"--from {args.start}", f"a folder that `windfirm train` wrote{inside}", got))
    initial, trained, record = paths
    manifest = read_manifest(trained)
    if (made := manifest.arch or manifest.notes.get("factory")) != args.arch:
        raise InputError(expected(f"--from {args.start}", f"a {args.arch}", made))
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(expected(f"--from {args.start}", f"a whole {record.name}", error)) from error
    source, before = (open_model(str(path), factory=factory(args), asked=asked(args)) for path in (trained, initial))
    return source, taken_apart(before.model)[0], told
