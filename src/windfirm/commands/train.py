"""``windfirm train``: a baseline F, with its initial weights beside it; several for several seeds."""

import copy
import json
import shlex
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from windfirm import console, seeds
from windfirm.adjust.distributed import agree_on, joined, processes, rank
from windfirm.adjust.objective import Objective
from windfirm.adjust.probe import EPS
from windfirm.adjust.recipe import NO_EXTRAS, Epoch, Extras, Progress, Recipe, kept_epoch
from windfirm.adjust.resume import as_json, weights_digest
from windfirm.adjust.schedule import SCHEDULES
from windfirm.adjust.together import train_together
from windfirm.adjust.train import train
from windfirm.attack.registry import SIDE
from windfirm.commands.shared import (
    check_apart,
    check_fit,
    chosen_defence,
    one_of,
    print_json,
    printer,
    resize_words,
    results,
    say_left_out,
    size_words,
    training_images,
)
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.files import write_text
from windfirm.models.checkpoint import load, read_manifest, save
from windfirm.models.device import pick
from windfirm.models.intake import Intake
from windfirm.models.registry import build
from windfirm.models.source import INITIAL, MODEL, WEIGHTS
from windfirm.report.words import several
from windfirm.study.provenance import digest, hardware, versions

#: The state of a run that goes on, and what is told of one that is finished.
PROGRESS, RECORD = "progress.safetensors", "record.json"

#: What a record tells of how the training went; the rest says which training it was.
OUTCOME = ("hardware", "versions", "seconds", "epochs")


def run(args: Namespace) -> None:
    """Train and write ``initial``, ``model`` and ``record.json``. Only training images are opened.

    An interrupted run leaves ``progress.safetensors``, whole epochs, from which the same command goes on. One that is
    finished is told again; another one that is finished is not written over. Of several processes that torchrun
    started, the first alone writes and prints.
    """
    device = pick(args.device)
    one_of("--schedule", args.schedule, SCHEDULES)
    recipe = Recipe(args.epochs, args.lr, args.batch, args.schedule, weight_decay=args.weight_decay)
    extras = Extras(args.probe, args.keep, args.ema, args.compile)
    if args.seeds and args.seed:
        raise InputError(expected("--seed", "either it or --seeds", "both"))
    build(args.arch)  # so that a wrong name is told before images are read
    chosen_defence(args, SIDE)
    images = training_images(args)
    job = _Job(args, images, recipe, extras, chosen_defence(args, images.side))
    with joined(device) as device:
        if rank() == 0:
            say_left_out(images)
        runs = _runs(job)
        check_fit(args.arch, runs[0].model, images)
        records = {one.seed: record for one in runs if (record := _finished(job, one))}
        agree_on(sum(len(record["epochs"]) for record in records.values()))
        to_do = [one for one in runs if one.seed not in records]
        with ExitStack() as stack:
            places = [stack.enter_context(results(one.folder)) for one in to_do if rank() == 0]
            histories = _train(job, to_do, device) if to_do else []
            if rank():
                return
            for one, done, place in zip(to_do, histories, places, strict=True):
                records[one.seed] = _record(job, one, done, device)
                _write(job, one, records[one.seed], place)
    for one in runs:
        (one.folder / PROGRESS).unlink(missing_ok=True)
        if one not in to_do:
            console.say(f"{one.folder}: finished already")
    if args.json:
        print_json({"runs": [records[one.seed] for one in runs]} if args.seeds else records[args.seed])
        return
    for one in runs:
        printer().print(_words(job, one, records[one.seed]))


@dataclass(frozen=True)
class _Job:
    """What all networks of the command have in common."""

    args: Namespace
    images: Images
    recipe: Recipe
    extras: Extras
    objective: Objective


@dataclass(frozen=True)
class _Run:
    """One network of the command: its seed and folder, the network as before training, the one that is trained, and
    the record of an earlier training, None without.
    """

    seed: int
    folder: Path
    initial: nn.Module
    model: nn.Module
    before: Any


def _runs(job: _Job) -> list[_Run]:
    args, classes = job.args, len(job.images.classes)
    out = Path(args.out or f"runs/{args.arch}{f'-{args.defence}' if args.defence else ''}")
    folders = {seed: out / f"seed-{seed}" for seed in args.seeds} if args.seeds else {args.seed: out}
    if args.start and args.start != args.arch:
        for folder in folders.values():
            check_apart("--out", folder / MODEL, args.start)
    return [
        _Run(seed, folder, *(_continued(args) if args.start else _fresh(args.arch, seed, classes)))
        for seed, folder in folders.items()
    ]


def _fresh(arch: str, seed: int, classes: int) -> tuple[nn.Module, nn.Module, None]:
    """A network as before training, twice; the seed decides its weights."""
    with seeds.default_stream(seed, "init"):
        model = build(arch, classes)
    return copy.deepcopy(model), model, None


def _continued(args: Namespace) -> tuple[nn.Module, nn.Module, Any]:
    """Initial weights, trained weights and the record of an earlier training, a folder or the one in the package."""
    folder = Path(args.start)
    if args.start == args.arch:
        paths = [WEIGHTS / f"{args.arch}{end}" for end in ("-initial.safetensors", ".safetensors", ".json")]
    else:
        paths = [folder / name for name in (INITIAL, MODEL, RECORD)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        wanted = f"a folder that `windfirm train` wrote, or {args.arch} for the weights in the package"
        raise InputError(expected(f"--from {args.start}", wanted, f"no {missing[0]} there"))
    initial, trained, record = paths
    if (arch := read_manifest(trained).arch) != args.arch:
        raise InputError(expected(f"--from {args.start}", f"a {args.arch}", arch))
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(expected(f"--from {args.start}", f"a whole {record.name}", error)) from error
    return load(initial), load(trained), told


def _train(job: _Job, runs: list[_Run], device: torch.device) -> list[list[Epoch]]:
    """Train the networks in place, each up to where its last epoch is, and return the epochs of each."""
    pixels, labels = job.images.images, job.images.labels
    paths = [one.folder / PROGRESS for one in runs]
    with _bar(job) as progress:
        options: dict[str, Any] = {
            "device": device,
            "objective": job.objective,
            "progress": progress,
            "extras": job.extras,
        }
        if not job.args.seeds:
            (one,) = runs
            options |= {"seed": one.seed, "checkpoint": paths[0], "start": weights_digest(one.model)}
            return [train(one.model, pixels, labels, job.recipe, **options)]
        models, starts = [one.model for one in runs], [weights_digest(one.model) for one in runs]
        options |= {"seeds": [one.seed for one in runs], "checkpoints": paths, "starts": starts}
        return train_together(models, pixels, labels, job.recipe, **options)


@contextmanager
def _bar(job: _Job) -> Iterator[Progress | None]:
    """What tells of the progress; of several processes, the first alone has it."""
    if rank():
        yield None
        return
    epochs = job.recipe.epochs
    with console.bar(f"train {job.args.arch}") as tick:

        def progress(seen: int, total: int, speed: float, loss: float) -> None:
            note = f"epoch {min(seen * epochs // total + 1, epochs)}/{epochs}, {speed:.0f} img/s"
            tick(seen, total, note + (f", loss {loss:.3f}" if loss == loss else ""))

        yield progress


def _record(job: _Job, one: _Run, done: list[Epoch], device: torch.device) -> dict[str, Any]:
    """All that is needed to repeat the training, and what every epoch was."""
    return _which(job, one) | {
        "hardware": hardware(device),
        "versions": versions(),
        "seconds": round(sum(entry.seconds for entry in done)),
        "epochs": [_without_none(asdict(entry)) for entry in done],
    }


def _which(job: _Job, one: _Run) -> dict[str, Any]:
    """Which training it is, as its record tells."""
    extras = asdict(job.extras) | ({"eps": EPS} if job.extras.probe else {})
    settings = {
        "command": command(job.args, one.seed),
        "seed": one.seed,
        "recipe": asdict(job.recipe),
        "extras": extras if job.extras != NO_EXTRAS else None,
        "processes": processes() if processes() > 1 else None,
        "data": {"name": job.images.name, "images": len(job.images), "sha256": digest(job.images)},
        "defence": _defence(job),
        "before": one.before,
    }
    return _without_none(settings)


def _finished(job: _Job, one: _Run) -> dict[str, Any] | None:
    """The record of this training where it is finished, None where nothing is. Raises InputError for another's."""
    path = one.folder / RECORD
    if not (path.is_file() and (one.folder / MODEL).is_file()):
        return None
    try:
        record: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):  # damaged: whose it was nobody knows
        record = {}
    told = {name: value for name, value in record.items() if name not in OUTCOME}
    if told != as_json(str(path), _which(job, one)):
        got = "another that is finished; take another --out, or remove the folder"
        raise InputError(expected(str(one.folder), "this training or none", got))
    return record


def _defence(job: _Job) -> dict[str, Any] | None:
    return {"name": job.objective.name, **job.objective.options} if job.args.defence else None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _write(job: _Job, one: _Run, record: dict[str, Any], place: Path) -> None:
    arch, classes = job.args.arch, len(job.images.classes)
    channels, height, width = job.images.images.shape[1:]
    fed = {"intake": Intake((channels, height, width)).to_json()}
    notes = _without_none({"command": record["command"], "defence": _defence(job)}) | fed
    save(one.initial, place / INITIAL, arch=arch, classes=classes, notes=fed)
    save(one.model.cpu(), place / MODEL, arch=arch, classes=classes, notes=notes)
    write_text(place / RECORD, json.dumps(record, indent=1) + "\n")


def _words(job: _Job, one: _Run, record: dict[str, Any]) -> str:
    """What was done, in a few lines."""
    done = [Epoch(**entry) for entry in record["epochs"]]
    model, last, epochs = one.folder / MODEL, done[-1], several(job.recipe.epochs, "epoch")
    lines = [
        f"{model}: {job.args.arch}, {epochs} in {record['seconds']} s, loss {last.loss:.3f}, "
        f"{last.accuracy:.2%} of the (augmented) training images right"
    ]
    if job.extras.probe:
        kept = kept_epoch(done, job.extras.keep)
        lines.append(
            f"epoch {kept.epoch} is kept: of {job.extras.probe} held-out images {kept.clean} right, "
            f"{kept.fgsm} under FGSM at 8/255"
        )
    how = resize_words(job.args)
    test = shlex.join(["windfirm", "attack", str(model), "--data", job.args.data, *how, "--attack", "clean"])
    return "\n".join([*lines, f"test it:  {test}"])


def command(args: Namespace, seed: int) -> str:
    """The command line that repeats the training of this seed."""

    def given(*names: str) -> str:
        return "".join(f" --{name} {getattr(args, name)}" for name in names if getattr(args, name))

    name = Path(args.start).name if args.start else ""
    # A folder named as the architecture is not the weights in the package, which go by that name.
    start = f" --from {shlex.quote(('./' if name == args.arch != args.start else '') + name)}" if name else ""
    recipe = f"--epochs {args.epochs} --lr {args.lr:g} --batch {args.batch} --schedule {args.schedule}"
    stylizer = f" --stylizer {shlex.quote(Path(args.stylizer).name)}" if args.stylizer else ""
    keep = f" --keep {args.keep}" if args.keep != "last" else ""
    more = f"{given('defence', 'eps')}{stylizer}{given('probe', 'ema', 'compile')}{keep}"
    return (
        f"windfirm train {args.arch}{start} --data {shlex.quote(Path(args.data).name)}{size_words(args)} {recipe} "
        f"--weight-decay {args.weight_decay:g}{more} --seed {seed}"
    )
