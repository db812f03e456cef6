"""The commands that look into a network, cut it, and write it for deployment."""

from windfirm.commands.declare.groups import (
    ADJUSTMENTS,
    CRITERIA,
    MODEL,
    Commands,
    command,
    common,
    defence_options,
    image_options,
    model_options,
)
from windfirm.commands.options import COUNT, FRACTION, POSITIVE, SHARE


def inspect(commands: Commands) -> None:
    """What can leave a network."""
    parser = command(
        commands,
        "inspect",
        "What can leave a network, what cannot and why; parameters and MACs.",
        "  windfirm inspect resnet56\n  windfirm inspect torchvision/resnet18 --input 3,224,224\n"
        "  windfirm inspect mypackage.nets:make --input 3,64,64",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--all", action="store_true", help="one line for every group, also where groups are alike")
    model_options(parser)
    common(parser)


def prune(commands: Commands) -> None:
    """A smaller network."""
    parser = command(
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
    group.add_argument(
        "--adjust",
        metavar="NAME",
        help=f"{ADJUSTMENTS} (default: none); interrupted and given again, the command goes on from the last epoch "
        "(not with --latency)",
    )
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
    image_options(group, "training")
    defence_options(group)
    group.add_argument("--control", action="store_true", help="also adjust the unpruned network alike")
    model_options(parser)
    common(parser)


def export(commands: Commands) -> None:
    """One file for deployment."""
    parser = command(
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
    image_options(group, "test")
    parser.set_defaults(data=None)
    model_options(parser)
    common(parser)
