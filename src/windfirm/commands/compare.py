"""``windfirm compare``: F′ beside F and the control, image by image."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from windfirm import console
from windfirm.attack.budget import Attack
from windfirm.attack.registry import SIDE
from windfirm.commands.folder import results
from windfirm.commands.shared import (
    AS_MADE,
    as_made,
    check_fit,
    chosen_attacks,
    input_shape,
    load_images,
    open_networks,
    print_json,
    printer,
)
from windfirm.commands.sweeps import chosen_sweeps
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import Comparison, Role, check, compare
from windfirm.evaluate.examples import apart, examples
from windfirm.evaluate.occlusion_map import occlusion_map
from windfirm.evaluate.stored import to_json
from windfirm.files import write_text
from windfirm.models.device import pick
from windfirm.models.intake import words
from windfirm.models.normalize import normalizes
from windfirm.models.source import Source
from windfirm.report.comparison_words import answer, doubts
from windfirm.report.occlusion import strip
from windfirm.report.page import page
from windfirm.report.table import methods, table
from windfirm.report.words import listing, prime
from windfirm.study.measure import CURVE, measure, timed
from windfirm.study.provenance import digest, hardware, versions

#: Images that the page shows for each attack.
SHOWN = 6


def run(args: Namespace) -> None:
    """Measure two or three networks, print the answer and the table, write the page if asked."""
    if args.out and Path(args.out).suffix != ".html":
        raise InputError(expected("--out", "a name that ends in .html", args.out))
    if args.out and Path(args.out).is_dir():
        raise InputError(expected("--out", "the name of a file to write", f"{args.out}, a folder"))
    if args.attack:
        args.attack.append("clean")  # no comparison goes without
    device = pick(args.device)
    specs: dict[Role, str] = {"F": args.f, "F'": args.f_prime} | ({"control": args.control} if args.control else {})
    sources = dict(zip(specs, open_networks(args, list(specs.values())), strict=True))
    swept = [name for name, _, _ in args.sweep]
    side = (input_shape(list(sources.values())) or (SIDE,))[-1]
    chosen_sweeps(args, side)  # a wrong name is told before many images are read
    chosen_attacks(args, side, swept)
    if args.sweep and not (args.out or args.json):
        raise InputError(expected("--sweep", "--out or --json, where its curve goes", "neither"))
    images = load_images(args, "test", list(sources.values()))
    side = images.side
    attacks, eps = chosen_attacks(args, side, swept)
    check([attack.name for attack in attacks])
    sweeps = chosen_sweeps(args, side)
    for source in sources.values():
        check_fit(source.name, source.model, images)
    with results(Path(args.out).parent) if args.out else nullcontext() as place:
        subjects = []
        for role, source in sources.items():
            with console.bar(f"attack {role}") as tick:
                subjects.append(
                    measure(
                        role,
                        source.name,
                        source.model,
                        images,
                        attacks,
                        eps=eps,
                        epses=() if "fgsm" in swept or not place else CURVE,
                        sweeps=sweeps,
                        checked=args.checks,
                        seed=args.seed,
                        device=device,
                        progress=tick,
                    )
                )
        subjects = timed(subjects, [source.model for source in sources.values()], images, device)
        comparison = compare(subjects, data=images.name, seed=args.seed, margin=args.margin)
        cautions = [*_unlike(sources), *_fresh(args, specs)]
        if place:
            text = _page(comparison, sources, images, attacks, eps, device, cautions)
            write_text(place / Path(args.out).name, text)
    if args.json:
        print_json(to_json(comparison) | {"cautions": cautions})
        return
    out = printer()
    out.print("\n".join([*cautions, *answer(comparison), *doubts(comparison)]) + "\n")
    out.print(table(comparison))
    out.print(f"\n{images.name}, {len(images):,} images, seed {args.seed}")
    for name, what in methods(comparison):
        out.print(f"  {name}: {what}")
    if args.out:
        curves = listing([f"accuracy under {sweep.attack} against {sweep.what}" for sweep in sweeps])
        out.print(f"\npage: {args.out}" + (f", with {curves}" if curves else ""))


def _unlike(sources: Mapping[Role, Source]) -> list[str]:
    """A warning where some networks are given images behind a normalisation and others are given them as they are."""
    fed = {role: words(source.intake) for role, source in sources.items() if source.intake.mean}
    bare = [role for role, s in sources.items() if not s.intake.mean and not normalizes(s.model)]
    if not fed or not bare:
        return []
    who = listing([prime(role) for role in bare])
    others = "; ".join(f"{prime(role)}: {said}" for role, said in fed.items())
    verb = "gets its images" if len(bare) == 1 else "get their images"
    return [f"Warning, normalisation: {who} {verb} as they are ({others}); --mean and --std say otherwise."]


def _fresh(args: Namespace, specs: Mapping[Role, str]) -> list[str]:
    """A warning about networks that a function made and nothing was put into."""
    made = [role for role, spec in specs.items() if as_made(args, [spec])]
    who = listing([prime(role) for role in made])
    return [f"Warning, {who}: {AS_MADE}."] if made else []


def _page(
    comparison: Comparison,
    sources: Mapping[Role, Source],
    images: Images,
    attacks: Sequence[Attack],
    eps: float,
    device: torch.device,
    cautions: Sequence[str],
) -> str:
    networks: dict[str, nn.Module] = {role: source.model for role, source in sources.items()}
    ids = apart(images, SHOWN)
    shown = [
        example
        for attack in attacks
        if attack.name != "clean"
        for example in examples(networks, images, attack, ids, eps=eps, seed=comparison.seed, device=device)
    ]
    height, width = images.images.shape[-2:]
    maps = []
    if height == width and any(attack.name.startswith("occlusion") for attack in attacks):
        some = images[torch.tensor(ids)]
        found = {role: occlusion_map(model, some, device=device).numpy() for role, model in networks.items()}
        pixels = [image.permute(1, 2, 0).numpy() for image in some.images]
        maps.append(strip(pixels, some.labels.tolist(), found, images.classes))
    fed = [f"{role}: {words(source.intake)}" for role, source in sources.items()]
    rest = f"; {images.left_out}" if images.left_out else ""
    provenance = {
        "data": f"{images.name}, {len(images):,} images of {height}×{width}, SHA-256 {digest(images)}…{rest}",
        **({"normalisation": "; ".join(fed)} if any(source.intake.mean for source in sources.values()) else {}),
        "seed": str(comparison.seed),
        "hardware": hardware(device),
        "versions": versions(),
    }
    title = " and ".join(source.name for source in sources.values())
    return page(
        comparison,
        title=title,
        examples=shown,
        classes=images.classes,
        maps=maps,
        provenance=provenance,
        cautions=cautions,
    )
