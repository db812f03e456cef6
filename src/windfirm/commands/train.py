"""``windfirm train``: a baseline F, with its initial weights beside it."""

import copy
import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from windfirm import console, data, seeds
from windfirm.adjust.schedule import SCHEDULES
from windfirm.adjust.train import Recipe, train
from windfirm.commands.shared import SIDE, check_fit, chosen_defence, one_of, print_json, printer, results
from windfirm.errors import InputError, expected
from windfirm.files import write_text
from windfirm.models.checkpoint import load, read_manifest, save
from windfirm.models.device import pick
from windfirm.models.registry import build
from windfirm.models.source import WEIGHTS
from windfirm.study.provenance import digest, hardware, versions


def run(args: Namespace) -> None:
    """Train and write ``initial``, ``model`` and ``record.json``. Only training images are opened.

    An interrupted run leaves ``progress.safetensors``, whole epochs, from which the same command goes on.
    """
    device = pick(args.device)
    one_of("--schedule", args.schedule, SCHEDULES)
    recipe = Recipe(args.epochs, args.lr, args.batch, args.schedule, weight_decay=args.weight_decay)
    build(args.arch)  # so that a wrong name is told before images are read
    chosen_defence(args, SIDE)
    images = data.load(args.data, "train")
    objective = chosen_defence(args, images.images.shape[-1])
    classes = len(images.classes)
    initial, model, before = _continued(args) if args.start else _fresh(args, classes)
    check_fit(args.arch, model, images)
    out = Path(args.out or f"runs/{args.arch}")
    progress_at = out / "progress.safetensors"
    with results(out) as place:
        with console.bar(f"train {args.arch}") as tick:

            def progress(seen: int, total: int, speed: float, loss: float) -> None:
                note = f"epoch {min(seen // len(images) + 1, recipe.epochs)}/{recipe.epochs}, {speed:.0f} img/s"
                tick(seen, total, note + (f", loss {loss:.3f}" if loss == loss else ""))

            done = train(
                model,
                images.images,
                images.labels,
                recipe,
                seed=args.seed,
                device=device,
                objective=objective,
                checkpoint=progress_at,
                progress=progress,
            )
        record = {
            "command": command(args),
            "seed": args.seed,
            "recipe": asdict(recipe),
            "data": {"name": images.name, "images": len(images), "sha256": digest(images)},
            "hardware": hardware(device),
            "versions": versions(),
            "seconds": round(sum(entry.seconds for entry in done)),
            "epochs": [asdict(entry) for entry in done],
        }
        defence = {"defence": {"name": objective.name, **objective.options}} if args.defence else {}
        record |= defence | ({"before": before} if before else {})
        notes = {"command": record["command"]} | defence
        save(initial, place / "initial.safetensors", arch=args.arch, classes=classes)
        save(model.cpu(), place / "model.safetensors", arch=args.arch, classes=classes, notes=notes)
        write_text(place / "record.json", json.dumps(record, indent=1) + "\n")
    progress_at.unlink(missing_ok=True)
    if args.json:
        print_json(record)
        return
    last = done[-1]
    printer().print(
        f"{out / 'model.safetensors'}: {args.arch}, {recipe.epochs} epochs in {record['seconds']} s, "
        f"loss {last.loss:.3f}, {last.accuracy:.2%} of the (augmented) training images right\n"
        f"test it:  windfirm attack {out / 'model.safetensors'} --data {args.data} --attack clean"
    )


def _fresh(args: Namespace, classes: int) -> tuple[nn.Module, nn.Module, None]:
    """A network as before training, twice; the seed decides its weights."""
    with seeds.default_stream(args.seed, "init"):
        model = build(args.arch, classes)
    return copy.deepcopy(model), model, None


def _continued(args: Namespace) -> tuple[nn.Module, nn.Module, Any]:
    """Initial weights, trained weights and the record of an earlier training, a folder or the one in the package."""
    folder = Path(args.start)
    if args.start == args.arch:
        paths = [WEIGHTS / f"{args.arch}{end}" for end in ("-initial.safetensors", ".safetensors", ".json")]
    else:
        paths = [folder / name for name in ("initial.safetensors", "model.safetensors", "record.json")]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        wanted = f"a folder that `windfirm train` wrote, or {args.arch} for the weights in the package"
        raise InputError(expected(f"--from {args.start}", wanted, f"no {missing[0]} there"))
    initial, trained, record = paths
    if (arch := read_manifest(trained).arch) != args.arch:
        raise InputError(expected(f"--from {args.start}", f"a {args.arch}", arch))
    return load(initial), load(trained), json.loads(record.read_text(encoding="utf-8"))


def command(args: Namespace) -> str:
    """The command line that repeats this training."""
    start = f" --from {Path(args.start).name}" if args.start else ""
    defence = f" --defence {args.defence}" if args.defence else ""
    eps = f" --eps {args.eps}" if args.eps else ""
    stylizer = f" --stylizer {Path(args.stylizer).name}" if args.stylizer else ""
    return (
        f"windfirm train {args.arch}{start} --data {Path(args.data).name} --epochs {args.epochs} --lr {args.lr:g} "
        f"--batch {args.batch} --schedule {args.schedule} --weight-decay {args.weight_decay:g}"
        f"{defence}{eps}{stylizer} --seed {args.seed}"
    )
