"""A grammar of small networks, for hypothesis: chains of steps, branches of chains, and a head.

Every step knows how many channels of which side come in, draws its own sizes, and says what goes out. ``PLAIN`` steps
are those that every structural pruner should see through; ``STRANGE`` ones move channels about, tie them, write sizes
into the code or change values in place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.prune.nets import lively

#: Of the images that these networks take, ``(b, CHANNELS, SIDE, SIDE)``.
CHANNELS, SIDE = 3, 8

WIDTHS = (4, 6, 8, 12)

#: How a step prints that takes a statistic over the channels with no norm to tell of which ones.
CENTRED = "x - x.mean(1, keepdim=True)"

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Step(nn.Module):
    """``run(self, x)`` over the modules; ``text`` is what a failing example prints."""

    def __init__(self, text: str, run: Callable[[Any, Tensor], Tensor], **modules: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.text, self.run = text, run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)

    def extra_repr(self) -> str:
        return self.text


@dataclass(frozen=True)
class Point:
    """Where a chain has come to: channels and side of what flows there, and how deep branches may still nest."""

    channels: int
    side: int
    depth: int


Grown = tuple[nn.Module, Point]
Grow = Callable[[Draw, Point], Grown | None]


def conv(draw: Draw, at: Point) -> Grown:
    out, kernel = draw(st.sampled_from(WIDTHS)), draw(st.sampled_from((1, 3)))
    layer = nn.Conv2d(at.channels, out, kernel, padding=kernel // 2, bias=draw(st.booleans()))
    return layer, _to(at, out)


def depthwise(draw: Draw, at: Point) -> Grown:
    times = draw(st.sampled_from((1, 1, 2)))
    return nn.Conv2d(at.channels, times * at.channels, 3, padding=1, groups=at.channels), _to(at, times * at.channels)


def grouped(draw: Draw, at: Point) -> Grown | None:
    groups = draw(st.sampled_from((2, 4)))
    if at.channels % groups:
        return None
    out = groups * draw(st.sampled_from((2, 3)))
    return nn.Conv2d(at.channels, out, 3, padding=1, groups=groups), _to(at, out)


def transposed(draw: Draw, at: Point) -> Grown | None:
    if at.side > 4:
        return None
    out = draw(st.sampled_from(WIDTHS))
    return nn.ConvTranspose2d(at.channels, out, 2, 2), _to(at, out, 2 * at.side)


def pointwise_linear(draw: Draw, at: Point) -> Grown:
    out = draw(st.sampled_from(WIDTHS))
    run = lambda m, x: m.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # noqa: E731
    return Step("linear over the last axis", run, linear=nn.Linear(at.channels, out)), _to(at, out)


def batch_norm(draw: Draw, at: Point) -> Grown:
    return nn.BatchNorm2d(at.channels, affine=draw(st.booleans())), at


def group_norm(draw: Draw, at: Point) -> Grown | None:
    groups = draw(st.sampled_from((1, 2, 4)))
    return (nn.GroupNorm(groups, at.channels), at) if at.channels % groups == 0 else None


def layer_norm(draw: Draw, at: Point) -> Grown:
    run = lambda m, x: m.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # noqa: E731
    return Step("layer norm over channels", run, norm=nn.LayerNorm(at.channels)), at


def activation(draw: Draw, at: Point) -> Grown:
    return draw(st.sampled_from((nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid(), nn.SiLU(), nn.GELU()))), at


def prelu(draw: Draw, at: Point) -> Grown:
    return nn.PReLU(at.channels), at


def pool(draw: Draw, at: Point) -> Grown | None:
    if at.side < 4:
        return None
    return draw(st.sampled_from((nn.MaxPool2d(2), nn.AvgPool2d(2)))), _to(at, at.channels, at.side // 2)


def upsample(draw: Draw, at: Point) -> Grown | None:
    return (nn.Upsample(scale_factor=2), _to(at, at.channels, 2 * at.side)) if at.side < 8 else None


def add(draw: Draw, at: Point) -> Grown | None:
    branch = _branch(draw, at, back=True)
    if branch is None:
        return None
    if draw(st.booleans()):
        return Step("x + branch(x)", lambda m, x: x + m.branch(x), branch=branch[0]), at
    return Step("branch(x) += x", lambda m, x: m.branch(x).add_(x), branch=branch[0]), at


def cat(draw: Draw, at: Point) -> Grown | None:
    branch = _branch(draw, at)
    if branch is None:
        return None
    step = Step("cat(x, branch(x))", lambda m, x: torch.cat((x, m.branch(x)), 1), branch=branch[0])
    return step, _to(at, at.channels + branch[1].channels)


def excite(draw: Draw, at: Point) -> Grown:
    hidden = draw(st.sampled_from((2, 3)))
    if draw(st.booleans()):
        a, b = nn.Linear(at.channels, hidden), nn.Linear(hidden, at.channels)
        run = lambda m, x: x * m.b(F.relu(m.a(x.mean((2, 3))))).sigmoid()[:, :, None, None]  # noqa: E731
        return Step("x * linear gate", run, a=a, b=b), at
    c, d = nn.Conv2d(at.channels, hidden, 1), nn.Conv2d(hidden, at.channels, 1)
    return Step("x * conv gate", lambda m, x: x * m.d(F.relu(m.c(x.mean((2, 3), True)))).sigmoid(), c=c, d=d), at


def chunk_multiply(draw: Draw, at: Point) -> Grown | None:
    if at.channels % 2:
        return None

    def run(m: Any, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        return a * b.sigmoid()

    return Step("a, b = x.chunk(2, 1); a * b.sigmoid()", run), _to(at, at.channels // 2)


def split(draw: Draw, at: Point) -> Grown:
    """Literal sizes, one part through a branch, and the parts in another order."""
    first = draw(st.integers(1, at.channels - 1))
    sizes = [first, at.channels - first]
    branch = _branch(draw, _to(at, first))
    if branch is None:
        branch = nn.Identity(), _to(at, first)

    def run(m: Any, x: Tensor) -> Tensor:
        a, b = torch.split(x, sizes, 1)
        return torch.cat((b, m.branch(a)), 1)

    return Step(f"a, b = x.split({sizes}, 1); cat(b, branch(a))", run, branch=branch[0]), _to(
        at, sizes[1] + branch[1].channels
    )


def shuffle(draw: Draw, at: Point) -> Grown | None:
    groups = draw(st.sampled_from((2, 4)))
    if at.channels % groups:
        return None
    if draw(st.booleans()):
        return Step(f"channel_shuffle(x, {groups})", lambda m, x: F.channel_shuffle(x, groups)), at

    def run(m: Any, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)

    return Step(f"view(b, {groups}, c // {groups}, h, w).transpose(1, 2)", run), at


def pixels(draw: Draw, at: Point) -> Grown | None:
    if at.side < 8 and at.channels % 4 == 0:
        return nn.PixelShuffle(2), _to(at, at.channels // 4, 2 * at.side)
    if at.side >= 4 and at.channels <= 6:
        return nn.PixelUnshuffle(2), _to(at, 4 * at.channels, at.side // 2)
    return None


def in_place(draw: Draw, at: Point) -> Grown:
    """A view of some channels changes, and with it what it is a view of."""
    stop, times = draw(st.integers(1, at.channels)), draw(st.sampled_from((0.5, -1.0)))

    def run(m: Any, x: Tensor) -> Tensor:
        y = x * 2
        y[:, :stop].mul_(times)
        return y

    return Step(f"y = x * 2; y[:, :{stop}].mul_({times})", run), at


def shared(draw: Draw, at: Point) -> Grown:
    """The same convolution twice."""
    layer = nn.Conv2d(at.channels, at.channels, 3, padding=1)
    return Step("conv(conv(x).relu())", lambda m, x: m.conv(m.conv(x).relu()), conv=layer), at


def rolled(draw: Draw, at: Point) -> Grown:
    by = draw(st.integers(1, 3))
    return Step(f"x.roll({by}, 1).flip(1)", lambda m, x: x.roll(by, 1).flip(1)), at


def scaled(draw: Draw, at: Point) -> Grown:
    """A bare parameter for every channel."""
    scale = nn.Parameter(torch.ones(at.channels))
    return Step("x * scale[:, None, None]", lambda m, x: x * m.scale[:, None, None], scale=scale), at


def padded(draw: Draw, at: Point) -> Grown:
    """Channels of zeros behind the others."""
    extra = draw(st.integers(1, 3))
    run = lambda m, x: F.pad(x, (0, 0, 0, 0, 0, extra))  # noqa: E731
    return Step(f"{extra} channels of zeros", run), _to(at, at.channels + extra)


def centred(draw: Draw, at: Point) -> Grown:
    """A statistic over the channels, which no cut may change unseen."""
    return Step(CENTRED, lambda m, x: x - x.mean(1, keepdim=True)), at


PLAIN: tuple[Grow, ...] = (conv, conv, depthwise, batch_norm, activation, pool, add, cat, excite)
STRANGE: tuple[Grow, ...] = (
    grouped, transposed, pointwise_linear, group_norm, layer_norm, prelu, upsample, chunk_multiply, split, shuffle,
    pixels, in_place, shared, rolled, scaled, padded, centred,
)  # fmt: skip


def _to(at: Point, channels: int, side: int | None = None) -> Point:
    return Point(channels, side or at.side, at.depth)


def _chain(draw: Draw, at: Point, steps: Sequence[Grow], most: int) -> tuple[list[nn.Module], Point]:
    modules = []
    for _ in range(draw(st.integers(1, most))):
        grown = draw(st.sampled_from(steps))(draw, at)
        if grown is not None and grown[1].channels <= 24:
            modules.append(grown[0])
            at = grown[1]
    return modules, at


def _branch(draw: Draw, at: Point, back: bool = False) -> Grown | None:
    """A convolution and up to two more steps that keep the side; with ``back`` to as many channels as came in."""
    if not at.depth:
        return None
    inner = Point(at.channels, at.side, at.depth - 1)
    first, here = conv(draw, inner)
    keeps = (conv, depthwise, batch_norm, activation, add, cat, excite)
    modules, here = _chain(draw, here, keeps, 2)
    if back:
        modules.append(nn.Conv2d(here.channels, at.channels, 1))
        here = _to(here, at.channels)
    return nn.Sequential(first, *modules), here


def _head(draw: Draw, at: Point) -> list[nn.Module]:
    kind = draw(st.sampled_from(("pooled", "flat", "deep", "map")))
    flat = at.channels * at.side**2
    if kind == "pooled":
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(at.channels, 3)]
    if kind == "flat":
        return [nn.Flatten(), nn.Linear(flat, 3)]
    if kind == "deep":
        return [nn.Flatten(), nn.Linear(flat, 5), nn.ReLU(), nn.Linear(5, 3)]
    return [nn.Conv2d(at.channels, 2, 1)]


@st.composite
def networks(draw: Draw, steps: Sequence[Grow] = (*PLAIN, *STRANGE), most: int = 6) -> nn.Sequential:
    """A stem, up to ``most`` of the steps, a head; random float64 parameters, in eval mode."""
    modules, at = _chain(draw, Point(8, SIDE, 2), steps, most)
    stem = [nn.Conv2d(CHANNELS, 8, 3, padding=1), nn.ReLU()]
    network: nn.Sequential = lively(nn.Sequential(*stem, *modules, *_head(draw, at)), seed=draw(st.integers(0, 9)))
    return network
