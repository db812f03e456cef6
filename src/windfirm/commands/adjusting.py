"""What ``--adjust`` asks for: checked before anything is read, run on F′ and on the control alike, and written down."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from windfirm import console, seeds
from windfirm.adjust.adjustments import ADJUSTMENTS, adjust, describe, due
from windfirm.attack.registry import SIDE
from windfirm.commands.shared import chosen_defence, one_of
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.models.registry import ARCHITECTURES
from windfirm.models.source import INITIAL, Source, open_model, shipped

#: Where the training of an arm after a round has got to.
STATE = "progress-{}-{}.safetensors"

#: Options that mean nothing without an adjustment, and what they want it for.
TRAINING = {
    "control": "an --adjust to repeat on the unpruned network",
    "defence": "an --adjust that trains with it",
    "epochs": "an --adjust that trains",
    "eps": "an --adjust, and a --defence that it is for",
    "initial": "an --adjust that starts from it",
    "lr": "an --adjust that trains",
    "stylizer": "an --adjust, and a --defence that it is for",
}


def check(args: Namespace) -> None:
    """Raise InputError for options of training that cannot be used together, or weights that are not to be found."""
    if not args.adjust:
        for name, wanted in TRAINING.items():
            if getattr(args, name):
                raise InputError(expected(f"--{name}", wanted, "none"))
        return
    one_of("--adjust", args.adjust, ADJUSTMENTS)
    describe(args.adjust, epochs=args.epochs, lr=args.lr, objective=chosen_defence(args, SIDE))
    if "initial" in ADJUSTMENTS[args.adjust].needs:
        initial_file(args)
    elif args.initial:
        raise InputError(expected("--initial", "an --adjust that starts from it, w-ticket", args.adjust))


def initial_file(args: Namespace) -> Path:
    """The file of ``--initial``, else the one beside MODEL or its weights, else the one in the package.

    Raises InputError when there is none.
    """
    if args.initial:
        return Path(args.initial)
    if args.model in ARCHITECTURES and not args.weights:
        found = shipped(args.model, initial=True)
    else:
        place = Path(args.weights or args.model)
        found = (place if place.is_dir() else place.parent) / INITIAL if place.exists() else None
    if found is None or not found.is_file():
        wanted = f"the weights of {args.model} before training, which windfirm train keeps in {INITIAL}"
        raise InputError(expected("--initial", wanted, "none, and none beside it"))
    return found


@dataclass(frozen=True)
class Adjusting:
    """``--adjust`` with all that it needs. ``ran``: how many epochs each run of each arm took, by the arm's name.

    ``folder``: where the state of each training is kept, None for nowhere; the cuts between them are made anew by a
    command that is given again, and are the same.
    """

    args: Namespace
    source: Source
    images: Images
    device: torch.device
    normalised: Callable[[nn.Module], nn.Module]
    initial: nn.Module | None
    folder: Path | None
    ran: dict[str, list[int]] = field(default_factory=dict)

    def arm(self, name: str, label: str) -> Callable[[nn.Module, int], None]:
        """``run(network, round)``: what is done after each round to the network or to its control, in place."""
        args, ran = self.args, self.ran.setdefault(name, [])

        def run(model: nn.Module, number: int) -> None:
            if not due(args.adjust, number, args.rounds):
                return
            state = self.folder / STATE.format(name, number) if self.folder else None
            with console.bar(f"{label}, round {number} of {args.rounds}") as tick:
                epochs = adjust(
                    args.adjust,
                    self.normalised(model),
                    self.images,
                    original=self.source.model,
                    initial=self.initial,
                    epochs=args.epochs,
                    lr=args.lr,
                    seed=seeds.number(args.seed, "round", number),
                    device=self.device,
                    objective=chosen_defence(args, self.images.side),
                    checkpoint=state,
                    progress=lambda seen, total, speed, loss: tick(seen, total, f"{speed:.0f} img/s"),
                )
            ran.append(len(epochs))

        return run

    def record(self) -> dict[str, object]:
        """As plain values what was done, and the epochs that each run took."""
        args = self.args
        objective = chosen_defence(args, self.images.side)
        told = describe(args.adjust, epochs=args.epochs, lr=args.lr, objective=objective)
        initial = initial_file(args).name if self.initial is not None else None
        return told | {"initial": initial, "epochs": dict(self.ran)}

    def words(self) -> str:
        """What was done to F′, in a line."""
        runs = self.ran["pruned"]
        epochs = "1 epoch" if sum(runs) == 1 else f"{' + '.join(map(str, runs))} epochs"
        return f"adjusted by {self.args.adjust}: {epochs if any(runs) else 'no training'}"


def settle(folder: Path) -> None:
    """Remove the states of trainings from ``folder``, as all is done."""
    for state in folder.glob(STATE.format("*", "*")):
        state.unlink(missing_ok=True)


def adjusting(
    args: Namespace,
    source: Source,
    maker: str | None,
    images: Images,
    device: torch.device,
    normalised: Callable[[nn.Module], nn.Module],
    folder: Path | None,
) -> Adjusting:
    """``--adjust`` made ready; ``maker`` is the user's function that makes the network, None for one with a name.

    ``folder`` is for the states of trainings, None for none. Raises InputError and CheckpointError for initial weights
    that cannot be loaded.
    """
    initial = None
    if "initial" in ADJUSTMENTS[args.adjust].needs:
        path = str(initial_file(args))
        initial = open_model(path, factory=maker, arch=source.arch, classes=source.classes).model
    return Adjusting(args, source, images, device, normalised, initial, folder)
