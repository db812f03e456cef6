# mypy: disable-error-code=no-any-return
"""Small networks, each with one feature that makes cutting hard; all of them run, train and export."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo_cifar import Head, Residual, cbr

Run = Callable[[Any, Tensor], Any]


class Net(nn.Module):
    """Modules by name and a function that runs them: ``Net(lambda m, x: m.head(m.stem(x)), stem=…, head=…)``."""

    def __init__(self, run: Run, **modules: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        """What ``run`` makes of the modules and the input."""
        return self.run(self, x)


def _between(run: Run, i: int = 32, o: int = 32, **modules: nn.Module | nn.Parameter) -> nn.Module:
    """A stem of ``i`` channels, the feature under test, and a head for ``o`` channels that reads them all."""
    return nn.Sequential(cbr(3, i), Net(run, **modules), cbr(o, 24), Head(24))


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * 0.3 + 1)


def _conv(i: int = 32, o: int = 32, **kwargs: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1, **kwargs)


# ---------------------------------------------------------------- data movement


def _in_place_view(m: Any, x: Tensor) -> Any:
    """Half of the channels change in place through a view, and the whole is read afterwards."""
    y = m.conv(x)
    half = y[:, :16]
    half.add_(1)
    y[:, 16:].mul_(0.5)
    return F.relu(y)


def _shuffle(m: Any, x: Tensor) -> Any:
    return m.b(F.channel_shuffle(m.a(x), 4))


def _chunk_multiply(m: Any, x: Tensor) -> Any:
    a, b = m.conv(x).chunk(2, 1)
    return a * torch.sigmoid(b)


def _split_literal(m: Any, x: Tensor) -> Any:
    a, b, c = torch.split(m.conv(x), [8, 16, 24], 1)
    return torch.cat([F.relu(c), m.middle(b), a.tanh()], 1)


def _rotate(m: Any, x: Tensor) -> Any:
    """The channels are rolled and flipped, and every second one changes sign."""
    y = torch.roll(m.conv(x), 5, 1).flip(1)
    return torch.stack((y[:, ::2], -y[:, 1::2]), 2).flatten(1, 2)


def _pixels(m: Any, x: Tensor) -> Any:
    return F.pixel_unshuffle(m.after(F.pixel_shuffle(m.conv(x), 2)), 2)


def _grouped_view(m: Any, x: Tensor) -> Any:
    """The channels of each group of a convolution are averaged, with literal sizes."""
    y = m.conv(x)
    return m.after(y.view(y.shape[0], 4, 8, *y.shape[2:]).mean(1))


def _order() -> nn.Parameter:
    return nn.Parameter(torch.arange(31, -1, -2), requires_grad=False)


def _gathered(m: Any, x: Tensor) -> Any:
    return m.conv(x)[:, m.order]


# ---------------------------------------------------------------- parameters


class Standardised(nn.Conv2d):
    """A convolution whose filters have mean zero and variance one."""

    def forward(self, x: Tensor) -> Tensor:
        """Standardise, then convolve."""
        mean, var = self.weight.mean((1, 2, 3), keepdim=True), self.weight.var((1, 2, 3), keepdim=True)
        weight = (self.weight - mean) / (var + 1e-6).sqrt()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def _standardised(i: int, o: int) -> nn.Module:
    return Standardised(i, o, 3, padding=1)


class Attention(nn.Module):
    """Self-attention over positions; with ``talking`` the heads mix before and after the softmax."""

    def __init__(self, dim: int, heads: int, talking: bool) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.before = nn.Linear(heads, heads) if talking else None
        self.after = nn.Linear(heads, heads) if talking else None

    def forward(self, x: Tensor) -> Tensor:
        """``(b, c, h, w)`` to the same shape, with the input added."""
        b, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5
        if self.before is not None:
            scores = self.before(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        scores = scores.softmax(-1)
        if self.after is not None:
            scores = self.after(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        out = self.proj((scores @ v).transpose(1, 2).reshape(b, h * w, c))
        return x + out.transpose(1, 2).reshape(b, c, h, w)


def _custom(m: Any, x: Tensor) -> Any:
    """A scale and a shift of one's own, and a template that is added before pooling."""
    y = m.conv(x) * m.scale.view(1, -1, 1, 1) + m.shift
    return F.relu(y + F.conv2d(x, m.filters, padding=1))


def _mixed(m: Any, x: Tensor) -> Any:
    """A product of activations with a bare parameter, as an einsum."""
    return torch.einsum("bchw,dc->bdhw", m.conv(x), m.mix)


def _tied() -> nn.Module:
    """Two convolutions hold the same parameter."""
    a, b = _conv(), _conv()
    b.weight = a.weight
    return _between(_twice, a=a, b=b)


def _transposed_tied(m: Any, x: Tensor) -> Any:
    """An autoencoder whose decoder reads the encoder's weight."""
    return F.conv_transpose2d(F.relu(m.conv(x)), m.conv.weight, padding=1)


# ---------------------------------------------------------------- structure


def _shared(m: Any, x: Tensor) -> Any:
    """One block three times, its norm twice."""
    for _ in range(3):
        x = F.relu(x + m.norm(m.conv(x)))
    return m.norm(x)


class UNet(nn.Module):
    """Two levels; up by transposed convolutions; a picture comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 16), cbr(16, 32), cbr(32, 64)
        self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
        self.d2, self.d1, self.out = cbr(64, 32), cbr(32, 16), nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Down, up, and the skips joined."""
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        d = self.d2(torch.cat([self.up2(c), b], 1))
        return self.out(self.d1(torch.cat([self.up1(d), a], 1)))


class Pyramid(nn.Module):
    """A detector's neck: three levels, each upsampled and added to the one below, one head for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([cbr(3, 16, stride=2), cbr(16, 32, stride=2), cbr(32, 64, stride=2)])
        self.laterals = nn.ModuleList([nn.Conv2d(width, 24, 1) for width in (16, 32, 64)])
        self.head = nn.Sequential(cbr(24, 24), nn.Conv2d(24, 5, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """A dictionary of maps."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        levels = [lateral(f) for lateral, f in zip(self.laterals, features, strict=True)]
        for i in (1, 0):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], scale_factor=2.0, mode="nearest")
        return OrderedDict((f"p{i}", self.head(level)) for i, level in enumerate(levels))


class Bottle(nn.Module):
    """A C2f unit of a detector: half passes, half goes through blocks whose outputs are all joined."""

    def __init__(self, i: int, o: int, n: int) -> None:
        super().__init__()
        self.width = o // 2
        self.cv1, self.cv2 = cbr(i, 2 * self.width, 1, act=nn.SiLU), cbr((2 + n) * self.width, o, 1, act=nn.SiLU)
        self.m = nn.ModuleList(
            Residual(nn.Sequential(cbr(self.width, self.width, act=nn.SiLU), cbr(self.width, self.width)), act=False)
            for _ in range(n)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Split with literal sizes, extend, join."""
        parts = list(self.cv1(x).split((self.width, self.width), 1))
        parts.extend(m(parts[-1]) for m in self.m)
        return self.cv2(torch.cat(parts, 1))


@dataclass
class Seen:
    """What a network may return: not a tuple, not a dictionary."""

    logits: Tensor
    features: Tensor


def _dataclass(m: Any, x: Tensor) -> Seen:
    features = m.body(x)
    return Seen(m.head(features), features.mean((2, 3)))


class Two(nn.Module):
    """An image and a depth map meet halfway; there are two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.depth, self.both = cbr(3, 24), cbr(1, 8), cbr(32, 48)
        self.classes, self.box = Head(48), Head(48, 4)

    def forward(self, image: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Classes and a box."""
        x = self.both(torch.cat([self.image(image), self.depth(depth)], 1))
        return self.classes(x), self.box(x).sigmoid()


class Recurrent(nn.Module):
    """Convolutions, then an LSTM over the columns."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.lstm, self.out = cbr(3, 24, stride=2), nn.LSTM(24, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The last state decides."""
        return self.out(self.lstm(self.body(x).mean(2).transpose(1, 2))[0][:, -1])


def _norms(norm: Callable[[int], nn.Module]) -> nn.Module:
    first, second = [_conv(3, 32), norm(32), nn.ReLU()], [_conv(32, 48), norm(48), nn.ReLU()]
    return nn.Sequential(*first, *second, Head(48))


def _channels_last(m: Any, x: Tensor) -> Any:
    """A layer norm over the channels, and a map that is added to every image."""
    return m.norm((m.conv(x) + m.place).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _normalised(m: Any, x: Tensor) -> Any:
    """Unit length over the channels, and a map of their mean and maximum: statistics that a cut would change."""
    y = F.normalize(m.conv(x), dim=1)
    return y * torch.sigmoid(m.gate(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))


def _selective(m: Any, x: Tensor) -> Any:
    """Two kernels; a softmax over the two decides channel by channel."""
    a, b = m.a(x), m.b(x)
    weights = m.up(F.relu(m.down((a + b).mean((2, 3))))).view(-1, 2, 32).softmax(1)
    return a * weights[:, 0, :, None, None] + b * weights[:, 1, :, None, None]


def _line() -> nn.Module:
    """A network for signals."""
    first, second = [nn.Conv1d(3, 32, 5, 2), nn.BatchNorm1d(32), nn.PReLU(32)], [nn.Conv1d(32, 48, 5, 2), nn.ReLU()]
    return nn.Sequential(*first, *second, nn.AdaptiveMaxPool1d(4), nn.Flatten(), nn.Linear(192, 10))


def _volume() -> nn.Module:
    """A network for films."""
    first, second = [nn.Conv3d(3, 16, 3, 1, 1), nn.BatchNorm3d(16), nn.ELU()], [nn.Conv3d(16, 32, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*first, *second, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, 10))


def _detector() -> nn.Module:
    return nn.Sequential(cbr(3, 16), Bottle(16, 32, 2), cbr(32, 48, stride=2), Bottle(48, 48, 1), Head(48))


def _twice(m: Any, x: Tensor) -> Any:
    return m.b(F.relu(m.a(x)))


def _attend(m: Any, x: Tensor) -> Any:
    return m.attention(x)


STRANGE: dict[str, Callable[[], nn.Module]] = {
    "in-place-view": lambda: _between(_in_place_view, conv=_conv()),
    "channel-shuffle": lambda: _between(_shuffle, a=_conv(groups=4), b=_conv(groups=4)),
    "chunk-multiply": lambda: _between(_chunk_multiply, conv=_conv(32, 64)),
    "split-literal": lambda: _between(_split_literal, o=48, conv=_conv(32, 48), middle=_conv(16, 16)),
    "rotate": lambda: _between(_rotate, conv=_conv()),
    "pixel-shuffle": lambda: _between(_pixels, conv=_conv(32, 64), after=_conv(16, 8)),
    "grouped-view": lambda: _between(_grouped_view, conv=_conv(groups=4), after=_conv(8, 32)),
    "gathered": lambda: _between(_gathered, o=16, conv=_conv(), order=_order()),
    "weight-standardised": lambda: _between(_twice, a=_standardised(32, 48), b=_standardised(48, 32)),
    "attention": lambda: _between(_attend, attention=Attention(32, 4, talking=False)),
    "talking-heads": lambda: _between(_attend, attention=Attention(32, 4, talking=True)),
    "custom-parameters": lambda: _between(
        _custom, conv=_conv(), scale=_parameter(32), shift=_parameter(32, 1, 1), filters=_parameter(32, 32, 3, 3)
    ),
    "einsum": lambda: _between(_mixed, o=40, conv=_conv(), mix=_parameter(40, 32)),
    "tied": _tied,
    "tied-transposed": lambda: _between(_transposed_tied, conv=_conv(32, 48)),
    "shared": lambda: _between(_shared, conv=_conv(), norm=nn.BatchNorm2d(32)),
    "u-net": UNet,
    "pyramid": Pyramid,
    "c2f": _detector,
    "dataclass": lambda: Net(_dataclass, body=nn.Sequential(cbr(3, 24), cbr(24, 32)), head=Head(32)),
    "two-inputs": Two,
    "recurrent": Recurrent,
    "group-norm": lambda: _norms(lambda c: nn.GroupNorm(8, c)),
    "instance-norm": lambda: _norms(lambda c: nn.InstanceNorm2d(c, affine=True)),
    "layer-norm": lambda: _norms(lambda c: nn.GroupNorm(1, c)),
    "channels-last": lambda: _between(
        _channels_last, conv=_conv(), place=_parameter(1, 32, 16, 16), norm=nn.LayerNorm(32)
    ),
    "normalised": lambda: _between(_normalised, conv=_conv(), gate=_conv(2, 1)),
    "selective": lambda: _between(
        _selective, a=_conv(), b=_conv(bias=False), down=nn.Linear(32, 8), up=nn.Linear(8, 64)
    ),
    "one-dimensional": _line,
    "three-dimensional": _volume,
}

#: Those in which positions meet otherwise than by convolution or pooling.
NOT_CONVOLUTIONAL = ("attention", "talking-heads", "recurrent")

#: The shapes of the inputs for one example; three channels of 16×16 where nothing is said.
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "pyramid": ((3, 32, 32),),
    "two-inputs": ((3, 16, 16), (1, 16, 16)),
    "one-dimensional": ((3, 64),),
    "three-dimensional": ((3, 4, 8, 8),),
}
