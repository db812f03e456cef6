"""``windfirm export``: a network as one file for deployment, checked against the network, and what it costs."""

from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.commands.folder import check_apart, results
from windfirm.commands.shared import (
    EMBEDDED,
    example_shape,
    load_images,
    one_of,
    open_network,
    print_json,
    printer,
    say_as_made,
    sized,
)
from windfirm.data.augment import to_float
from windfirm.errors import InputError, expected
from windfirm.models.blueprint import origin_of
from windfirm.models.cost import cost
from windfirm.models.device import pick, type_of
from windfirm.models.expand import expand
from windfirm.models.export import FORMATS, export
from windfirm.models.latency import latencies
from windfirm.models.mode import switched
from windfirm.models.normalize import taken_apart
from windfirm.models.source import Source

#: On how many images a file is checked, and the larger of the two batches that are timed.
IMAGES = 64


def run(args: Namespace) -> None:
    """Open the network, choose images, write the file, print."""
    one_of("--format", args.format, FORMATS)
    out = Path(args.out)
    if out.is_dir():
        raise InputError(expected("--out", "the name of a file to write", f"{args.out}, a folder"))
    for spec in filter(None, (args.model, args.weights)):
        check_apart("--out", out, spec)
    device = pick(args.device)
    source = open_network(args, args.model)
    images, where, said = _images(args, source)
    images = images.to(type_of(source.model))
    total = cost(source.model, images)
    with results(out.parent) as place:
        done = export(source.model, place / out.name, images, args.format)
    whole = _whole(source.model)
    networks = [network.to(device) for network in (source.model, whole) if network is not None]
    many = images.repeat(-(-IMAGES // len(images)), 1, 1, 1)[:IMAGES]
    # By turns with the network before its cuts, batch by batch: times that can be compared.
    timed = {str(len(batch)): latencies(networks, batch) for batch in (images[:1], many)}
    times = [{size: turns[i].median for size, turns in timed.items()} for i in range(len(networks))]
    say_as_made(args, [args.model])
    if args.json:
        checked = {"images": done.images, "data": where, "difference": done.difference}
        file = {"model": source.name, "file": args.out, "format": args.format, "bytes": done.size}
        before = vars(cost(whole, images)) | {"seconds_per_image": times[1]} if whole is not None else None
        found = vars(total) | {"device": device.type, "seconds_per_image": times[0], "before_the_cuts": before}
        print_json(file | {"input": images.shape[1:], "checked": checked} | found)
        return
    one, batched = (1000 * seconds for seconds in times[0].values())
    printer().print(
        f"{args.out}: {args.format}, {done.size / 1e6:,.2f} MB, {said}, in batches of any size; "
        f"logits within {done.difference:.1e} of the network's on {done.images} images ({where})\n"
        f"{source.name}: {total.macs / 1e6:,.2f} M MACs, {total.params:,} parameters in {total.param_bytes / 1e6:,.2f} "
        f"MB, activations of one image in {total.peak_bytes / 1e6:,.2f} MB\n"
        f"an image takes {one:.2f} ms alone, {batched:.2f} ms in a batch of {IMAGES} ({device.type})"
    )
    if whole is not None:
        first = cost(whole, images)
        one, batched = (1000 * seconds for seconds in times[1].values())
        printer().print(
            f"before its cuts: {first.macs / 1e6:,.2f} M MACs, {first.params:,} parameters in "
            f"{first.param_bytes / 1e6:,.2f} MB, activations in {first.peak_bytes / 1e6:,.2f} MB; {one:.2f} ms alone, "
            f"{batched:.2f} ms in a batch"
        )


def _whole(model: nn.Module) -> nn.Module | None:
    """The network as it was before its cuts, as far as cost and time are concerned; None when it was never cut."""
    network, normalised = taken_apart(model)
    return switched(normalised(expand(network)), training=False) if origin_of(network) is not None else None


def _images(args: Namespace, source: Source) -> tuple[Tensor, str, str]:
    """Images to check the file on, what they are, real ones where there are any of that size, and the size in words."""
    shape, said = example_shape(source)
    if args.data is None and shape != EMBEDDED:
        generator = seeds.stream(args.seed, "export")
        images = torch.rand(args.images or IMAGES, *shape, generator=generator)
        return images, "random ones, for lack of --data", said
    named = args.data is not None
    args.data = args.data if named else "embedded"
    found = load_images(args, "test", [source], limit=args.images or IMAGES)
    return to_float(found.images).contiguous(), found.name, sized(found.shape) if named else said
