"""``windfirm export``: a network as one file for deployment, checked against the network, and what it costs."""

from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor

from windfirm import seeds
from windfirm.commands.shared import input_shape, load_images, one_of, open_network, print_json, printer, results
from windfirm.data.augment import to_float
from windfirm.models.cost import cost
from windfirm.models.device import pick
from windfirm.models.export import FORMATS, export
from windfirm.models.latency import latency
from windfirm.models.source import Source

#: On how many images a file is checked, and the larger of the two batches that are timed.
IMAGES = 64

EMBEDDED = (3, 32, 32)


def run(args: Namespace) -> None:
    """Open the network, choose images, write the file, print."""
    one_of("--format", args.format, FORMATS)
    device = pick(args.device)
    source = open_network(args, args.model)
    images, where = _images(args, source)
    total = cost(source.model, images)
    out = Path(args.out)
    with results(out.parent) as place:
        done = export(source.model, place / out.name, images, args.format)
    source.model.to(device)
    many = images.repeat(-(-IMAGES // len(images)), 1, 1, 1)[:IMAGES]
    times = {str(len(batch)): latency(source.model, batch).median for batch in (images[:1], many)}
    if args.json:
        checked = {"images": done.images, "data": where, "difference": done.difference}
        file = {"model": source.name, "file": args.out, "format": args.format, "bytes": done.size}
        print_json(file | {"checked": checked} | vars(total) | {"device": device.type, "seconds_per_image": times})
        return
    one, batched = (1000 * seconds for seconds in times.values())
    printer().print(
        f"{args.out}: {args.format}, {done.size / 1e6:,.2f} MB, batch of any size; logits within {done.difference:.1e} "
        f"of the network's on {done.images} images ({where})\n"
        f"{source.name}: {total.macs / 1e6:,.2f} M MACs, {total.params:,} parameters in {total.param_bytes / 1e6:,.2f} "
        f"MB, activations of one image in {total.peak_bytes / 1e6:,.2f} MB\n"
        f"an image takes {one:.2f} ms alone, {batched:.2f} ms in a batch of {IMAGES} ({device.type})"
    )


def _images(args: Namespace, source: Source) -> tuple[Tensor, str]:
    """Images to check the file on, and what they are: real ones where there are any of that size."""
    shape = input_shape([source]) or EMBEDDED
    if args.data is None and shape == EMBEDDED:
        args.data = "embedded"
    if args.data is None:
        generator = seeds.stream(args.seed, "export")
        return torch.rand(args.images or IMAGES, *shape, generator=generator), "random ones, for lack of --data"
    images = load_images(args, "test", [source], limit=args.images or IMAGES)
    return to_float(images.images), images.name
