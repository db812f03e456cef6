"""``windfirm train``: a baseline F, with its initial weights beside it."""

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from windfirm import console, data, seeds
from windfirm.adjust.train import Epoch, Recipe, train
from windfirm.commands.shared import folder, print_json, printer
from windfirm.files import write_text
from windfirm.models.checkpoint import save
from windfirm.models.device import pick
from windfirm.models.registry import build
from windfirm.study.provenance import digest, hardware, versions


def run(args: Namespace) -> None:
    """Train and write ``initial``, ``model`` and ``record.json``. Only training images are opened."""
    device = pick(args.device)
    recipe = Recipe(args.epochs, args.lr, args.batch, args.schedule, weight_decay=args.weight_decay)
    with seeds.default_stream(args.seed, "init"):
        build(args.arch)
    images = data.load(args.data, "train")
    with seeds.default_stream(args.seed, "init"):
        model = build(args.arch, len(images.classes))
    out = folder(args.out or f"runs/{args.arch}")
    classes = len(images.classes)
    save(model, out / "initial.safetensors", arch=args.arch, classes=classes)
    done: list[Epoch] = []
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
            checkpoint=out / "progress.safetensors",
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
    save(model.cpu(), out / "model.safetensors", arch=args.arch, classes=classes, notes={"command": record["command"]})
    write_text(out / "record.json", json.dumps(record, indent=1) + "\n")
    (out / "progress.safetensors").unlink(missing_ok=True)
    last = done[-1]
    if args.json:
        print_json(record)
        return
    printer().print(
        f"{out / 'model.safetensors'}: {args.arch}, {recipe.epochs} epochs in {record['seconds']} s, "
        f"loss {last.loss:.3f}, {last.accuracy:.2%} of the (augmented) training images right\n"
        f"test it:  windfirm attack {out / 'model.safetensors'} --data {args.data} --attack clean"
    )


def command(args: Namespace) -> str:
    """The command line that repeats this training."""
    return (
        f"windfirm train {args.arch} --data {Path(args.data).name} --epochs {args.epochs} --lr {args.lr:g} "
        f"--batch {args.batch} --schedule {args.schedule} --weight-decay {args.weight_decay:g} --seed {args.seed}"
    )
