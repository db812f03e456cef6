"""The commands that train."""

from windfirm.commands.declare.groups import (
    DATA,
    Commands,
    command,
    common,
    defence_options,
    normalisation_options,
    size_options,
)
from windfirm.commands.options import COUNT, NONE_OR_MORE, NUMBER, POSITIVE, SEEDS, SHARE

ARCH = (
    "resnet20, 32, 44, 56 or 110, mobilenet-v2, vgg16-bn, timm/NAME, torchvision/NAME, or package.module:factory, "
    "whose network is trained as it comes"
)


def train(commands: Commands) -> None:
    """A baseline F."""
    parser = command(
        commands,
        "train",
        "Train a baseline F; when it was interrupted, go on from its last epoch.",
        "  windfirm train resnet56 --data cifar10\n"
        "  windfirm train resnet20 --data embedded --epochs 9 --out runs/small\n"
        "  windfirm train resnet20 --defence fast-at --eps 8/255 --out runs/firm\n"
        "  windfirm train resnet20 --probe 1000 --keep fgsm --seeds 0,1,2\n"
        "  torchrun --nproc-per-node 2 -m windfirm.cli train resnet56",
    )
    parser.add_argument("arch", metavar="ARCH", help=ARCH)
    parser.add_argument("--data", default="cifar10", metavar="D", help=f"{DATA} (default: cifar10)")
    size_options(parser)
    normalisation_options(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the weights, initial and trained (default: runs/ARCH, with a defence runs/ARCH-DEFENCE)",
    )
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
    defence_options(parser)
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
    common(parser)


def train_stylizer(commands: Commands) -> None:
    """What two defences need."""
    parser = command(
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
    size_options(parser)
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
    common(parser)
