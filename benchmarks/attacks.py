"""Attacks beside those of public libraries: robust accuracy image by image, and time.

The same process, network and images, float32. Each side answers which images stay right: Windfirm by its evaluator,
with its clean predictions, its checks and its own judgement of what comes back; a library by a call for every
``--batch`` images, as many as Windfirm takes at once, after which the network is asked once more. Seconds are those of
the processor, all threads together, and of the clock where a GPU works. On a GPU Windfirm searches in TF32, judges in
float32 and searches again what the two see differently; a library does all in float32, since it would stop at images
that only TF32 takes for fooled. Its images lie in memory as that is quickest, or with ``--as-loaded`` as loaders give
them, channel after channel, which is slower on a processor. The libraries that are installed take part, the others are
left out.

    python -m benchmarks.attacks --images 128 --attacks fgsm,pgd-10 --eps 8/255,1/255

For agreement alone, which takes many images, ``--folded`` gives libraries the network that Windfirm searches, so that
they answer sooner, and ``--start`` does a part of the images:

    python -m benchmarks.attacks --attacks autoattack --eps 1/255 --folded --start 200 --images 100

An attack that takes thousands of questions where it has no chance, as Square where eps is small, can be spared most of
them: with ``--beyond 1.25`` images that APGD-CE does not fool within 1.25 times eps count as right on all sides unseen.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.attack_peers import PEERS, Run, installed
from benchmarks.train import processor, wait
from windfirm import data
from windfirm.attack import build, parse_eps, show_eps
from windfirm.attack.budget import Attack
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.evaluate import evaluate
from windfirm.evaluate.fold import folded
from windfirm.evaluate.loop import SAMPLE
from windfirm.evaluate.network import private
from windfirm.models.device import batch_size, in_float32, pick
from windfirm.models.layout import filters, layout
from windfirm.models.source import open_model

#: What Windfirm calls the attacks of PEERS that have other names there.
OURS: dict[str, tuple[str, dict[str, Any]]] = {"pgd-10": ("pgd", {"steps": 10}), "pgd-50": ("pgd", {"steps": 50})}


@dataclass(frozen=True)
class Result:
    """Which images were right in the end, (n,) bool, and the seconds that it took."""

    right: Tensor
    seconds: float


def timed(work: Callable[[], Tensor], repeats: int, device: torch.device) -> Result:
    """What ``work`` finds, and the shortest of the times that it takes: the processor's, with a GPU the clock's."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds = []
    for _ in range(repeats):
        wait(device)
        start = clock()
        right = work()
        seconds.append(clock() - start)
    return Result(right, min(seconds))


def ours(model: nn.Module, images: Images, attack: Attack, eps: float, device: torch.device) -> Tensor:
    """The images that stay right under an attack of Windfirm's."""
    return torch.from_numpy(evaluate(model, images, attack, eps=eps, device=device).correct) == 1


def theirs(model: nn.Module, images: Images, run: Run, eps: float, form: torch.memory_format, batch: int) -> Tensor:
    """The images that stay right under an attack of a library's, clean and attacked, as the network itself says."""
    device = next(model.parameters()).device
    right = []
    for some in torch.split(torch.arange(len(images)), batch):
        pixels, labels = to_float(images.images[some].to(device)), images.labels[some].to(device)
        pixels = pixels.contiguous(memory_format=form)
        with in_float32():
            changed = run(pixels, labels, eps).detach().to(device)
        if (changed - pixels).abs().max() > eps + 1e-5 or changed.min() < 0 or changed.max() > 1:
            raise ValueError("images outside the budget")
        with torch.no_grad(), in_float32():
            clean, attacked = (model(x).argmax(1) == labels for x in (pixels, changed))
        right.append(torch.logical_and(clean, attacked).cpu())
    return torch.cat(right)


def quicker(model: nn.Module, images: Images, device: torch.device) -> nn.Module:
    """The same network, as quick as Windfirm makes it for its own searches: folded, its weights without gradients."""
    sample = to_float(images.images[:SAMPLE].to(device))
    network = folded(private(model, device, images.images), sample)
    filters(network, layout(device))
    return network


def fallible(model: nn.Module, images: Images, eps: float) -> Images:
    """Those of ``images`` that are wrong, or that APGD-CE fools within ``eps``."""
    attack = build("apgd-ce", images.side)
    return images[~ours(model, images, attack, eps, next(model.parameters()).device)]


def compare(
    model: nn.Module,
    given: nn.Module,
    images: Images,
    name: str,
    eps: float,
    repeats: int,
    libraries: Sequence[str],
    form: torch.memory_format,
    batch: int,
    beyond: float | None,
) -> None:
    """Print a line for each of ``libraries``, with its time as a multiple of ours where windfirm is among them.

    ``given``: what libraries attack, in the place of ``model``, which answers in the end; ``form``: how their images
    lie in memory; ``batch``: how many of them they are given at once; ``beyond``: see the module.
    """
    seen = images if beyond is None else fallible(model, images, beyond * eps)
    unseen = len(images) - len(seen)
    device = next(model.parameters()).device
    attack, options = OURS.get(name, (name, {}))
    built = build(attack, images.side, **options)
    where = f"{name:<11}{show_eps(eps):<10}"
    here = None
    if "windfirm" in libraries:
        here = timed(lambda: ours(model, seen, built, eps, device), repeats, device)
        print(f"{where}{'windfirm':<14}{unseen + int(here.right.sum()):>6}{'':>8}{here.seconds:>9.2f}", flush=True)
    for library, make in PEERS[name].items():
        if library not in libraries:
            continue
        module = installed(library)
        if module is None:
            print(f"{where}{library:<14}not here, left out", flush=True)
            continue
        run = make(module, given)
        there = timed(lambda run=run: theirs(model, seen, run, eps, form, batch), repeats, device)  # type: ignore[misc]
        alike = unseen + int((there.right == here.right).sum()) if here else ""
        ratio = f"{there.seconds / here.seconds:.2f}" if here else ""
        line = f"{unseen + int(there.right.sum()):>6}{alike:>8}{there.seconds:>9.2f}{ratio:>8}"
        print(f"{where}{library:<14}{line}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Attacks beside those of public libraries.")
    parser.add_argument("--network", default="resnet56", help="a checkpoint or a built-in name")
    parser.add_argument("--data", default="embedded", help="embedded or cifar10; the first of its test images")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--start", type=int, default=0, help="how many images are left out before them")
    parser.add_argument("--folded", action="store_true", help="libraries, too, attack a network without normalisations")
    parser.add_argument("--as-loaded", action="store_true", help="libraries get images channel after channel")
    parser.add_argument("--batch", type=int, help="how many images libraries are given at once; default: as Windfirm")
    parser.add_argument("--beyond", type=float, help="images that APGD-CE leaves at so many times eps are right unseen")
    parser.add_argument("--attacks", default="fgsm,pgd-10,apgd-ce", help=f"out of {', '.join(PEERS)}")
    parser.add_argument("--eps", default="8/255", help="one or more, separated by commas")
    parser.add_argument("--libraries", default="windfirm,torchattacks,foolbox,adv-lib,ART,pyautoattack,float64")
    parser.add_argument("--repeats", type=int, default=1, help="the shortest time counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    images = data.load(arguments.data, "test", limit=arguments.start + arguments.images)[arguments.start :]
    device = pick(arguments.device)
    batch = arguments.batch or batch_size(device, images.images.shape)
    model = open_model(arguments.network).model.eval().to(device)
    form = torch.contiguous_format if arguments.as_loaded else layout(device)
    given = quicker(model, images, device) if arguments.folded else model
    print(f"{arguments.network}, {len(images):,} images of {images.name}, float32; libraries get {batch} at once")
    if arguments.as_loaded:
        print("libraries get images channel after channel, as loaders give them")
    if arguments.folded:
        print(f"libraries attack it folded, from image {arguments.start} on: times are no comparison")
    if arguments.beyond:
        print(f"what APGD-CE leaves at {arguments.beyond:g} times eps counts as right unseen; times are of the others")
    print(f"{processor(device)}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")
    print(f"{'attack':<11}{'eps':<10}{'':<14}{'right':>6}{'alike':>8}{'seconds':>9}{'ratio':>8}")
    evaluate(model, images[: min(len(images), 32)], build("fgsm", images.side), device=device)  # warms up
    names = arguments.libraries.split(",")
    for name in arguments.attacks.split(","):
        for eps in arguments.eps.split(","):
            compare(model, given, images, name, parse_eps(eps), arguments.repeats, names, form, batch, arguments.beyond)


if __name__ == "__main__":
    main()
