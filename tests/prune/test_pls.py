import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression
from torch import Tensor, nn

from tests.oracles import deflated_vip
from tests.prune.nets import Net, lively
from windfirm.errors import CutError, InputError
from windfirm.prune.criteria import score
from windfirm.prune.criteria.pls import pooled_outputs, vip
from windfirm.prune.structure import structures

Table = NDArray[np.float64]


def table(seed: int = 0, rows: int = 40, columns: int = 9, classes: int = 4) -> tuple[Table, Table]:
    """Columns that know something of the class, at different scales."""
    draw = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    x = draw.normal(size=(rows, columns)) + draw.normal(size=(classes, columns))[labels]
    return x * draw.uniform(0.1, 10, columns), np.eye(classes)[labels]


def sklearn_vip(x: Table, y: Table, components: int) -> Table:
    fit = PLSRegression(components, scale=True, tol=1e-12, max_iter=20000).fit(x, y)
    t, w, q = fit.x_scores_, fit.x_weights_, fit.y_loadings_
    s = np.diag(t.T @ t @ q.T @ q)
    result: Table = np.sqrt(x.shape[1] * ((w / np.linalg.norm(w, axis=0)) ** 2 @ s) / s.sum())
    return result


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_vip_equals_plain_deflation_and_scikit_learn(components: int, classes: int) -> None:
    x, y = table(classes, classes=classes)
    components = min(components, classes - 1)
    ours = vip(x, y, components)
    assert np.abs(ours - deflated_vip(x, y, components)).max() < 1e-9
    assert np.abs(ours - sklearn_vip(x, y, components)).max() < 1e-4
    assert math.isclose(float(np.mean(ours**2)), 1.0, rel_tol=1e-12)


def test_more_columns_than_rows() -> None:
    x, y = table(5, rows=12, columns=60, classes=3)
    assert np.abs(vip(x, y, 2) - deflated_vip(x, y, 2)).max() < 1e-9


def test_a_constant_column_has_no_importance_and_changes_no_other() -> None:
    x, y = table(rows=41)
    constant = np.full((len(x), 1), 0.1)
    ours = vip(np.hstack((x, constant)), y, 2)
    assert ours[-1] < 1e-9
    assert np.abs(ours[:-1] / vip(x, y, 2) - math.sqrt(10 / 9)).max() < 1e-9


def test_columns_that_say_nothing_have_no_importance() -> None:
    assert vip(np.ones((6, 3)), np.eye(2)[[0, 1] * 3], 2).tolist() == [0, 0, 0]


def network() -> Any:
    return lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(48, 2)))


def data(images: int = 12) -> tuple[Tensor, Tensor]:
    return torch.rand(images, 2, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(images) % 3


def test_the_score_of_a_filter_is_the_vip_of_its_column_among_all_layers() -> None:
    model, (images, labels) = network(), data()
    with torch.no_grad():
        first = model[0](images.double())
        second = model[2](first.relu())
    columns = torch.cat((first.amax((2, 3)), second.amax((2, 3))), 1).numpy()
    wanted = deflated_vip(columns, np.eye(3)[labels.numpy()], 2)
    found = structures(model, images[:1].double())
    scores = score("pls", model.train(), found, [(images[:5], labels[:5]), (images[5:], labels[5:])])
    assert {s.name for s in scores} == {"0", "2"}
    assert np.abs(torch.cat(list(scores.values())).numpy() - wanted).max() < 1e-9
    assert model.training
    assert not model[0]._forward_hooks


def test_a_convolution_that_runs_twice_counts_with_its_larger_output() -> None:
    model = lively(Net(lambda m, x: m.s(m.s(x)).mean((2, 3)), s=nn.Conv2d(2, 2, 1)))
    images, labels = data()
    features, _ = pooled_outputs(model, [(images, labels)])
    with torch.no_grad():
        once = model.s(images.double())
        wanted = torch.maximum(once.amax((2, 3)), model.s(once).amax((2, 3)))
    assert np.array_equal(features["s.weight"], wanted.numpy())


def test_a_convolution_that_makes_no_map_an_image_is_left_out() -> None:
    model = lively(Net(lambda m, x: m.b(m.a(x)[:1]), a=nn.Conv2d(2, 3, 1), b=nn.Conv2d(3, 2, 1)))
    assert list(pooled_outputs(model, [data()])[0]) == ["a.weight"]


def test_what_cannot_be_fitted_is_refused() -> None:
    model, (images, labels) = network(), data()
    found = structures(model, images[:1].double())

    def complaint(model: nn.Module, images: Tensor, labels: Tensor) -> str:
        with pytest.raises((InputError, CutError)) as error:
            score("pls", model, found, [(images, labels)] if len(images) else [])
        return str(error.value)

    assert complaint(model, images[:0], labels) == "pls: expected at least two images of two classes, got 0 of 0"
    assert complaint(model, images, labels * 0) == "pls: expected at least two images of two classes, got 12 of 1"
    assert (
        complaint(nn.Flatten(), images, labels)
        == "pls: expected a network with convolutions that are modules, got none"
    )
    assert complaint(model, images * math.inf, labels) == (
        "pls: expected finite outputs of all convolutions, got infinite or undefined ones"
    )
