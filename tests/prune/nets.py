"""Small networks for the tests of this room, with nothing left at its initial value."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles import cut_error
from windfirm import seeds
from windfirm.prune.criteria import criterion, score
from windfirm.prune.criteria.base import Scores, Subject
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut, eligible, select
from windfirm.prune.structure import Structure, anatomy

EXAMPLE = torch.zeros(1, 2, 8, 8, dtype=torch.float64)


def lively(model: nn.Module, seed: int = 0) -> Any:
    """Every parameter and statistic random, in float64 and eval mode, so that no equality is a matter of course."""
    generator = seeds.stream(seed, "lively")
    model = model.double().eval()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point() and not name.endswith((".before", ".after")):
                low, high = (0.5, 1.5) if "running_var" in name else (-0.6, 0.6)
                if tensor.ndim == 1 and name.endswith("weight"):
                    low, high = 0.5, 1.5
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * (high - low) + low)
    return model


def random_cut(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor] = EXAMPLE,
    ratio: float = 0.4,
    seed: int = 0,
    protect: Sequence[str] = (),
) -> Cut:
    structures = eligible(anatomy(model, inputs).structures, protect)
    scores = score("random", model, structures, seed=seed)
    return select(structures, scores, ratio=ratio, floor=0)


def proved(
    model: nn.Module, example: Tensor | Sequence[Tensor] = EXAMPLE, ratio: float = 0.4, seed: int = 0
) -> tuple[nn.Module, Cut, float]:
    """The cut network, the cut, and its error by the oracle on inputs that the package has not seen."""
    chosen = random_cut(model, example, ratio, seed)
    smaller = cut(model, chosen, example)
    examples = (example,) if isinstance(example, Tensor) else tuple(example)
    inputs = [torch.randn(3, *e.shape[1:], dtype=torch.float64) for e in examples]
    return smaller, chosen, cut_error(model, smaller, chosen.kept(), inputs)


def frozen(model: nn.Module, example: Tensor | Sequence[Tensor] = EXAMPLE) -> dict[str, str | None]:
    """Every structure by name, with the reason why it is frozen or None."""
    return {s.name: s.frozen for s in anatomy(model, example).structures}


class Net(nn.Module):
    """Modules by name and a function that runs them: ``Net(lambda m, x: m.b(m.a(x)), a=…, b=…)``."""

    def __init__(self, run: "Callable[[Net, Tensor], Any]", **modules: nn.Module | Tensor) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


def residual() -> Any:
    """Three blocks of 4 channels and two of 8; each costs 2 * 64 * 4 * 4 * 9 = 18,432 of the 101,400 MACs."""

    def stage(i: int, o: int, stride: int, blocks: int) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.ReLU(), *(Block(o) for _ in range(blocks))]

    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    return lively(nn.Sequential(*stage(2, 4, 1, 3), *stage(4, 8, 2, 2), *ends))


MARKS = {"2": 0.1, "3": 0.2, "4": 0.3, "7": 0.4, "8": 0.15}


@criterion("given")
def given(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Blocks by the table above, filters by their number."""
    return {s: torch.tensor([MARKS[s.name]]) if s.kind == "block" else torch.arange(s.size) for s in structures}
