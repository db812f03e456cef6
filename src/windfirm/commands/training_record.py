"""The record of a training: which it was, what came of it, and that in a few lines."""

import shlex
from argparse import Namespace
from dataclasses import asdict, dataclass
from typing import Any

import torch

from windfirm.adjust.distributed import processes
from windfirm.adjust.objective import Objective
from windfirm.adjust.probe import EPS
from windfirm.adjust.recipe import NO_EXTRAS, Epoch, Extras, Recipe, kept_epoch
from windfirm.adjust.resume import as_json
from windfirm.commands.folder import RECORD, recorded
from windfirm.commands.shared import called, resize_words, size_words
from windfirm.commands.training_runs import Run, factory
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.models.source import MODEL
from windfirm.report.words import several
from windfirm.study.provenance import digest, hardware, versions

#: What a record tells of how the training went; the rest says which training it was.
OUTCOME = ("hardware", "versions", "seconds", "epochs")


@dataclass(frozen=True)
class Job:
    """What all networks of the command have in common."""

    args: Namespace
    images: Images
    recipe: Recipe
    extras: Extras
    objective: Objective


def record(job: Job, one: Run, done: list[Epoch], device: torch.device) -> dict[str, Any]:
    """All that is needed to repeat the training, and what every epoch was."""
    return _which(job, one) | {
        "hardware": hardware(device),
        "versions": versions(),
        "seconds": round(sum(entry.seconds for entry in done)),
        "epochs": [_without_none(asdict(entry)) for entry in done],
    }


def _which(job: Job, one: Run) -> dict[str, Any]:
    """Which training it is, as its record tells."""
    extras = asdict(job.extras) | ({"eps": EPS} if job.extras.probe else {})
    settings = {
        "command": command(job.args, one.seed),
        "seed": one.seed,
        "recipe": asdict(job.recipe),
        "extras": extras if job.extras != NO_EXTRAS else None,
        "processes": processes() if processes() > 1 else None,
        "data": {"name": job.images.name, "images": len(job.images), "sha256": digest(job.images)},
        "defence": defence(job),
        "before": one.before,
    }
    return _without_none(settings)


def finished(job: Job, one: Run) -> dict[str, Any] | None:
    """The record of this training where it is finished, None where nothing is. Raises InputError for another's."""
    path = one.folder / RECORD
    if not (path.is_file() and (one.folder / MODEL).is_file()):
        return None
    record = recorded(one.folder)  # damaged: whose it was nobody knows
    told = {name: value for name, value in record.items() if name not in OUTCOME}
    if told != as_json(str(path), _which(job, one)):
        got = "another that is finished; take another --out, or remove the folder"
        raise InputError(expected(str(one.folder), "this training or none", got))
    return record


def defence(job: Job) -> dict[str, Any] | None:
    """The defence as plain values; None without one."""
    return {"name": job.objective.name, **job.objective.options} if job.args.defence else None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` without those that say nothing."""
    return {name: value for name, value in values.items() if value is not None}


def words(job: Job, one: Run, record: dict[str, Any]) -> str:
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
    maker = factory(job.args)
    how = [*(["--factory", maker] if maker else []), "--data", job.args.data, *resize_words(job.args)]
    test = shlex.join(["windfirm", "attack", str(model), *how, "--attack", "clean"])
    return "\n".join([*lines, f"test it:  {test}"])


def command(args: Namespace, seed: int) -> str:
    """The command line that repeats the training of this seed."""

    def given(*names: str) -> str:
        return "".join(f" --{name} {getattr(args, name)}" for name in names if getattr(args, name))

    name = called(args.start) if args.start else ""
    # A folder named as the architecture is not the weights in the package, which go by that name.
    start = f" --from {shlex.quote(('./' if name == args.arch != args.start else '') + name)}" if name else ""
    recipe = f"--epochs {args.epochs} --lr {args.lr:g} --batch {args.batch} --schedule {args.schedule}"
    stylizer = f" --stylizer {shlex.quote(called(args.stylizer))}" if args.stylizer else ""
    keep = f" --keep {args.keep}" if args.keep != "last" else ""
    means = {"mean": args.mean, "std": args.std}
    fed = "".join(f" --{name} {','.join(map(str, value))}" for name, value in means.items() if value)
    more = f"{given('defence', 'eps')}{stylizer}{given('probe', 'ema', 'compile')}{keep}"
    return (
        f"windfirm train {args.arch}{start} --data {shlex.quote(called(args.data))}{size_words(args)}{fed} {recipe} "
        f"--weight-decay {args.weight_decay:g}{more} --seed {seed}"
    )
