"""The commands that measure and answer."""

from windfirm.commands.declare.groups import MODEL, Commands, command, common, measure_options, model_options
from windfirm.commands.options import MARGIN, NONE_OR_MORE, SWEEP


def quickstart(commands: Commands) -> None:
    """The main job in minutes."""
    parser = command(
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
    common(parser)


def attack(commands: Commands) -> None:
    """Robust accuracy."""
    parser = command(
        commands,
        "attack",
        "How many images networks still get right under each attack.",
        "  windfirm attack resnet56 --attack fgsm --eps 2/255\n"
        "  windfirm attack resnet56 --attack pgd --attack apgd-ce --eps 1/255 --option restarts=5\n"
        "  windfirm attack runs/*/model.safetensors --data cifar10 --attack clean --attack occlusion",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL)
    model_options(parser)
    measure_options(parser)
    common(parser)


def compare(commands: Commands) -> None:
    """The poster's question."""
    parser = command(
        commands,
        "compare",
        "Is F' harder to fool than F at the same clean accuracy? Paired tests.",
        "  windfirm compare resnet56 runs/half/model.safetensors --control runs/half/control.safetensors\n"
        "  windfirm compare F.safetensors small.safetensors --data cifar10 --out report.html\n"
        "  windfirm compare resnet56 runs/half --out report.html --sweep pgd --sweep occlusion:size=4,8,12",
    )
    parser.add_argument("f", metavar="F", help=f"the original: {MODEL}")
    parser.add_argument("f_prime", metavar="F'", help="the smaller one")
    parser.add_argument("--control", metavar="MODEL", help="F after the same extra training as F'")
    parser.add_argument("--out", metavar="FILE", help="also write a page (.html) there")
    parser.add_argument(
        "--sweep",
        action="append",
        type=SWEEP,
        default=[],
        metavar="NAME[:OPTION=V,V,…]",
        help="also a curve of an attack against eps (fgsm, pgd) or against one of its numbers (occlusion:size=4,8,12, "
        "semantic:turn=0.1,0.25,0.5, gaussian-noise:severity=1,2,3,4,5), for --out or --json; may be given several "
        "times",
    )
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
    model_options(parser)
    measure_options(parser)
    common(parser)
