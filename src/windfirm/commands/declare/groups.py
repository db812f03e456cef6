"""What several commands declare alike: words for what they take, and groups of options. No torch here."""

import argparse
from typing import TypeAlias

from windfirm.commands.options import COUNT, DEVICE, MEANS, OPTION, SHAPE, STDS, WHOLE, Parser

MODEL = (
    "a checkpoint (or the folder of a run), a built-in name (resnet56), timm/NAME, torchvision/NAME, "
    "or package.module:factory"
)
CRITERIA = (
    "bn-scale, cka, expected-abs, fpgm, hrank, kl-divergence, l1, l2, pls, random, taylor, or package.module:criterion"
)
ATTACKS = (
    "clean, semantic, semantic-shift, semantic-search, semantic-grid, occlusion, occlusion-search, occlusion-worst; "
    "fgsm, pgd, apgd-ce, apgd-dlr, apgd-t, fab-t, square, autoattack, deepfool, which go as far as --eps; corruptions, "
    "or one of them: gaussian-noise, shot-noise, impulse-noise, speckle-noise, defocus-blur, glass-blur, motion-blur, "
    "zoom-blur, gaussian-blur, snow, frost, fog, spatter, brightness, contrast, saturate, elastic, pixelate, jpeg; "
    "or package.module:attack"
)
DEFENCES = "cutmix, cutout, fast-at, mixup, pgd-at, shape-texture, stylized, trades, or package.module:defence"
ADJUSTMENTS = "bn-only, distill, fine-tuning, scratch-b, scratch-e, w-ticket"
STUDIES = "beyond, signs, table1, table2, table3, table4, trajectory"
DATA = "cifar10, embedded, a folder of class folders, or package.module:factory"


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def command(commands: Commands, name: str, line: str, examples: str) -> Parser:
    """A command with its one line and its examples."""
    return commands.add_parser(name, help=line, description=line, epilog=f"examples:\n{examples}")


def common(
    parser: Parser, seed: int | None = 0, meaning: str = "everything random follows from it (default: 0)"
) -> None:
    """What every command takes; no seed where it is None, else ``meaning`` says what the seed is for."""
    group = parser.add_argument_group("every command")
    group.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    group.add_argument("--seed", type=WHOLE, default=seed, metavar="N", help=meaning)
    group.add_argument("--device", type=DEVICE, default="auto", metavar="D", help="auto, cpu or cuda (default: auto)")


def model_options(parser: Parser) -> None:
    """How a MODEL is opened."""
    group = parser.add_argument_group("the networks")
    group.add_argument("--weights", metavar="FILE", help="weights (.safetensors, .pt) for a MODEL that is a name")
    group.add_argument("--classes", type=COUNT, metavar="N", help="how many classes a MODEL that is a name tells apart")
    group.add_argument("--arch", metavar="NAME", help="the network that a plain state dict belongs to")
    group.add_argument("--factory", metavar="M:F", help="module:function that makes the network of a checkpoint")
    group.add_argument(
        "--input", type=SHAPE, metavar="C,H,W", help="size of an image (default: what the network is made for)"
    )
    normalisation_options(group)


def normalisation_options(group: argparse._ActionsContainer) -> None:
    """What is put before a network."""
    group.add_argument(
        "--mean", type=MEANS, metavar="R,G,B", help="with --std: how to normalise (default: the network's own)"
    )
    group.add_argument("--std", type=STDS, metavar="R,G,B", help="see --mean; both for images in [0, 1]")


def image_options(group: argparse._ArgumentGroup, split: str) -> None:
    """Which images, of which split."""
    group.add_argument(
        "--data", default="embedded", metavar="D", help=f"{DATA}; its {split} images (default: embedded)"
    )
    group.add_argument(
        "--images", type=COUNT, metavar="N", help=f"only N {split} images (folders: of each class alike)"
    )
    _resize_option(group)


def size_options(group: argparse._ActionsContainer) -> None:
    """What the images of a folder are brought to where no network says so."""
    group.add_argument(
        "--input", type=SHAPE, metavar="C,H,W", help="size that the images of a folder are brought to (default: theirs)"
    )
    _resize_option(group)


def _resize_option(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--resize",
        choices=("crop", "squash", "pad"),
        default="crop",
        metavar="HOW",
        help="crop, squash or pad the images of a folder to the size (default: crop)",
    )


def defence_options(group: argparse._ActionsContainer) -> None:
    """Training with a defence."""
    group.add_argument("--defence", metavar="NAME", help=f"train with {DEFENCES} (default: none)")
    group.add_argument(
        "--eps", metavar="E", help="how far fast-at, pgd-at and trades move a value in [0, 1] (default: 8/255)"
    )
    group.add_argument(
        "--stylizer",
        metavar="FILE",
        help="what train-stylizer wrote, for stylized and shape-texture (default: the one in the package)",
    )


def measure_options(parser: Parser) -> None:
    """Images, attacks and their strength."""
    group = parser.add_argument_group("what is measured")
    image_options(group, "test")
    group.add_argument(
        "--attack",
        action="append",
        metavar="NAME",
        help=f"{ATTACKS}; may be given several times (default: semantic, occlusion, fgsm, clean)",
    )
    group.add_argument(
        "--eps", metavar="E", help="the largest change of a value (default: 8/255), with norm=l2 a length"
    )
    group.add_argument(
        "--option",
        action="append",
        type=OPTION,
        default=[],
        metavar="NAME=VALUE",
        help="a number of an attack, for every attack that has it: steps=20, restarts=5, norm=l2, size=12",
    )
    group.add_argument(
        "--trials",
        type=COUNT,
        metavar="N",
        help="random draws of attacks that are a mean of several: semantic, semantic-shift, occlusion (default: 10), "
        "each of the corruptions (default: 1)",
    )
