"""Variable importance in projection of a partial least squares fit from filters to classes.

Jordao et al., *Deep Network Compression based on Partial Least Squares*, Neurocomputing 2020; VIP after Wold et al.
Every image gives one row: the global maximum of every convolution's raw output, all layers side by side. PLS regression
with two components, on scaled columns, explains the one-hot labels; a filter's score is the VIP of its column.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from windfirm.errors import CutError, InputError, expected
from windfirm.models.mode import mode
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.structure import Structure

Array = npt.NDArray[np.float64]

COMPONENTS = 2


def pls(
    model: nn.Module, structures: Sequence[Structure], batches: Iterable[tuple[Tensor, Tensor]], seed: int
) -> dict[Structure, Tensor]:
    """Scores of shape ``(size,)``, no unit, mean square 1 over all columns.

    Structures that no convolution module makes alone get no score. Raises InputError when ``batches`` holds fewer than
    two images or a single class, and when there is no convolution; CutError when an output is not finite.
    """
    features, labels = pooled_outputs(model, batches)
    classes = np.unique(labels)
    if len(labels) < 2 or len(classes) < 2:
        raise InputError(expected("pls", "at least two images of two classes", f"{len(labels)} of {len(classes)}"))
    if not features:
        raise InputError(expected("pls", "a network with convolutions that are modules", "none"))
    columns = np.concatenate(list(features.values()), axis=1)
    if not np.isfinite(columns).all():
        raise CutError(expected("pls", "finite outputs of all convolutions", "infinite or undefined ones"))
    one_hot = (labels[:, None] == classes).astype(np.float64)
    importance = vip(columns, one_hot, COMPONENTS)
    ends = np.cumsum([block.shape[1] for block in features.values()])[:-1]
    by_weight = dict(zip(features, map(torch.from_numpy, np.split(importance, ends)), strict=True))
    convolutional = [s for s in structures if all(piece.tensor in by_weight for piece in s.producers)]
    return mean_over_members(convolutional, lambda piece: by_weight[piece.tensor])


def pooled_outputs(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[dict[str, Array], npt.NDArray[np.int64]]:
    """For every convolution's weight, by name, the maximum over positions of its raw output, ``(images, filters)``.

    A convolution that runs several times gives the maximum over its runs; one that does not make one map an image is
    left out. The second part is the labels, ``(images,)``. One pass over the data, in eval mode; ``model`` is left as
    it was.
    """
    rows: dict[str, list[Array]] = {}
    batch: dict[str, list[Array]] = {}
    labels: list[npt.NDArray[np.int64]] = []

    def keep(name: str, output: Tensor) -> None:
        if output.ndim > 2:
            batch.setdefault(f"{name}.weight", []).append(output.detach().flatten(2).amax(2).double().cpu().numpy())

    like = next(model.parameters(), None)
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    try:
        with mode(model, training=False), torch.inference_mode():
            for images, targets in batches:
                batch.clear()
                model(images if like is None else images.to(like))
                for name, runs in batch.items():
                    if all(len(run) == len(images) for run in runs):
                        rows.setdefault(name, []).append(np.maximum.reduce(runs))
                labels.append(targets.cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    all_labels = np.concatenate(labels) if labels else np.empty(0, np.int64)
    features = {name: np.concatenate(parts) for name, parts in rows.items()}
    return {name: rows for name, rows in features.items() if len(rows) == len(all_labels)}, all_labels


def vip(x: Array, y: Array, components: int) -> Array:
    """VIP of each column of ``x`` (n, p) for the responses ``y`` (n, k); shape ``(p,)``.

    VIP_j = sqrt(p · Σ_h s_h (w_jh / ‖w_h‖)² / Σ_h s_h), s = diag(TᵀT QᵀQ). The weights w_h are exact: the first left
    singular vector of the deflated XᵀY, found from the small YᵀX XᵀY instead of by power iteration; X itself is
    never deflated, only its products with single vectors are.
    """
    x, y = _scaled(x), _scaled(y)
    covariance = x.T @ y
    weights: list[Array] = []
    scores: list[Array] = []
    loadings: list[Array] = []
    explained: list[float] = []
    for _ in range(components):
        if not np.any(np.abs(covariance) > 1e-10):
            break  # nothing is left to explain
        _, vectors = np.linalg.eigh(covariance.T @ covariance)
        w = covariance @ vectors[:, -1]
        w /= np.linalg.norm(w)
        t = x @ w
        for t_before, p_before in zip(scores, loadings, strict=True):
            t = t - t_before * (p_before @ w)
        energy = float(t @ t)
        p = x.T @ t
        for t_before, p_before in zip(scores, loadings, strict=True):
            p = p - p_before * (t_before @ t)
        p /= energy
        q = y.T @ t / energy
        covariance = covariance - np.outer(p, y.T @ t)
        weights.append(w)
        scores.append(t)
        loadings.append(p)
        explained.append(energy * float(q @ q))
    if not weights:
        return np.zeros(x.shape[1])
    s = np.array(explained)
    result: Array = np.sqrt(x.shape[1] * (np.square(np.stack(weights, 1)) @ s) / s.sum())
    return result


def _scaled(x: Array) -> Array:
    """Columns of mean 0 and standard deviation 1 (with n − 1); a constant column stays 0."""
    centred = x - x.mean(0)
    spread = centred.std(0, ddof=1)
    spread[spread == 0] = 1
    scaled: Array = centred / spread
    return scaled
