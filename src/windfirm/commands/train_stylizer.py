"""``windfirm train-stylizer``: the network that redraws images in the style of others, for two of the defences."""

import json
import shlex
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import torch

from windfirm import console, seeds
from windfirm.commands.folder import results
from windfirm.commands.shared import (
    called,
    print_json,
    printer,
    say_left_out,
    size_words,
    training_images,
)
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.data.sheet import write_sheet
from windfirm.defend.learn_style import learn
from windfirm.defend.stylizer import Stylizer, require_rgb, save_stylizer
from windfirm.defend.vgg import with_vgg
from windfirm.files import write_text
from windfirm.models.device import pick
from windfirm.study.provenance import digest, hardware, versions

#: How many images, in how many styles, the sheet shows.
ROWS, COLUMNS = 6, 9


def run(args: Namespace) -> None:
    """Write ``stylizer.safetensors``, ``record.json`` and ``sheet.png``. Only training images are opened."""
    device = pick(args.device)
    images = training_images(args, args.input, args.images)
    say_left_out(images)
    require_rgb(images.images.shape[1])
    side = images.side
    if args.vgg:
        stylizer = with_vgg(args.vgg, side)
    else:
        with seeds.default_stream(args.seed, "init"):
            stylizer = Stylizer()
    out = Path(args.out)
    with results(out) as place:
        with console.bar("train stylizer") as tick:
            history = learn(
                stylizer,
                images,
                epochs=args.epochs,
                seed=args.seed,
                device=device,
                progress=lambda seen, total, speed, loss: tick(seen, total, f"{speed:.0f} img/s"),
            )
        stylizer.cpu()
        record = {
            "command": command(args),
            "seed": args.seed,
            "data": {"name": images.name, "images": len(images), "sha256": digest(images)},
            "hardware": hardware(device),
            "versions": versions(),
            "seconds": round(sum(entry.seconds for entry in history)),
            "epochs": [asdict(entry) for entry in history],
        }
        save_stylizer(stylizer, place / "stylizer.safetensors", record)
        write_text(place / "record.json", json.dumps(record, indent=1) + "\n")
        draw_sheet(stylizer, images, place / "sheet.png")
    if args.json:
        print_json(record)
        return
    printer().print(
        f"{out / 'stylizer.safetensors'}: {record['seconds']} s; look at {out / 'sheet.png'}\n"
        f"use it:  windfirm train resnet56 --defence stylized --stylizer {out / 'stylizer.safetensors'}"
    )


def draw_sheet(stylizer: Stylizer, images: Images, path: Path) -> None:
    """A picture: images down the left, styles along the top, and each image in each style."""
    chosen = to_float(images.images[torch.arange(ROWS + COLUMNS) % len(images)])  # few images stand there again
    content, styles = chosen[:ROWS], chosen[ROWS:]
    with torch.no_grad():
        drawn = [stylizer(content[i : i + 1].expand_as(styles), styles) for i in range(len(content))]
    corner = torch.ones_like(content[0])
    rows = [[corner, *styles], *([image, *row] for image, row in zip(content, drawn, strict=True))]
    write_sheet(path, rows)


def command(args: Namespace) -> str:
    """The command line that repeats this training."""
    limit = f" --images {args.images}" if args.images else ""
    vgg = f" --vgg {shlex.quote(called(args.vgg))}" if args.vgg else ""
    name = shlex.quote(called(args.data))
    return (
        f"windfirm train-stylizer --data {name}{size_words(args)}{limit}{vgg} --epochs {args.epochs} --seed {args.seed}"
    )
