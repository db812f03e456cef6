"""The command line: parse, call, print. Each command's work is in commands/, imported only when it is run."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from windfirm import __version__
from windfirm.errors import WindfirmError

MODEL = "a checkpoint, a built-in name (resnet56), timm/NAME, torchvision/NAME, or package.module:factory"
DATA = "cifar10, embedded, or a folder of class folders"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 after one line on stderr that says where, what was expected, and what it got."""
    args = parser().parse_args(argv)
    try:
        sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109  # so that module:factory finds the user's own module
        command = importlib.import_module(f"windfirm.commands.{args.command}")
        command.run(args)
    except WindfirmError as error:
        sys.stderr.write(f"windfirm {args.command}: {error}\n")
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"windfirm {args.command}: stopped\n")
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options; imports nothing heavy."""
    top = _Parser(
        prog="windfirm",
        description="Prune a convolutional network, prove the cut, and measure what it did to robustness.",
        epilog="Start with:  windfirm quickstart",
    )
    top.add_argument("--version", action="version", version=f"windfirm {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for declare in (_quickstart, _data, _train, _inspect, _prune, _attack, _compare):
        declare(commands)
    return top


class _Parser(argparse.ArgumentParser):
    """argparse with wide, example-friendly help, no abbreviations, and errors in one line."""

    def __init__(self, **options: object) -> None:
        formatter = lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=100)  # noqa: E731
        super().__init__(formatter_class=formatter, allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(commands: Commands, name: str, line: str, examples: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=line, description=line, epilog=f"examples:\n{examples}")


def _common(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    group = parser.add_argument_group("every command")
    if json:
        group.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="everything random follows from it (default: 0)"
    )
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu or cuda (default: auto)")


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", metavar="NAME", help="the built-in network that a plain state dict belongs to")
    parser.add_argument("--factory", metavar="M:F", help="module:function that makes the network of a checkpoint")


def _measure_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is measured")
    group.add_argument("--data", default="embedded", metavar="D", help=f"{DATA}; its test images (default: embedded)")
    group.add_argument("--images", type=int, metavar="N", help="only the first N images")
    group.add_argument(
        "--attack",
        action="append",
        metavar="NAME",
        help="clean, semantic, semantic-shift, semantic-search, occlusion, occlusion-worst, fgsm; may "
        "be given several times (default: semantic, occlusion, fgsm, clean)",
    )
    group.add_argument("--eps", default="8/255", metavar="E", help="the size of fgsm, in [0, 1] (default: 8/255)")
    group.add_argument(
        "--trials", type=int, metavar="N", help="random draws of each attack that averages (default: 10)"
    )


def _quickstart(commands: Commands) -> None:
    parser = _command(
        commands,
        "quickstart",
        "The main job in minutes: prune a ResNet-56, train the control alike, attack all, answer.",
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
    listing.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    verify = actions.add_parser(
        "verify",
        help="read every stored byte again and compare it with the known digest",
        description="Read every stored byte again and compare it with the known digest.",
    )
    verify.add_argument("name", metavar="NAME", help="cifar10 or embedded")


def _train(commands: Commands) -> None:
    parser = _command(
        commands,
        "train",
        "Train a baseline F on the training images; goes on from the last epoch when it was interrupted.",
        "  windfirm train resnet56 --data cifar10\n  windfirm train resnet20 --data embedded --epochs 9 --out runs/small",
    )
    parser.add_argument("arch", metavar="ARCH", help="resnet20, 32, 44, 56 or 110, mobilenet-v2, vgg16-bn")
    parser.add_argument("--data", default="cifar10", metavar="D", help=f"{DATA} (default: cifar10)")
    parser.add_argument("--out", metavar="DIR", help="folder for the weights, initial and trained (default: runs/ARCH)")
    parser.add_argument("--epochs", type=int, default=50, metavar="N", help="passes over the data (default: 50)")
    parser.add_argument("--lr", type=float, default=0.15, metavar="X", help="the highest learning rate (default: 0.15)")
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="images a step (default: 128)")
    parser.add_argument("--schedule", default="onecycle", metavar="NAME", help="onecycle or step (default: onecycle)")
    parser.add_argument("--weight-decay", type=float, default=5e-4, metavar="X", help="(default: 0.0005)")
    _common(parser)


def _inspect(commands: Commands) -> None:
    parser = _command(
        commands,
        "inspect",
        "What can be removed from a network, what cannot and why; its parameters and MACs.",
        "  windfirm inspect resnet56\n  windfirm inspect torchvision/resnet18 --input 3,224,224\n"
        "  windfirm inspect mypackage.nets:make --input 3,64,64",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--input", default="3,32,32", metavar="C,H,W", help="shape of an image (default: 3,32,32)")
    parser.add_argument("--all", action="store_true", help="list every group, not only one line a stage")
    _model_options(parser)
    _common(parser)


def _prune(commands: Commands) -> None:
    parser = _command(
        commands,
        "prune",
        "Make a smaller network, prove the cut, and train it again if asked.",
        "  windfirm prune resnet56 --criterion pls --macs 0.5 --rounds 3 --adjust fine-tuning --out runs/half\n"
        "  windfirm prune runs/resnet20/model.safetensors --criterion l1 --ratio 0.3 --out runs/less",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the smaller network and its record")
    group = parser.add_argument_group("what leaves")
    group.add_argument("--structure", default="filters", metavar="S", help="filters (default: filters)")
    group.add_argument("--criterion", default="pls", metavar="NAME", help="l1, pls or random (default: pls)")
    group.add_argument("--macs", type=float, metavar="X", help="the share of multiply-adds that stays, in (0, 1)")
    group.add_argument("--ratio", type=float, metavar="X", help="the share of filters that leaves, in (0, 1)")
    group.add_argument("--rounds", type=int, default=1, metavar="N", help="in how many equal steps (default: 1)")
    group.add_argument("--ranking", default="global", metavar="R", help="global or per-layer (default: global)")
    group.add_argument(
        "--floor",
        type=float,
        default=0.1,
        metavar="X",
        help="the share of each group that stays at least (default: 0.1)",
    )
    group.add_argument(
        "--protect",
        action="append",
        default=[],
        metavar="PATTERN",
        help="groups that stay whole, such as 'layer1.*'; may be given several times",
    )
    group = parser.add_argument_group("training between and after")
    group.add_argument("--adjust", metavar="NAME", help="fine-tuning (default: none)")
    group.add_argument("--epochs", type=int, metavar="N", help="a round (default: 6)")
    group.add_argument("--lr", type=float, metavar="X", help="the highest learning rate (default: 0.01)")
    group.add_argument(
        "--data", default="embedded", metavar="D", help=f"{DATA}; its training images (default: embedded)"
    )
    group.add_argument("--images", type=int, metavar="N", help="only the first N training images")
    group.add_argument("--control", action="store_true", help="also train the unpruned network for as many steps")
    _model_options(parser)
    _common(parser)


def _attack(commands: Commands) -> None:
    parser = _command(
        commands,
        "attack",
        "How many images each network still gets right under each attack.",
        "  windfirm attack resnet56 --attack fgsm --eps 2/255\n"
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
        "The poster's question for two networks: is F' harder to fool than F, at the same clean accuracy?",
        "  windfirm compare resnet56 runs/half/model.safetensors --control runs/half/control.safetensors\n"
        "  windfirm compare F.safetensors small.safetensors --data cifar10 --out report.html",
    )
    parser.add_argument("f", metavar="F", help=f"the original: {MODEL}")
    parser.add_argument("f_prime", metavar="F'", help="the smaller one")
    parser.add_argument("--control", metavar="MODEL", help="F after the same extra training as F'")
    parser.add_argument("--out", metavar="FILE", help="also write a page (.html) there")
    _model_options(parser)
    _measure_options(parser)
    _common(parser)


if __name__ == "__main__":
    sys.exit(main())
