# mypy: disable-error-code=no-any-return
"""Networks for 32×32 images, as people write them: plain modules, sizes in attributes, one idea each."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.models.registry import build


def cbr(
    i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU
) -> nn.Module:
    """Convolution, batch norm, activation."""
    layers: list[nn.Module] = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Head(nn.Sequential):
    """Global average pooling and a linear layer."""

    def __init__(self, channels: int, classes: int = 10) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Residual(nn.Module):
    """``act(body(x) + shortcut(x))``."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, act: bool = True) -> None:
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act

    def forward(self, x: Tensor) -> Tensor:
        """Add the two ways."""
        y = self.body(x) + self.shortcut(x)
        return F.relu(y) if self.act else y


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Scale every channel by its gate."""
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * gate.view(gate.size(0), gate.size(1), 1, 1)


class PreAct(nn.Module):
    """Norm and activation before each convolution; the shortcut leaves after the first activation."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(o), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        if stride != 1 or i != o:
            self.shortcut = nn.Conv2d(i, o, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut exists only where it is needed."""
        y = F.relu(self.norm1(x))
        short = self.shortcut(y) if hasattr(self, "shortcut") else x
        return short + self.conv2(F.relu(self.norm2(self.conv1(y))))


class Dense(nn.Module):
    """A bottleneck layer of a DenseNet: its output joins its input."""

    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, 4 * growth, 1, bias=False))
        self.b = nn.Sequential(
            nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """New channels first, as the usual code has it."""
        return torch.cat([self.b(self.a(x)), x], 1)


class PadShortcut(nn.Module):
    """Every second pixel, and zeros for the channels that are new (option A; a PyramidNet's shortcut)."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros behind the channels there are."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class Shuffle1(nn.Module):
    """ShuffleNet's unit: grouped 1×1 convolutions with a shuffle between them, written with literal sizes."""

    def __init__(self, i: int, o: int, stride: int, groups: int) -> None:
        super().__init__()
        out = o - i if stride == 2 else o
        self.groups, self.stride, middle = groups, stride, o // 4
        self.a, self.b = cbr(i, middle, 1, groups=groups), cbr(middle, middle, 3, stride, middle, act=None)
        self.c = cbr(middle, out, 1, groups=groups, act=None)

    def forward(self, x: Tensor) -> Tensor:
        """Add, or concatenate where the size halves."""
        y = self.a(x)
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).permute(0, 2, 1, 3, 4).reshape(n, c, h, w)
        y = self.c(self.b(y))
        return F.relu(torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1) if self.stride == 2 else y + x)


class Shuffle2(nn.Module):
    """ShuffleNet V2's unit: half of the channels pass, the halves are joined and shuffled."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.whole, half = i != o, o // 2
        inner = i if self.whole else half
        self.right = nn.Sequential(cbr(inner, half, 1), cbr(half, half, 3, stride, half, act=None), cbr(half, half, 1))
        self.left = nn.Sequential(cbr(i, i, 3, stride, i, act=None), cbr(i, half, 1)) if self.whole else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Split, work on one half, join, shuffle."""
        left, right = (x, x) if self.whole else x.chunk(2, dim=1)
        y = torch.cat((self.left(left), self.right(right)), 1)
        n, c, h, w = y.size()
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class Inverted(nn.Module):
    """MobileNet V2's unit, with a gate where ``gate`` is set."""

    def __init__(self, i: int, o: int, stride: int, expand: int, gate: bool = False) -> None:
        super().__init__()
        inner = i * expand
        parts = [cbr(i, inner, 1, act=nn.Hardswish), cbr(inner, inner, 3, stride, inner, act=nn.Hardswish)]
        self.body = nn.Sequential(*parts, *([Squeeze(inner)] if gate else []), cbr(inner, o, 1, act=None))
        self.adds = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        """Add where the shapes agree."""
        return x + self.body(x) if self.adds else self.body(x)


class Inception(nn.Module):
    """Four ways side by side."""

    def __init__(self, i: int, a: int, b: int, c: int, d: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(
            [
                cbr(i, a, 1),
                nn.Sequential(cbr(i, b // 2, 1), cbr(b // 2, b)),
                nn.Sequential(cbr(i, c // 2, 1), cbr(c // 2, c), cbr(c, c)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), cbr(i, d, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Join them."""
        return torch.cat([way(x) for way in self.ways], 1)


class Dual(nn.Module):
    """A dual-path unit: part of the output is added, part is appended."""

    def __init__(self, i: int, add: int, grow: int, first: bool) -> None:
        super().__init__()
        self.add = add
        self.body = nn.Sequential(cbr(i, 32, 1), cbr(32, 32, 3, groups=4), cbr(32, add + grow, 1, act=None))
        self.shortcut = cbr(i, add + grow, 1, act=None) if first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Slices with the literal number of added channels."""
        y, x = self.body(x), self.shortcut(x)
        d = self.add
        return F.relu(torch.cat([x[:, :d] + y[:, :d], x[:, d:], y[:, d:]], 1))


class Aggregate(nn.Module):
    """A small tree of deep layer aggregation."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.left, self.right, self.root = cbr(i, o), cbr(o, o), cbr(2 * o, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Both levels reach the root."""
        a = self.left(x)
        return self.root(torch.cat([a, self.right(a)], 1))


class Reparam(nn.Module):
    """RepVGG's unit in training: 3×3, 1×1 and the identity, each with its norm."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.three, self.one = cbr(i, o, 3, stride, act=None), cbr(i, o, 1, stride, act=None)
        self.same = nn.BatchNorm2d(i) if i == o and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Their sum."""
        y = self.three(x) + self.one(x)
        return F.relu(y if self.same is None else y + self.same(x))


def _basic(i: int, o: int, s: int, gate: bool = False) -> nn.Module:
    body = nn.Sequential(cbr(i, o, 3, s), cbr(o, o, act=None), *([Squeeze(o)] if gate else []))
    return Residual(body, cbr(i, o, 1, s, act=None) if s != 1 or i != o else None)


def _bottleneck(i: int, o: int, s: int, groups: int) -> nn.Module:
    body = nn.Sequential(cbr(i, o // 2, 1), cbr(o // 2, o // 2, 3, s, groups), cbr(o // 2, o, 1, act=None))
    return Residual(body, cbr(i, o, 1, s, act=None) if s != 1 or i != o else None)


def _pyramid(i: int, o: int, s: int) -> nn.Module:
    body = nn.Sequential(nn.BatchNorm2d(i), cbr(i, o, 3, s), nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
    return Residual(body, PadShortcut(o - i, s), act=False)


def _separable(i: int, o: int, s: int) -> nn.Module:
    return nn.Sequential(cbr(i, i, 3, s, i), cbr(i, o, 1))


def _averaged(i: int, o: int, s: int) -> nn.Module:
    short = nn.Sequential(*([nn.AvgPool2d(2)] if s == 2 else []), cbr(i, o, 1, act=None))
    return Residual(nn.Sequential(cbr(i, o, 3, s), cbr(o, o, act=None)), short)


def _aggregate(i: int, o: int, s: int) -> nn.Module:
    return nn.Sequential(Aggregate(i, o), nn.MaxPool2d(s))


def _stages(block: Callable[[int, int, int], nn.Module], widths: Sequence[int], depth: int) -> nn.Module:
    """A stem of ``widths[0]`` channels and a stage for each other width; all but the first halve the size."""
    layers = [cbr(3, widths[0])]
    for number, (i, o) in enumerate(pairwise(widths)):
        layers += [block(i, o, 2 if number else 1), *(block(o, o, 1) for _ in range(depth - 1))]
    return nn.Sequential(*layers, Head(widths[-1]))


def _dense(growth: int = 12, depth: int = 6) -> nn.Module:
    channels, layers = 2 * growth, [nn.Conv2d(3, 2 * growth, 3, 1, 1, bias=False)]
    stack: list[nn.Module] = list(layers)
    for stage in range(3):
        for _ in range(depth):
            stack.append(Dense(channels, growth))
            channels += growth
        if stage < 2:
            stack += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*stack, nn.BatchNorm2d(channels), nn.ReLU(), Head(channels))


def _lenet() -> nn.Module:
    convs = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    linears = [nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*convs, *linears)


def _plain(widths: Sequence[int], norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for i, o in zip((3, *widths), widths, strict=False):
        layers += [cbr(i, o)] if norm else [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] if o > i > 3 else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * widths[-1], 128), nn.Dropout(),
                         nn.Linear(128, 10))  # fmt: skip


def _in_network() -> nn.Module:
    layers = []
    for i, o in ((3, 48), (48, 96), (96, 96)):
        layers += [nn.Conv2d(i, o, 5, padding=2), nn.ReLU(), nn.Conv2d(o, o, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*layers, nn.Conv2d(96, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _shuffle1() -> nn.Module:
    units = [Shuffle1(24, 120, 2, 3), Shuffle1(120, 120, 1, 3), Shuffle1(120, 240, 2, 3), Shuffle1(240, 240, 1, 3)]
    return nn.Sequential(cbr(3, 24), *units, Head(240))


def _google() -> nn.Module:
    ways = [Inception(32, 16, 32, 8, 8), Inception(64, 32, 48, 24, 24), nn.MaxPool2d(2), Inception(128, 32, 48, 24, 24)]
    return nn.Sequential(cbr(3, 32), *ways, Head(128))


def _dual() -> nn.Module:
    units = [
        Dual(16, 48, 8, True),
        Dual(64, 48, 8, False),
        Dual(72, 48, 8, False),
        nn.MaxPool2d(2),
        Dual(80, 64, 8, True),
    ]
    return nn.Sequential(cbr(3, 16), *units, Head(80))


CIFAR: dict[str, Callable[[], nn.Module]] = {
    "resnet20": lambda: build("resnet20"),
    "resnet56": lambda: build("resnet56"),
    "mobilenet-v2": lambda: build("mobilenet-v2"),
    "vgg16-bn": lambda: build("vgg16-bn"),
    "lenet": _lenet,
    "vgg-plain": lambda: _plain((32, 32, 64, 64, 96), norm=False),
    "vgg-norm": lambda: _plain((32, 32, 64, 64, 96), norm=True),
    "network-in-network": _in_network,
    "resnet-se": lambda: _stages(lambda i, o, s: _basic(i, o, s, gate=True), (16, 16, 32, 64), 2),
    "resnet-d": lambda: _stages(_averaged, (16, 16, 32, 64), 2),
    "resnext": lambda: _stages(lambda i, o, s: _bottleneck(i, o, s, 4), (16, 32, 64, 128), 2),
    "bottleneck": lambda: _stages(lambda i, o, s: _bottleneck(i, o, s, 1), (16, 32, 64, 128), 2),
    "preact": lambda: _stages(PreAct, (16, 16, 32, 64), 2),
    "wrn-16-4": lambda: _stages(PreAct, (16, 64, 128, 256), 2),
    "pyramidnet": lambda: _stages(_pyramid, (16, 24, 40, 56), 2),
    "densenet-bc": _dense,
    "mobilenet-v1": lambda: _stages(_separable, (32, 64, 128, 256), 2),
    "mobilenet-v3": lambda: _stages(lambda i, o, s: Inverted(i, o, s, 3, gate=True), (16, 24, 40, 64), 2),
    "shufflenet": _shuffle1,
    "shufflenet-v2": lambda: _stages(Shuffle2, (24, 48, 96, 192), 2),
    "googlenet": _google,
    "dual-path": _dual,
    "dla": lambda: _stages(_aggregate, (16, 32, 64, 128), 2),
    "repvgg": lambda: _stages(Reparam, (16, 32, 64, 128), 2),
}  # fmt: skip
