"""Pruning criteria: ``windfirm.prune.criteria`` beside the way that public code computes them, in one run.

The other way (see criteria_plain) runs the network once more for every layer, or for every silenced filter. Both score
all filters that can go (the divergence those that one layer alone reads) of the same network on the same images, and
every score is compared. Seconds are those of a clock; tracing the network, which pruning needs anyway, is timed apart.

    python -m benchmarks.criteria --network resnet56 --images 512
    python -m benchmarks.criteria --criteria kl-divergence --kl-images 256 --kl-sample 40
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks import criteria_plain as plain
from benchmarks.train import processor
from windfirm import data
from windfirm.data.augment import to_float
from windfirm.data.batches import Batches
from windfirm.data.images import Images
from windfirm.models.device import batch_size
from windfirm.models.source import open_model, shipped
from windfirm.prune.criteria import CRITERIA, scores
from windfirm.prune.criteria.rank import ranks
from windfirm.prune.select import eligible
from windfirm.prune.structure import Anatomy, Structure, anatomy

T = TypeVar("T")

KL = "kl-divergence"
TOGETHER = ("l1", "pls", "expected-abs", "hrank")

#: How many images' maps are ranked both ways one by one.
RANKED = 32


@dataclass(frozen=True)
class Case:
    """A network, what is scored, and the images."""

    model: nn.Module
    body: Anatomy
    structures: list[Structure]
    groups: list[plain.Group]
    images: Images

    def first(self, count: int) -> "Case":
        """The same with fewer images."""
        return replace(self, images=self.images[:count])

    def read_once(self) -> "Case":
        """The same with the groups that one layer alone reads: those that the poster prunes."""
        pairs = [(s, group) for s, group in zip(self.structures, self.groups, strict=True) if group.reader is not None]
        return replace(self, structures=[s for s, _ in pairs], groups=[group for _, group in pairs])

    @property
    def floats(self) -> Tensor:
        """All images at once in [0, 1]."""
        return to_float(self.images.images)

    def ours(self, *names: str) -> dict[str, list[Tensor]]:
        """Our scores by criterion, in the order of the groups."""
        batches = Batches(self.images, batch_size(None))
        found = scores(names, self.model, self.structures, batches, body=self.body)
        return {name: [found[name].scores[s] for s in self.structures] for name in names}


@dataclass(frozen=True)
class Line:
    """One line of the table: seconds both ways, and how far the scores agree."""

    name: str
    images: int
    plain: float
    ours: float
    spearman: float
    difference: float
    note: str = ""

    def __str__(self) -> str:
        ratio = self.plain / self.ours
        return (
            f"{self.name:<15}{self.images:>7,}{self.plain:>11.2f}{self.ours:>10.2f}{ratio:>8.1f}"
            f"{self.spearman:>12.6f}{self.difference:>14.1e}  {self.note}"
        ).rstrip()


HEAD = f"{'criterion':<15}{'images':>7}{'plain, s':>11}{'ours, s':>10}{'ratio':>8}{'Spearman':>12}{'difference':>14}"


def open_network(name: str, images: Images) -> nn.Module:
    """The shipped network; one without trained weights gets random normalisations, with the images' statistics."""
    model = open_model(name, weights=shipped(name) is not None).model.eval()
    if shipped(name) is None:
        generator = torch.Generator().manual_seed(0)
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        with torch.no_grad():
            for norm in norms:
                norm.weight.uniform_(0.5, 1.5, generator=generator)
                norm.bias.normal_(0, 0.3, generator=generator)
                norm.train().momentum = 1.0
            model(to_float(images[:64].images))
        model.eval()
    return model


def prepare(network: str, images: Images) -> tuple[Case, float]:
    """The case, with all groups that can go, and the seconds that tracing the network took."""
    model = open_network(network, images)
    body, seconds = timed(lambda: anatomy(model, to_float(images[:1].images)))
    structures = list(eligible(body.structures))
    known = plain.layers(model)
    groups = []
    for structure in structures:
        own = [known[piece.tensor.removesuffix(".weight")] for piece in structure.producers]
        readers = {reader for _, reader in own}
        alone = readers.pop() if len(readers) == 1 else None
        units = tuple(piece.indices for piece in structure.producers)
        groups.append(plain.Group(tuple(layer for layer, _ in own), units, alone))
    return Case(model, body, structures, groups, images), seconds


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """A result and the seconds it took."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def compare(case: Case, name: str) -> Line:
    """One criterion both ways."""
    args = case.model, case.groups, case.floats, case.images.labels
    other, plain_seconds = timed(lambda: plain.PLAIN[name](*args))
    ours, seconds = timed(lambda: case.ours(name)[name])
    note = ""
    if name == "pls":
        exact = plain.exact_pls(*args)
        note = f"against the exact solution; scikit-learn's is {difference(other, exact):.0e} off"
        other = exact
    return Line(name, len(case.images), plain_seconds, seconds, spearman(ours, other), difference(ours, other), note)


def compare_kl(case: Case, sample: int | None) -> Line:
    """The divergence both ways; of the other way only ``sample`` units, evenly spread."""
    units = [(g, channel) for g, group in enumerate(case.groups) for channel in range(group.size)]
    count = min(sample or len(units), len(units))
    chosen = [units[i * len(units) // count] for i in range(count)]
    other, plain_seconds = timed(
        lambda: plain.kl_divergence(case.model, case.groups, case.floats, case.images.labels, chosen)
    )
    found, seconds = timed(lambda: case.ours(KL)[KL])
    ours = [torch.stack([found[g][channel] for g, channel in chosen])]
    note = "" if count == len(units) else f"plain extrapolated from {count} of {len(units):,} filters"
    plain_seconds *= len(units) / count
    return Line(KL, len(case.images), plain_seconds, seconds, spearman(ours, [other]), difference(ours, [other]), note)


def spearman(ours: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The rank correlation over all filters."""
    return float(spearmanr(torch.cat(list(ours)), torch.cat(list(other))).statistic)


def difference(ours: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest relative difference; scores below a millionth of the largest count as that."""
    a, b = torch.cat(list(ours)), torch.cat(list(other))
    return float(((a - b).abs() / b.abs().clamp(min=1e-6 * float(b.abs().max()))).max())


def compare_ranks(case: Case) -> Iterator[str]:
    """The ranks of single maps both ways, on the same maps."""
    maps: dict[tuple[int, int], list[Tensor]] = {}
    for group in case.groups:
        for layer in group.layers:
            for out in plain.outputs(case.model, layer.module, case.floats[:RANKED]):
                maps.setdefault((out.shape[2], out.shape[3]), []).append(layer.activation(out))
    for (height, width), parts in maps.items():
        other, plain_seconds = timed(partial(each, plain.one_by_one, parts))
        ours, seconds = timed(partial(each, ranks, parts))
        count = sum(part.numel() for part in other)
        equal = sum(int((a == b).sum()) for a, b in zip(ours, other, strict=True))
        yield (
            f"{height}×{width}: {equal:,} of {count:,} ranks equal; µs a map: plain {plain_seconds / count * 1e6:.1f}, "
            f"ours {seconds / count * 1e6:.2f}, ratio {plain_seconds / seconds:.1f}"
        )


def each(rank: Callable[[Tensor], Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    """The ranks of each part's maps."""
    return [rank(part) for part in parts]


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Pruning criteria beside the way that public code computes them.")
    parser.add_argument("--network", default="resnet56", choices=["resnet56", "resnet20", "mobilenet-v2"])
    parser.add_argument("--data", default="embedded", help="embedded or cifar10; the first of its training images")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--criteria", default=",".join((*TOGETHER, KL)), help="names, separated by commas")
    parser.add_argument("--kl-images", type=int, default=256)
    parser.add_argument("--kl-sample", type=int, help="of the other way, only so many filters, evenly spread")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = arguments.criteria.split(",")
    known = [name for name in names if name in CRITERIA and name in (*plain.PLAIN, KL)]
    images = data.load(arguments.data, "train", limit=max(arguments.images, arguments.kl_images))
    case, tracing = prepare(arguments.network, images)
    few, many = case.first(arguments.kl_images).read_once(), case.first(arguments.images)
    filters = sum(group.size for group in case.groups)
    print(f"{arguments.network}, {filters:,} filters in {len(case.groups)} groups; images of {images.name}")
    print(f"{processor(torch.device('cpu'))}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    print(f"tracing and coupling, once: {tracing:.2f} s")

    case.first(16).ours("l1")
    plain.log_softmax(case.model, case.first(16).floats)  # warms up
    together = [name for name in TOGETHER if name in CRITERIA]
    before = peak()
    _, seconds = timed(lambda: many.ours(*together))  # first, while nothing else has raised the peak
    print(
        f"{', '.join(together)} together, {len(many.images):,} images: {seconds:.2f} s, "
        f"peak {peak():.0f} MB ({before:.0f} MB before)\n"
    )
    print(HEAD)
    for name in known:
        print(compare_kl(few, arguments.kl_sample) if name == KL else compare(many, name), flush=True)
    for name in names:
        if name not in known:
            print(f"{name:<15}not here, left out")
    if "hrank" in known:
        print(f"\nranks, map by map, of {min(RANKED, len(many.images))} images")
        for line in compare_ranks(many):
            print(line, flush=True)


if __name__ == "__main__":
    main()
