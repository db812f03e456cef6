"""``windfirm train``: a baseline F, with its initial weights beside it; several for several seeds."""

import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from windfirm import console
from windfirm.adjust.distributed import agree_on, joined, rank
from windfirm.adjust.recipe import Epoch, Extras, Progress, Recipe
from windfirm.adjust.resume import weights_digest
from windfirm.adjust.schedule import SCHEDULES
from windfirm.adjust.together import train_together
from windfirm.adjust.train import train
from windfirm.attack.registry import SIDE
from windfirm.commands.folder import RECORD, keep, results
from windfirm.commands.shared import (
    check_fit,
    chosen_defence,
    one_of,
    print_json,
    printer,
    say_left_out,
    training_images,
)
from windfirm.commands.training_record import Job, defence, finished, record, words
from windfirm.commands.training_runs import Run, factory, runs, shape
from windfirm.errors import InputError, expected
from windfirm.files import write_text
from windfirm.models.device import pick
from windfirm.models.source import INITIAL, MODEL

#: The state of a run that goes on.
PROGRESS = "progress.safetensors"


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
    size = shape(args)
    chosen_defence(args, SIDE)
    images = training_images(args, size)
    job = Job(args, images, recipe, extras, chosen_defence(args, images.side))
    with joined(device) as device:
        if rank() == 0:
            say_left_out(images)
        every = runs(args, len(images.classes))
        check_fit(args.arch, every[0].source.model, images)
        records = {one.seed: told for one in every if (told := finished(job, one))}
        agree_on(sum(len(told["epochs"]) for told in records.values()))
        to_do = [one for one in every if one.seed not in records]
        with ExitStack() as stack:
            places = [stack.enter_context(results(one.folder)) for one in to_do if rank() == 0]
            histories = _train(job, to_do, device) if to_do else []
            if rank():
                return
            for one, done, place in zip(to_do, histories, places, strict=True):
                told = records[one.seed] = record(job, one, done, device)
                made = {"factory": factory(args)}
                keep(one.initial, place / INITIAL, one.source, images.shape, **made)
                notes = made | {"command": told["command"], "defence": defence(job)}
                keep(one.network, place / MODEL, one.source, images.shape, **notes)
                write_text(place / RECORD, json.dumps(told, indent=1) + "\n")
    for one in every:
        (one.folder / PROGRESS).unlink(missing_ok=True)
        if one not in to_do:
            console.say(f"{one.folder}: finished already")
    if args.json:
        print_json({"runs": [records[one.seed] for one in every]} if args.seeds else records[args.seed])
        return
    for one in every:
        printer().print(words(job, one, records[one.seed]))


def _train(job: Job, every: list[Run], device: torch.device) -> list[list[Epoch]]:
    """Train the networks in place, each up to where its last epoch is, and return the epochs of each."""
    pixels, labels = job.images.images, job.images.labels
    models = [one.source.model for one in every]
    paths, starts = [one.folder / PROGRESS for one in every], [weights_digest(model) for model in models]
    with _bar(job) as progress:
        options: dict[str, Any] = {
            "device": device,
            "objective": job.objective,
            "progress": progress,
            "extras": job.extras,
        }
        if not job.args.seeds:
            options |= {"seed": every[0].seed, "checkpoint": paths[0], "start": starts[0]}
            return [train(models[0], pixels, labels, job.recipe, **options)]
        options |= {"seeds": [one.seed for one in every], "checkpoints": paths, "starts": starts}
        return train_together(models, pixels, labels, job.recipe, **options)


@contextmanager
def _bar(job: Job) -> Iterator[Progress | None]:
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
