"""What several commands do alike: printing, choosing networks, images and attacks."""

from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windfirm import console, data
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.attack.budget import EPS, Attack, parse_eps
from windfirm.attack.registry import build, kinds, read
from windfirm.commands.printing import grid as grid  # re-exported, for commands that need the rest of this as well
from windfirm.commands.printing import print_json as print_json
from windfirm.commands.printing import printer as printer
from windfirm.data.images import Images
from windfirm.defend.registry import defence
from windfirm.errors import InputError, expected, nearest
from windfirm.models.factory import is_name
from windfirm.models.intake import Intake
from windfirm.models.registry import ARCHITECTURES
from windfirm.models.source import Source, open_model
from windfirm.study.measure import check_fit as check_fit  # re-exported as well

#: What is measured when no attack is named: the columns of the poster's tables.
DEFAULT_ATTACKS = ("semantic", "occlusion", "fgsm", "clean")

#: The (c, h, w) of the images inside the package.
EMBEDDED = (3, 32, 32)

#: Files that cannot be read which are told by name.
NAMED = 5

#: What is said of a network that a function of the user's own makes, as weights are easily forgotten.
AS_MADE = "weights as the function makes them; --weights puts others in"


def one_of(option: str, name: str, known: Collection[str]) -> None:
    """Raise InputError, with the nearest right spelling, unless ``name`` is among ``known``."""
    if name not in known:
        raise InputError(expected(option, " or ".join(known), name) + nearest(name, known))


def as_made(args: Namespace, specs: Sequence[str]) -> list[str]:
    """Those of the networks that a function of the user's own makes and that no weights are put into."""
    return [spec for spec in specs if ":" in spec and not Path(spec).exists() and not args.weights]


def say_as_made(args: Namespace, specs: Sequence[str]) -> None:
    """Tell of as_made on stderr."""
    for spec in as_made(args, specs):
        console.say(f"{spec}: {AS_MADE}")


def asked(args: Namespace) -> Intake:
    """What the command line says of how networks are fed."""
    return Intake(args.input, args.mean, args.std)


def open_networks(args: Namespace, specs: Sequence[str], *, trained: bool = True) -> list[Source]:
    """The networks that ``specs`` and the options of a command name; see open_model. Two of one name go by their specs.

    Raises what open_model raises, and InputError for ``--weights``, ``--factory``, ``--arch`` or ``--classes`` that no
    network needs.
    """
    if args.weights and all(spec not in ARCHITECTURES and Path(spec).exists() for spec in specs):
        raise InputError(expected("--weights", "a MODEL that is a name, to put them into", " and ".join(specs)))
    by_name = all(spec in ARCHITECTURES or (is_name(spec) and not Path(spec).exists()) for spec in specs)
    for option in ("factory", "arch"):
        if by_name and getattr(args, option):
            raise InputError(expected(f"--{option}", "a MODEL that is a checkpoint, to read it", " and ".join(specs)))
    if args.classes and all(":" in spec and not Path(spec).exists() for spec in specs):
        raise InputError(expected("--classes", "a MODEL that is a name, to make it so", " and ".join(specs)))
    sources = [
        open_model(
            spec,
            factory=args.factory,
            arch=args.arch,
            classes=args.classes,
            weights=trained,
            file=args.weights,
            asked=asked(args),
        )
        for spec in specs
    ]
    names = Counter(source.name for source in dict(zip(specs, sources, strict=True)).values())  # one for each spec
    return [
        replace(source, name=spec) if names[source.name] > 1 else source
        for spec, source in zip(specs, sources, strict=True)
    ]


def open_network(args: Namespace, spec: str, *, trained: bool = True) -> Source:
    """The one network of a command; see open_networks."""
    return open_networks(args, [spec], trained=trained)[0]


def input_shape(sources: Sequence[Source]) -> tuple[int, int, int] | None:
    """The (c, h, w) that the networks are made for, None when none says so. Raises InputError where they differ."""
    shapes = list(dict.fromkeys(source.intake.shape for source in sources if source.intake.shape))
    if len(shapes) > 1:
        got = " and ".join(",".join(map(str, shape)) for shape in shapes)
        raise InputError(expected("--input", "one size of images for all networks", f"none, and networks for {got}"))
    return shapes[0] if shapes else None


def example_shape(source: Source) -> tuple[tuple[int, int, int], str]:
    """The (c, h, w) of an image to try ``source`` on, and that in words; CIFAR-10's, where nothing says one."""
    known = input_shape([source])
    shape = known or EMBEDDED
    why = "" if known else " (as nothing says their size; --input does)"
    return shape, f"{sized(shape)}{why}"


def sized(shape: Sequence[int]) -> str:
    """For which images something is, in words."""
    return f"for images of {'×'.join(map(str, shape))}"


def load_images(args: Namespace, split: data.Split, sources: Sequence[Source], limit: int | None = None) -> Images:
    """One split of ``--data``, or ``limit`` (``--images``) of it, of the size that the networks take.

    Files that cannot be read are told on stderr. Raises what data.load raises, and InputError for an ``--input`` that
    images which are not files do not have.
    """
    shape = input_shape(sources)
    with console.bar("read images") as tick:
        images = data.load(args.data, split, shape=shape, resize=args.resize, limit=limit or args.images, progress=tick)
    say_left_out(images)
    _check_size(args, images)
    return images


def training_images(args: Namespace, shape: tuple[int, int, int] | None, limit: int | None = None) -> Images:
    """The training images of ``--data``, or ``limit`` of them; files are brought to ``shape`` (c, h, w), if any.

    Raises as load_images does.
    """
    images = data.load(args.data, "train", shape=shape, resize=args.resize, limit=limit)
    _check_size(args, images)
    return images


def _check_size(args: Namespace, images: Images) -> None:
    """Raise InputError for an ``--input`` that images which are not files do not have."""
    found = images.shape
    if args.input and found != args.input:
        got = ",".join(map(str, args.input))
        raise InputError(expected("--input", f"{','.join(map(str, found))}, the size of {images.name}", got))


def size_words(args: Namespace) -> str:
    """``--input`` and ``--resize`` as a command line repeats them, each with a space before it."""
    size = f" --input {','.join(map(str, args.input))}" if args.input else ""
    return " ".join([size, *resize_words(args)])


def called(place: str) -> str:
    """What a file or folder is called, also ``.``; anything else as it is."""
    path = Path(place)
    return (path.resolve() if path.exists() else path).name


def resize_words(args: Namespace) -> list[str]:
    """``--resize`` as a command line repeats it, where it is not the usual one."""
    return ["--resize", args.resize] if args.resize != "crop" else []


def say_left_out(images: Images) -> None:
    """Tell on stderr which files could not be read, and of which classes there is no image, if any."""
    if images.skipped:
        console.say(f"{images.name}: {images.left_out}: {_first(images.skipped)}")
    absent = [name for label, name in enumerate(images.classes) if not bool((images.labels == label).any())]
    if absent and len(images) >= len(images.classes):
        console.say(f"{images.name}: no image of {_first(absent)}")


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def describe(images: Images) -> dict[str, object]:
    """What was measured on, as plain values: name, how many, their size, and how many files could not be read."""
    count, *shape = images.images.shape
    return {"data": images.name, "images": count, "input": shape, "skipped": len(images.skipped)}


def normalisation(source: Source) -> dict[str, object] | None:
    """What was put before the network, as plain values; None where it takes images in [0, 1] itself."""
    intake = source.intake
    return None if intake.mean is None else {"mean": intake.mean, "std": intake.std}


def chosen_attacks(args: Namespace, side: int, also: Sequence[str] = ()) -> tuple[list[Attack], float]:
    """The attacks that ``--attack``, ``--option`` and ``--trials`` ask for, on images of this side, and ``--eps``.

    An option goes to every attack that has one of that name. Raises InputError for one that neither any of these nor
    one called as in ``also`` has, for ``--trials`` and ``--eps`` that none of them takes, and what build raises.
    """
    names = list(dict.fromkeys(args.attack or DEFAULT_ATTACKS))
    asked = list(dict.fromkeys([*names, *also]))
    every = list(dict.fromkeys(option for name in asked for option in kinds(name)))
    for option, _ in args.option:
        if option not in every:
            wanted = f"options of {', '.join(asked)}: {', '.join(every) or 'there are none'}"
            raise InputError(expected("--option", wanted, option) + nearest(option, every))
    attacks = [build(name, side, **options_of(args, name, side)) for name in names]
    if args.trials and not any("trials" in options_of(args, name, side) for name in asked):
        raise InputError(expected("--trials", "an attack that is the mean of several draws", ", ".join(asked)))
    if args.eps is None:
        if l2 := [attack.name for attack in attacks if attack.norm == "l2"]:
            raise InputError(expected("--eps", f"a length in L2 for {', '.join(l2)}, such as 0.5", "none"))
        return attacks, EPS
    norms = {build(name, side, **options_of(args, name, side)).norm for name in asked} - {None}
    if not norms:
        raise InputError(expected("--eps", "an attack that goes as far as it says", ", ".join(asked)))
    return attacks, parse_eps(args.eps, "l2" if norms == {"l2"} else "linf")


def options_of(args: Namespace, name: str, side: int) -> dict[str, Any]:
    """What the attack called ``name`` takes of ``--option``, and ``--trials`` where it is the mean of several."""
    given, known = dict(args.option), kinds(name)
    options = {option: read(name, option, given[option]) for option in known if option in given}
    attack = build(name, side, **options)
    return options | ({"trials": args.trials} if args.trials and attack.average and attack.trials > 1 else {})


def chosen_defence(args: Namespace, side: int) -> Objective:
    """What ``--defence`` and its options make small in training on images of this side; without it the plain loss."""
    options = {name: value for name in ("eps", "stylizer") if (value := getattr(args, name)) is not None}
    if not args.defence:
        for name in options:
            raise InputError(expected(f"--{name}", "a --defence that it is for", "none"))
        return PLAIN
    if "eps" in options:
        options["eps"] = parse_eps(options["eps"])
    return defence(args.defence, side, **options)
