"""Independent truths: slow, short, and written without the package."""

import colorsys
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, stats
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

# ---------------------------------------------------------------- attacks


def linear_binary(weights: Tensor, bias: float) -> nn.Module:
    """A network of two classes with the logits 0 and w·x + b, for images of the shape of ``weights``."""
    linear = nn.Linear(weights.numel(), 2).to(weights.dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.stack((torch.zeros_like(weights), weights)).flatten(1))
        linear.bias.copy_(torch.tensor([0.0, bias]))
    return nn.Sequential(nn.Flatten(), linear)


def linear_radius(weights: Tensor, bias: float, images: Tensor) -> Tensor:
    """The exact Linf distance of each image from the border of linear_binary: |w·x + b| / ‖w‖₁."""
    return ((images * weights).sum((1, 2, 3)) + bias).abs() / weights.abs().sum()


def linear_distances(weights: Tensor, biases: Tensor, images: Tensor, dual: float) -> Tensor:
    """The exact distance of each image from another class of softmax(weights (k, d) x + biases), the box aside.

    ``dual`` is the order of the dual norm of the weights: 1 for Linf, 2 for L2.
    """
    logits = images.flatten(1) @ weights.T + biases
    result = []
    for scores in logits:
        best = int(scores.argmax())
        others = [k for k in range(len(biases)) if k != best]
        result.append(min(float((scores[best] - scores[k]) / (weights[best] - weights[k]).norm(dual)) for k in others))
    return torch.tensor(result, dtype=images.dtype)


def shortest_change(image: Tensor, slope: Tensor, gap: float, norm: str) -> Tensor:
    """The shortest δ with slope·δ = gap and image + δ in [0, 1], by scipy: all (d,) float64, d small."""
    x, w = image.numpy(), slope.numpy()
    box = list(zip(-x, 1 - x, strict=True))
    if norm == "linf":  # minimise t subject to -t <= δ <= t
        eye, ones = np.eye(len(x)), np.ones((len(x), 1))
        bound = np.block([[eye, -ones], [-eye, -ones]])
        cost = np.append(np.zeros(len(x)), 1)
        found = optimize.linprog(cost, bound, np.zeros(2 * len(x)), [np.append(w, 0)], [gap], [*box, (0, None)]).x[:-1]
    else:
        plane = {"type": "eq", "fun": lambda d: w @ d - gap, "jac": lambda d: w}
        start = np.zeros(len(x))
        found = optimize.minimize(
            lambda d: d @ d / 2, start, jac=lambda d: d, bounds=box, constraints=plane, method="SLSQP", tol=1e-14
        ).x
    return torch.from_numpy(np.asarray(found))


def turned(image: Tensor, turn: float, saturation: float = 0.0) -> Tensor:
    """One RGB image (3, h, w), pixel by pixel through the standard library's colorsys."""
    result = image.clone()
    for y, x in itertools.product(range(image.shape[1]), range(image.shape[2])):
        h, s, v = colorsys.rgb_to_hsv(*image[:, y, x].tolist())
        rgb = colorsys.hsv_to_rgb((h + turn) % 1, min(max(s + saturation, 0), 1), v)
        result[:, y, x] = torch.tensor(rgb, dtype=image.dtype)
    return result


# ---------------------------------------------------------------- statistics


def every_sign(differences: Sequence[int]) -> float:
    """The two-sided permutation p-value by trying all 2^n signs."""
    observed = abs(sum(differences))
    sums = [
        sum(sign * d for sign, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(abs(total) >= observed for total in sums) / len(sums)


def mcnemar(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """McNemar's exact test of right (1) and wrong (0): a binomial test of the images on which the two differ."""
    better, worse = int((ours > theirs).sum()), int((ours < theirs).sum())
    if better + worse == 0:
        return 1.0
    return float(stats.binomtest(better, better + worse, 0.5).pvalue)


# ---------------------------------------------------------------- pruning


def _numbers(result: object) -> list[Tensor]:
    return [leaf.double() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def channels_lost(model: nn.Module, kept: Mapping[str, Mapping[int, list[int]]]) -> dict[str, list[int]]:
    """Which input channels each convolution and linear layer loses, by module name.

    A grouped convolution loses the same of every group; one that loses whole groups reads none of what is left.
    """
    lost = {}
    by_tensor = {id(tensor): kept.get(name, {}) for name, tensor in model.named_parameters()}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            groups = getattr(module, "groups", 1)
            axis = 0 if getattr(module, "transposed", False) else 1
            stays = by_tensor.get(id(module.weight), {}).get(axis)
            if stays is not None:
                width = module.weight.shape[axis]
                gone = sorted(set(range(width)) - set(stays))
                lost[name] = [g * width + i for g in range(groups if axis else 1) for i in gone]
    return lost


def silenced_outputs(model: nn.Module, lost: Mapping[str, Sequence[int]], inputs: Sequence[Tensor]) -> list[Tensor]:
    """All outputs of the whole ``model`` when the modules named in ``lost`` see zeros in those input channels."""
    handles = []
    for name, channels in lost.items():
        module = model.get_submodule(name)
        axis = -1 if isinstance(module, nn.Linear) else 1

        def blind(
            _module: nn.Module, args: tuple[Tensor], axis: int = axis, channels: Sequence[int] = channels
        ) -> tuple[Tensor]:
            return (args[0].index_fill(axis, torch.tensor(list(channels), dtype=torch.long), 0.0),)

        handles.append(module.register_forward_pre_hook(blind))
    try:
        with torch.no_grad():
            return _numbers(model(*inputs))
    finally:
        for handle in handles:
            handle.remove()


def cut_error(
    model: nn.Module, smaller: nn.Module, kept: Mapping[str, Mapping[int, list[int]]], inputs: Sequence[Tensor]
) -> float:
    """The largest difference between the cut network and the silenced original; both in float64 and eval mode."""
    with torch.no_grad():
        got = _numbers(smaller(*inputs))
    wanted = silenced_outputs(model, channels_lost(model, kept), inputs)
    assert [a.shape for a in got] == [b.shape for b in wanted]
    return max(float((a - b).abs().max()) for a, b in zip(got, wanted, strict=True))


def deflated_vip(x: NDArray[np.float64], y: NDArray[np.float64], components: int) -> NDArray[np.float64]:
    """PLS2 VIP from the textbook: SVD of XᵀY, then deflate X and Y in full."""
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    y = (y - y.mean(0)) / y.std(0, ddof=1)
    total = np.zeros(x.shape[1])
    explained = 0.0
    for _ in range(components):
        w = np.linalg.svd(x.T @ y, full_matrices=False)[0][:, 0]
        t = x @ w
        q = y.T @ t / (t @ t)
        s = (t @ t) * (q @ q)
        total += s * w**2
        explained += s
        x = x - np.outer(t, x.T @ t / (t @ t))
        y = y - np.outer(t, q)
    result: NDArray[np.float64] = np.sqrt(x.shape[1] * total / explained)
    return result


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Kornblith et al., section 3, of features (n, p) and (n, q): tr(KHLH) / √(tr(KHKH) tr(LHLH)), H centring."""
    h = torch.eye(len(x), dtype=torch.float64) - 1 / len(x)
    k, l = (h @ features.double() @ features.double().T @ h for features in (x, y))  # noqa: E741
    return float((k @ l).trace() / ((k @ k).trace() * (l @ l).trace()).sqrt())
