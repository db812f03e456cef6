"""Pruning criteria the way that public code computes them: the other side of ``benchmarks.criteria``.

Plain PyTorch, numpy and scikit-learn, float32, batches of 128. For every layer the images go through the network once
more, up to that layer, where a hook raises; ranks are taken map by map, VIPs column by column, and every silenced
filter has a forward pass over all images of its own. Scores are those of the package by definition: a unit has the mean
over the filters that leave together. ``exact_pls`` is not timed; it is what the VIPs should be.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression
from torch import Tensor, nn

from windfirm.models.device import batch_size
from windfirm.models.mobilenet import InvertedResidual, MobileNetV2
from windfirm.models.resnet import BasicBlock, ResNet

BATCH = 128
COMPONENTS = 2

Table = NDArray[np.float64]
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """A convolution, the module whose output others read, and the activation that follows it."""

    name: str
    conv: nn.Conv2d
    module: nn.Module
    activation: Activation


@dataclass(frozen=True)
class Group:
    """Filters that leave together: for each layer the channels of every unit.

    ``reader`` is the module that reads them next, where there is one alone.
    """

    layers: tuple[Layer, ...]
    units: tuple[tuple[tuple[int, ...], ...], ...]
    reader: nn.Module | None

    @property
    def size(self) -> int:
        """How many units it has."""
        return len(self.units[0])


def layers(model: nn.Module) -> dict[str, tuple[Layer, nn.Module | None]]:
    """Every convolution by name, and the module that alone reads it (through what has no filters of its own)."""
    found: dict[str, tuple[Layer, nn.Module | None]] = {}

    def add(name: str, conv: nn.Conv2d, module: nn.Module, activation: Activation, reader: nn.Module | None) -> None:
        found[name] = Layer(name, conv, module, activation), reader

    for name, block in model.named_modules():
        if isinstance(block, BasicBlock):
            add(f"{name}.conv1", block.conv1, block.bn1, F.relu, block.conv2)
            add(f"{name}.conv2", block.conv2, block, _as_it_is, None)
        elif isinstance(block, InvertedResidual):
            add(f"{name}.expand", block.expand, block.expand_bn, F.relu6, block.project)
            add(f"{name}.depthwise", block.depthwise, block.depthwise_bn, F.relu6, block.project)
            add(f"{name}.project", block.project, block, _as_it_is, None)
            if isinstance(block.shortcut, nn.Sequential):
                conv = block.shortcut[0]
                assert isinstance(conv, nn.Conv2d)
                add(f"{name}.shortcut.conv", conv, block, _as_it_is, None)
        elif isinstance(block, ResNet):
            add("conv1", block.conv1, block.bn1, F.relu, None)
        elif isinstance(block, MobileNetV2):
            add("stem", block.stem, block.stem_bn, F.relu6, None)
            add("head", block.head, block.head_bn, F.relu6, block.linear)
    return found


def _as_it_is(maps: Tensor) -> Tensor:
    return maps


class Reached(Exception):  # noqa: N818
    """The forward pass has come to where it was to end."""


def outputs(model: nn.Module, module: nn.Module, images: Tensor, batch: int = BATCH) -> Iterator[Tensor]:
    """What ``module`` puts out, batch by batch; the rest of the network is not run."""
    caught: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        caught.append(output)
        raise Reached

    handle = module.register_forward_hook(hook)
    try:
        for part in torch.split(images, batch):
            with suppress(Reached), torch.no_grad():
                model(part)
            yield caught.pop()
    finally:
        handle.remove()


def member_means(groups: Sequence[Group], per_layer: Callable[[Layer], Tensor]) -> list[Tensor]:
    """For each group the scores of its units, the means over the filters that leave with each; float64."""
    layers = {layer.name: layer for group in groups for layer in group.layers}  # one may be in several groups
    known = {name: per_layer(layer).double() for name, layer in layers.items()}
    found = []
    for group in groups:
        values = [known[layer.name] for layer in group.layers]
        means = []
        for unit in range(group.size):
            members = [v[list(channels[unit])] for v, channels in zip(values, group.units, strict=True)]
            means.append(torch.cat(members).mean())
        found.append(torch.stack(means))
    return found


def l1(model: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor) -> list[Tensor]:
    """Sums of absolute weights."""
    return member_means(groups, lambda layer: layer.conv.weight.detach().abs().sum((1, 2, 3)))


def expected_abs(model: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor) -> list[Tensor]:
    """Means of absolute feature maps."""

    def mean(layer: Layer) -> Tensor:
        parts = [layer.activation(out).abs().mean((2, 3)) for out in outputs(model, layer.module, images)]
        return torch.cat(parts).double().mean(0)

    return member_means(groups, mean)


def hrank(model: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor) -> list[Tensor]:
    """Mean ranks of feature maps."""

    def mean(layer: Layer) -> Tensor:
        parts = [one_by_one(layer.activation(out)) for out in outputs(model, layer.module, images)]
        return torch.cat(parts).double().mean(0)

    return member_means(groups, mean)


def one_by_one(maps: Tensor) -> Tensor:
    """The rank of every map, (b, c, h, w) to (b, c)."""
    return torch.tensor([[int(np.linalg.matrix_rank(one)) for one in image] for image in maps.numpy()])


def pls(model: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor) -> list[Tensor]:
    """VIPs by scikit-learn's iterations, to its usual tolerance."""
    convs, x, y = _tables(model, images, labels)
    return _by_column(groups, convs, vip_by_loop(PLSRegression(COMPONENTS, scale=True).fit(x, y)))


def vip_by_loop(fit: PLSRegression) -> Table:
    """Variable importance in projection, one column after the other."""
    t, w, q = fit.x_scores_, fit.x_weights_, fit.y_loadings_
    columns, components = w.shape
    s = np.diag(t.T @ t @ q.T @ q)
    vips = np.zeros(columns)
    for j in range(columns):
        weight = np.array([(w[j, h] / np.linalg.norm(w[:, h])) ** 2 for h in range(components)])
        vips[j] = np.sqrt(columns * (s @ weight) / s.sum())
    return vips


def exact_pls(model: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor) -> list[Tensor]:
    """VIPs by singular vectors and deflation, in float64 from the convolutions' outputs on.

    Those are made in batches of the package's size: in others a convolution may round otherwise, which alone moves a
    VIP by up to 1e-5, in another memory layout by 4e-4 (MobileNetV2, random normalisations).
    """
    convs, x, y = _tables(model, images, labels)
    x, y = standardised(x), standardised(y)
    total, explained = np.zeros(x.shape[1]), 0.0
    for _ in range(COMPONENTS):
        w = np.linalg.svd(x.T @ y, full_matrices=False)[0][:, 0]
        t = x @ w
        q = y.T @ t / (t @ t)
        part = (t @ t) * (q @ q)
        total += part * w**2
        explained += part
        x = x - np.outer(t, x.T @ t / (t @ t))
        y = y - np.outer(t, q)
    return _by_column(groups, convs, np.sqrt(len(total) * total / explained))


def _tables(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[list[nn.Conv2d], Table, Table]:
    """All convolutions, the largest value of each of their channels in every image, and the one-hot labels."""
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    columns = [
        torch.cat([out.amax((2, 3)) for out in outputs(model, conv, images, batch_size(None))]) for conv in convs
    ]
    return convs, torch.cat(columns, 1).double().numpy(), F.one_hot(labels).double().numpy()


def standardised(table: Table) -> Table:
    """Columns of mean 0 and variance 1; constant ones are 0."""
    spread = table.std(0, ddof=1)
    result: Table = (table - table.mean(0)) / np.where(spread > 0, spread, 1)
    return result


def _by_column(groups: Sequence[Group], convs: Sequence[nn.Conv2d], vips: Table) -> list[Tensor]:
    parts = torch.split(torch.from_numpy(vips), [conv.out_channels for conv in convs])
    own = dict(zip(convs, parts, strict=True))
    return member_means(groups, lambda layer: own[layer.conv])


def kl_divergence(
    model: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor, units: Sequence[tuple[int, int]]
) -> Tensor:
    """Σ q (log q − log p) for each unit (number of its group, channel), silent in q where its channel is read next."""
    log_p = log_softmax(model, images)
    scores = []
    for group, channel in units:
        reader = groups[group].reader
        assert reader is not None
        handle = reader.register_forward_pre_hook(_silent(channel))
        log_q = log_softmax(model, images)
        handle.remove()
        scores.append((log_q.exp() * (log_q - log_p)).sum(1).mean())
    return torch.stack(scores)


def _silent(channel: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        maps = inputs[0].clone()
        maps[:, channel] = 0
        return (maps,)

    return hook


def log_softmax(model: nn.Module, images: Tensor) -> Tensor:
    """Of the logits of all images, in float64."""
    with torch.no_grad():
        return torch.cat([model(part).double().log_softmax(1) for part in torch.split(images, BATCH)])


Plain = Callable[[nn.Module, Sequence[Group], Tensor, Tensor], list[Tensor]]

#: All but kl-divergence, which takes the units besides.
PLAIN: dict[str, Plain] = {"l1": l1, "pls": pls, "expected-abs": expected_abs, "hrank": hrank}
