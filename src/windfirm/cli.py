"""The command line: parse, call, print. Each command's work is in commands/, imported only when it is run."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from windfirm import __version__
from windfirm.commands.options import (
    COUNT,
    FRACTION,
    MARGIN,
    MEANS,
    NONE_OR_MORE,
    NUMBER,
    OPTION,
    POSITIVE,
    SEEDS,
    SHAPE,
    SHARE,
    STDS,
    WHOLE,
    Parser,
)
from windfirm.errors import WindfirmError, expected

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
    "zoom-blur, gaussian-blur, snow, frost, fog, spatter, brightness, contrast, saturate, elastic, pixelate, jpeg"
)
DEFENCES = "cutmix, cutout, fast-at, mixup, pgd-at, shape-texture, stylized, trades"
ADJUSTMENTS = "bn-only, distill, fine-tuning, scratch-b, scratch-e, w-ticket"
DATA = "cifar10, embedded, a folder of class folders, or package.module:factory"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 after one line on stderr that says where, what was expected, and what it got.

    130 after an interrupt, 1 when the reader of standard output has gone, 3 when a study has failed cells or damage.
    """
    args, unknown = parser().parse_known_args(argv)
    if unknown:
        args.parser.error(expected("arguments", "those it knows", unknown[0] + args.parser.hint(unknown[0])))
    try:
        command = importlib.import_module(f"windfirm.commands.{args.command.replace('-', '_')}")
        if "" not in sys.path:
            sys.path.insert(0, "")  # finds the user's module:factory; late, so that no file there hides one of ours
        code = command.run(args)
        sys.stdout.flush()
    except WindfirmError as error:
        return _complain(args.command, str(error))
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        if error.filename is not None:  # not a write to standard output, and no bad input either: show all of it
            raise
        _drop_output()
        return _complain(args.command, expected("output", "a place that can be written", error.strerror or error))
    except KeyboardInterrupt:
        _complain(args.command, "stopped")
        return 130
    return code or 0


def _complain(command: str, message: str) -> int:
    sys.stderr.write(f"windfirm {command}: {message}\n")
    return 2


def _drop_output() -> None:
    """Let what is left in the buffer of standard output go nowhere, else Python complains once more at its end."""
    with suppress(ValueError):  # a caller's own object, which has no file behind it
        output = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)


def parser() -> Parser:
    """All commands and their options; imports nothing heavy."""
    top = Parser(
        prog="windfirm",
        description="Prune a network, prove the cut, and measure what it did to robustness.",
        epilog="start with:\n  windfirm quickstart",
    )
    top.add_argument("--version", action="version", version=f"windfirm {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for declare in (
        _quickstart,
        _data,
        _train,
        _train_stylizer,
        _inspect,
        _prune,
        _attack,
        _compare,
        _run,
        _study,
        _export,
    ):
        declare(commands)
    return top


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _command(commands: Commands, name: str, line: str, examples: str) -> Parser:
    return commands.add_parser(name, help=line, description=line, epilog=f"examples:\n{examples}")


def _common(
    parser: Parser, seed: int | None = 0, meaning: str = "everything random follows from it (default: 0)"
) -> None:
    group = parser.add_argument_group("every command")
    group.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    group.add_argument("--seed", type=WHOLE, default=seed, metavar="N", help=meaning)
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu or cuda (default: auto)")


def _model_options(parser: Parser) -> None:
    group = parser.add_argument_group("the networks")
    group.add_argument("--weights", metavar="FILE", help="weights (.safetensors, .pt) for a MODEL that is a name")
    group.add_argument("--classes", type=COUNT, metavar="N", help="how many classes a MODEL that is a name tells apart")
    group.add_argument("--arch", metavar="NAME", help="the network that a plain state dict belongs to")
    group.add_argument("--factory", metavar="M:F", help="module:function that makes the network of a checkpoint")
    group.add_argument(
        "--input", type=SHAPE, metavar="C,H,W", help="size of an image (default: what the network is made for)"
    )
    group.add_argument(
        "--mean", type=MEANS, metavar="R,G,B", help="with --std: how to normalise (default: the network's own)"
    )
    group.add_argument("--std", type=STDS, metavar="R,G,B", help="see --mean; both for images in [0, 1]")


def _image_options(group: argparse._ArgumentGroup, split: str) -> None:
    group.add_argument(
        "--data", default="embedded", metavar="D", help=f"{DATA}; its {split} images (default: embedded)"
    )
    group.add_argument(
        "--images", type=COUNT, metavar="N", help=f"only N {split} images (folders: of each class alike)"
    )
    group.add_argument(
        "--resize",
        choices=("crop", "squash", "pad"),
        default="crop",
        metavar="HOW",
        help="crop, squash or pad the images of a folder to the size (default: crop)",
    )


def _defence_options(group: argparse._ActionsContainer) -> None:
    group.add_argument("--defence", metavar="NAME", help=f"train with {DEFENCES} (default: none)")
    group.add_argument(
        "--eps", metavar="E", help="how far fast-at, pgd-at and trades move a value in [0, 1] (default: 8/255)"
    )
    group.add_argument(
        "--stylizer",
        metavar="FILE",
        help="what train-stylizer wrote, for stylized and shape-texture (default: the one in the package)",
    )


def _measure_options(parser: Parser) -> None:
    group = parser.add_argument_group("what is measured")
    _image_options(group, "test")
    group.add_argument(
        "--attack",
        action="append",
        metavar="NAME",
        help=f"{ATTACKS}; may be given several times (default: semantic, occlusion, fgsm, clean)",
    )
    group.add_argument(
        "--eps", default="8/255", metavar="E", help="the largest change of a value in [0, 1] (default: 8/255)"
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
        "--trials", type=COUNT, metavar="N", help="random draws of each attack that averages (default: 10)"
    )


def _quickstart(commands: Commands) -> None:
    parser = _command(
        commands,
        "quickstart",
        "The whole question in minutes: prune, train the control, attack, answer.",
        "  windfirm quickstart\n  windfirm quickstart --out first --seed 1\n  windfirm quickstart --json > result.json",
    )
    parser.add_argument(
        "--out",
        default="windfirm-quickstart",
        metavar="DIR",
        help="folder for the page, the networks and the numbers (default: windfirm-quickstart)",
    )
    _common(parser)


def _data(commands: Commands) -> None:
    parser = _command(
        commands,
        "data",
        "Fetch, list and verify data sets.",
        "  windfirm data fetch cifar10\n  windfirm data fetch cifar10 --from ~/cifar-10-binary.tar.gz\n"
        "  windfirm data list\n  windfirm data verify cifar10",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")
    fetch = actions.add_parser(
        "fetch",
        help="get a data set, check every byte, store it once",
        description="Get a data set, check every byte, store it once.",
    )
    fetch.add_argument("name", metavar="NAME", help="cifar10")
    fetch.add_argument("--from", dest="source", metavar="PATH", help="an archive or folder that is already here")
    listing = actions.add_parser("list", help="what there is, and where", description="What there is, and where.")
    verify = actions.add_parser(
        "verify",
        help="read every stored byte again and compare it with the known digest",
        description="Read every stored byte again and compare it with the known digest.",
    )
    verify.add_argument("name", metavar="NAME", help="cifar10 or embedded")
    for action in (fetch, listing, verify):
        _common(action)


def _train(commands: Commands) -> None:
    parser = _command(
        commands,
        "train",
        "Train a baseline F; when it was interrupted, go on from its last epoch.",
        "  windfirm train resnet56 --data cifar10\n"
        "  windfirm train resnet20 --data embedded --epochs 9 --out runs/small\n"
        "  windfirm train resnet20 --defence fast-at --eps 8/255 --out runs/firm\n"
        "  windfirm train resnet20 --probe 1000 --keep fgsm --seeds 0,1,2\n"
        "  torchrun --nproc-per-node 2 -m windfirm.cli train resnet56",
    )
    parser.add_argument("arch", metavar="ARCH", help="resnet20, 32, 44, 56 or 110, mobilenet-v2, vgg16-bn")
    parser.add_argument("--data", default="cifar10", metavar="D", help=f"{DATA} (default: cifar10)")
    parser.add_argument("--out", metavar="DIR", help="folder for the weights, initial and trained (default: runs/ARCH)")
    parser.add_argument(
        "--from", dest="start", metavar="RUN", help="go on from the weights of an earlier run, a folder or ARCH itself"
    )
    parser.add_argument("--epochs", type=COUNT, default=50, metavar="N", help="passes over the data (default: 50)")
    parser.add_argument(
        "--lr", type=POSITIVE, default=0.15, metavar="X", help="the highest learning rate (default: 0.15)"
    )
    parser.add_argument("--batch", type=COUNT, default=128, metavar="N", help="images a step (default: 128)")
    parser.add_argument("--schedule", default="onecycle", metavar="NAME", help="onecycle or step (default: onecycle)")
    parser.add_argument(
        "--weight-decay", type=NUMBER, default=5e-4, metavar="X", help="pull of the weights to zero (default: 0.0005)"
    )
    _defence_options(parser)
    group = parser.add_argument_group("beside the recipe")
    group.add_argument(
        "--probe",
        type=NONE_OR_MORE,
        default=0,
        metavar="N",
        help="hold out N training images, never trained on, and count after every epoch those right, as they are and "
        "under FGSM at 8/255 (default: 0)",
    )
    group.add_argument(
        "--keep",
        default="last",
        metavar="WHICH",
        help="the weights of the last epoch, or of the one with most held-out images right: last, clean or fgsm "
        "(default: last)",
    )
    group.add_argument(
        "--ema",
        type=SHARE,
        metavar="X",
        help="end with the moving average of the weights, of this decay, such as 0.999",
    )
    group.add_argument(
        "--compile",
        nargs="?",
        const="default",
        metavar="MODE",
        help="compile the network first, in this mode of torch.compile (default: not at all; without a MODE, default)",
    )
    group.add_argument(
        "--seeds",
        type=SEEDS,
        metavar="N,N",
        help="train a network for each seed, by turns, into a folder each, DIR/seed-N; instead of --seed",
    )
    _common(parser)


def _train_stylizer(commands: Commands) -> None:
    parser = _command(
        commands,
        "train-stylizer",
        "Train the redrawing of images that two defences need.",
        "  windfirm train-stylizer --data cifar10\n"
        "  windfirm train-stylizer --data path/to/images --vgg vgg19.pth --out runs/stylizer",
    )
    parser.add_argument("--data", default="cifar10", metavar="D", help=f"{DATA} (default: cifar10)")
    parser.add_argument(
        "--images", type=COUNT, metavar="N", help="only N training images (folders: of each class alike)"
    )
    parser.add_argument("--vgg", metavar="FILE", help="weights of a VGG-19, torchvision's: it becomes the encoder")
    parser.add_argument(
        "--epochs",
        type=COUNT,
        default=3,
        metavar="N",
        help="passes over the data in each of its two trainings (default: 3)",
    )
    parser.add_argument(
        "--out",
        default="runs/stylizer",
        metavar="DIR",
        help="folder for weights, record and a sheet (default: runs/stylizer)",
    )
    _common(parser)


def _inspect(commands: Commands) -> None:
    parser = _command(
        commands,
        "inspect",
        "What can leave a network, what cannot and why; parameters and MACs.",
        "  windfirm inspect resnet56\n  windfirm inspect torchvision/resnet18 --input 3,224,224\n"
        "  windfirm inspect mypackage.nets:make --input 3,64,64",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--all", action="store_true", help="one line for every group, also where groups are alike")
    _model_options(parser)
    _common(parser)


def _prune(commands: Commands) -> None:
    parser = _command(
        commands,
        "prune",
        "Make a smaller network, prove every cut, train it again if asked.",
        "  windfirm prune resnet56 --criterion pls --macs 0.5 --rounds 3 --adjust fine-tuning --out runs/half\n"
        "  windfirm prune resnet56 --structure both --choose cka --rate 0.1 --rounds 5 --out runs/both\n"
        "  windfirm prune runs/resnet20/model.safetensors --criterion l1 --ratio 0.3 --out runs/less",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the smaller network and its record")
    group = parser.add_argument_group("what leaves")
    group.add_argument(
        "--structure",
        default="filters",
        metavar="S",
        help="filters, layers (residual blocks) or both (default: filters)",
    )
    group.add_argument(
        "--plain-layers", action="store_true", help="layers of plain chains that keep the shape can leave too"
    )
    group.add_argument(
        "--choose",
        default="alternate",
        metavar="RULE",
        help="with both, which cut a round makes: alternate, kl-divergence, cka or coin (default: alternate)",
    )
    group.add_argument("--criterion", default="pls", metavar="NAME", help=f"{CRITERIA} (default: pls)")
    group.add_argument("--rounds", type=COUNT, default=1, metavar="N", help="in how many steps (default: 1)")
    group.add_argument("--ranking", default="global", metavar="R", help="global or per-layer (default: global)")
    group.add_argument(
        "--floor",
        type=FRACTION,
        default=0.1,
        metavar="X",
        help="the share of each group, and of the blocks of a stage, that stays at least (default: 0.1)",
    )
    group.add_argument(
        "--protect",
        action="append",
        default=[],
        metavar="PATTERN",
        help="groups or blocks that stay whole, such as 'layer1.*'; may be given several times",
    )
    group = parser.add_argument_group("how much leaves", "one of these")
    group.add_argument("--macs", type=SHARE, metavar="X", help="the share of multiply-adds that stays, in (0, 1)")
    group.add_argument("--params", type=SHARE, metavar="X", help="the share of parameters that stays")
    group.add_argument(
        "--latency", type=SHARE, metavar="X", help="the share of the time an image that stays, as measured here"
    )
    group.add_argument(
        "--ratio", type=SHARE, metavar="X", help="the share of filters (or blocks) that leaves in all rounds together"
    )
    group.add_argument("--rate", type=SHARE, metavar="X", help="the share of those still there that leaves each round")
    group = parser.add_argument_group("training between and after")
    group.add_argument("--adjust", metavar="NAME", help=f"{ADJUSTMENTS} (default: none)")
    group.add_argument(
        "--epochs",
        type=COUNT,
        metavar="N",
        help="passes over the data each time (default: 6; scratch and w-ticket, which run after the last round alone, "
        "160)",
    )
    group.add_argument(
        "--lr",
        type=POSITIVE,
        metavar="X",
        help="the highest learning rate (default: 0.01; scratch and w-ticket 0.1)",
    )
    group.add_argument(
        "--initial",
        metavar="FILE",
        help="w-ticket: MODEL as before training (default: initial.safetensors beside it, or the package's)",
    )
    _image_options(group, "training")
    _defence_options(group)
    group.add_argument("--control", action="store_true", help="also train the unpruned network for as many steps")
    _model_options(parser)
    _common(parser)


def _attack(commands: Commands) -> None:
    parser = _command(
        commands,
        "attack",
        "How many images networks still get right under each attack.",
        "  windfirm attack resnet56 --attack fgsm --eps 2/255\n"
        "  windfirm attack resnet56 --attack pgd --attack apgd-ce --eps 1/255 --option restarts=5\n"
        "  windfirm attack runs/*/model.safetensors --data cifar10 --attack clean --attack occlusion",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL)
    _model_options(parser)
    _measure_options(parser)
    _common(parser)


def _compare(commands: Commands) -> None:
    parser = _command(
        commands,
        "compare",
        "Is F' harder to fool than F at the same clean accuracy? Paired tests.",
        "  windfirm compare resnet56 runs/half/model.safetensors --control runs/half/control.safetensors\n"
        "  windfirm compare F.safetensors small.safetensors --data cifar10 --out report.html",
    )
    parser.add_argument("f", metavar="F", help=f"the original: {MODEL}")
    parser.add_argument("f_prime", metavar="F'", help="the smaller one")
    parser.add_argument("--control", metavar="MODEL", help="F after the same extra training as F'")
    parser.add_argument("--out", metavar="FILE", help="also write a page (.html) there")
    parser.add_argument(
        "--margin",
        type=MARGIN,
        default=1.0,
        metavar="POINTS",
        help="clean accuracies this close count as the same (default: 1)",
    )
    parser.add_argument(
        "--checks",
        type=NONE_OR_MORE,
        default=200,
        metavar="N",
        help="images on which each network is searched for reasons to doubt the attacks; 0: none (default: 200)",
    )
    _model_options(parser)
    _measure_options(parser)
    _common(parser)


def _run(commands: Commands) -> None:
    parser = _command(
        commands,
        "run",
        "Run a study, a grid of experiments, from its file; go on where it was stopped.",
        "  windfirm run studies/table1.toml --scale smoke --dry-run\n"
        "  windfirm run studies/table1.toml --scale laptop --workers 2 --out runs/table1\n"
        "  windfirm run studies/table3.toml --set prune.rounds=3 --set data.name=cifar10",
    )
    parser.add_argument("study", metavar="STUDY", help="a study file (.toml)")
    parser.add_argument("--scale", metavar="NAME", help="one of the file's scales, such as smoke, laptop, gpu, paper")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a setting of the file; may be given several times",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the store; studies in one folder share their work (default: runs/NAME-SCALE)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan: cells, what is done, the time left")
    group = parser.add_argument_group("how the work is done")
    group.add_argument("--engine", default="local", metavar="E", help="local (default), or ray (wants windfirm[ray])")
    group.add_argument(
        "--workers",
        type=NONE_OR_MORE,
        default=1,
        metavar="N",
        help="local: processes, which share the cores or take one GPU each; 0 for this one alone (default: 1)",
    )
    group.add_argument(
        "--threads", type=COUNT, metavar="N", help="cores for each cell (default: local, its share; ray, 1)"
    )
    group.add_argument("--address", metavar="A", help="ray: the cluster to join (default: one of its own here)")
    _common(parser, None, "this seed in place of those of the file")


def _study(commands: Commands) -> None:
    parser = _command(
        commands,
        "study",
        "What is in the folder of a run: studies, cells, rows; and its upkeep.",
        "  windfirm study ls runs/table1\n  windfirm study rows runs/table1 --csv > rows.csv\n"
        "  windfirm study show runs/table1 3fa9\n  windfirm study verify runs/table1",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")

    def action(name: str, line: str) -> Parser:
        made: Parser = actions.add_parser(name, help=line[0].lower() + line[1:-1], description=line)
        made.add_argument("folder", metavar="DIR", help="the folder of a run")
        return made

    listing = action("ls", "The studies and how far they are.")
    show = action("show", "The cells of a study, or all about one cell.")
    show.add_argument("what", nargs="?", metavar="WHAT", help="a study, or the first digits of a cell's key")
    rows = action("rows", "The rows: right predictions under each attack.")
    rows.add_argument("--study", metavar="NAME", help="those of one study (default: of all)")
    rows.add_argument("--csv", action="store_true", help="as CSV, with a column for each axis of the grid")
    gc = action("gc", "Remove cells that no study needs any more, and files that no cell has.")
    gc.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    verify = action("verify", "Read every byte again: the database, files, rows.")
    verify.add_argument("--mend", action="store_true", help="have cells with damage done anew by the next run")
    for made in (listing, show, rows, gc, verify):
        _common(made)


def _export(commands: Commands) -> None:
    parser = _command(
        commands,
        "export",
        "Write a network as one file for deployment, check it, and tell what it costs.",
        "  windfirm export runs/half/model.safetensors --format onnx --out half.onnx\n"
        "  windfirm export resnet56 --format pt2 --out resnet56.pt2 --data cifar10",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument(
        "--format", required=True, metavar="F", help="onnx (wants windfirm[onnx]) or pt2 (torch.export)"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    group = parser.add_argument_group(
        "what the file is checked on",
        "without --data, random images for networks that take no 32×32 ones",
    )
    _image_options(group, "test")
    parser.set_defaults(data=None)
    _model_options(parser)
    _common(parser)


if __name__ == "__main__":
    sys.exit(main())
