import math
import tracemalloc
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
from windfirm.prune.criteria.vip import Table as Rows
from windfirm.prune.criteria.vip import importance
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


def vip(x: Table, y: Table, components: int) -> Table:
    rows = Rows()
    rows.add(x, y.argmax(1))
    return importance([rows], components)


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
    layers = {name: nn.Conv2d(2, 2, 1) for name in "ast"}
    model = lively(Net(lambda m, x: m.t(m.s(m.s(m.a(x)))).mean((2, 3)), **layers))
    images, labels = data()
    with torch.no_grad():
        before = model.a(images.double())
        once = model.s(before)
        twice = model.s(once)
        maps = (before, torch.maximum(once.amax((2, 3), True), twice.amax((2, 3), True)), model.t(twice))
    columns = torch.cat([part.amax((2, 3)) for part in maps], 1).numpy()
    wanted = deflated_vip(columns, np.eye(3)[labels.numpy()], 2)
    (scores,) = score("pls", model, structures(model, images[:1].double()), [(images, labels)]).values()
    assert np.abs(scores.numpy() - (wanted[:2] + wanted[2:4]) / 2).max() < 1e-9  # a and s leave together


@pytest.mark.parametrize(
    ("layer", "rows", "size"), [(nn.Linear(2, 4), (64, 2), 4), (nn.Conv2d(2, 4, 1), (1, 2, 8, 8), 1)]
)
def test_what_a_layer_makes_of_constants_is_no_column(layer: nn.Module, rows: tuple[int, ...], size: int) -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        made = m.layer(m.grid)
        field = made if made.ndim == 4 else made.T.reshape(1, -1, 8, 8)
        return m.head((m.stem(x) * field).mean((2, 3)))  # type: ignore[no-any-return]

    grid = nn.Parameter(torch.zeros(rows), requires_grad=False)
    model = lively(Net(run, stem=nn.Conv2d(2, 4, 1), layer=layer, grid=grid, head=nn.Linear(4, 3)))
    images, labels = data(9)
    with torch.no_grad():
        columns = model.stem(images.double()).amax((2, 3)).numpy()
    wanted = deflated_vip(columns, np.eye(3)[labels.numpy()], 2)
    parts = list(
        zip(torch.split(images, size), torch.split(labels, size), strict=True)
    )  # as many images as divide the rows
    ((structure, scores),) = score("pls", model, structures(model, images[:1].double()), parts).items()
    assert structure.name == "stem"
    assert np.abs(scores.numpy() - wanted).max() < 1e-9


def test_rows_may_come_in_any_parts_and_be_folded_into_products() -> None:
    x, y = table(7, rows=50)
    x += 1e3  # far from zero, where sums of squares lose digits
    x[:, 3] = 0.1
    labels = y.argmax(1)
    wanted = deflated_vip(x, y, 2)
    first, second = Rows(), Rows()
    for start in range(0, 50, 6):  # both tables outgrow their 9 columns
        first.add(x[start : start + 4], labels[start : start + 4])
        second.add(x[start + 4 : start + 6], labels[start + 4 : start + 6])
    assert first.products is not None
    assert not first.rows
    assert np.abs(importance([first, second], 2) - wanted).max() < 1e-7
    few = Rows()
    few.add(x[:3], labels[:3])
    many = Rows()
    many.add(x[3:], labels[3:])
    for tables in ([few, many], [many, few], [Rows(), few, many]):
        assert np.abs(importance(tables, 2) - wanted).max() < 1e-7


def test_halves_that_know_different_classes_are_one_table_together() -> None:
    x, y = table(3, rows=40)
    labels = y.argmax(1)
    halves = (Rows(), Rows())
    for half, which in zip(halves, (labels < 2, labels >= 2), strict=True):
        half.add(x[which], labels[which])
    assert np.abs(importance(halves, 2) - deflated_vip(x, y, 2)).max() < 1e-9


def test_many_small_parts_take_the_memory_of_the_rows_and_of_one_matrix_of_products() -> None:
    columns = 300
    square = columns**2 * 8
    x, y = table(1, rows=columns + 10, columns=columns)
    rows = Rows()
    tracemalloc.start()
    for start in range(0, len(x), 5):
        rows.add(x[start : start + 5], y[start : start + 5].argmax(1))
    before, _ = tracemalloc.get_traced_memory()
    importance([rows], 2)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.products is not None
    assert square < peak < 1.5 * square  # the fit makes no copy of it either
    assert after - before < 0.1 * square


def test_what_cannot_be_fitted_is_refused() -> None:
    model, (images, labels) = network(), data()
    found = structures(model, images[:1].double())

    def complaint(model: nn.Module, images: Tensor, labels: Tensor) -> str:
        with pytest.raises((InputError, CutError)) as error:
            score("pls", model, found, [(images, labels)] if len(images) else [])
        return str(error.value)

    assert complaint(model, images[:0], labels) == "batches: expected at least one image, got none"
    assert (
        complaint(model, images[:1], labels[:1]) == "pls: expected at least two images of two classes, got 1 image of 1"
    )
    assert (
        complaint(model, images, labels * 0) == "pls: expected at least two images of two classes, got 12 images of 1"
    )
    assert (
        complaint(model, images * math.inf, labels)
        == "pls: expected finite outputs of 0, got infinite or undefined ones"
    )


def test_blocks_that_are_added_in_the_same_module_have_each_their_own_columns() -> None:
    layers = {name: nn.Conv2d(2, 2, 1) for name in "abc"}
    model = lively(Net(lambda m, x: m.c((y := x + m.a(x)) + m.b(y)).mean((2, 3)), **layers))
    images, labels = data()
    images = images.double()
    with torch.no_grad():
        first = images + model.a(images)
        second = first + model.b(first)
    columns = torch.cat((first.mean((2, 3)), second.mean((2, 3))), 1).numpy()
    wanted = deflated_vip(columns, np.eye(3)[labels.numpy()], 2).reshape(2, 2).mean(1)
    blocks = [s for s in structures(model, images[:1]) if s.kind == "block"]
    scores = {s.name: values.item() for s, values in score("pls", model, blocks, [(images, labels)]).items()}
    assert scores == {"a": pytest.approx(wanted[0]), "b": pytest.approx(wanted[1])}


class Block(nn.Module):
    """A residual branch of two layers on the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.back = nn.Linear(6, 4), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Any:
        return x + self.back(self.wide(x).relu())


class Tokens(nn.Module):
    """The same network with its four by four positions as (b, t, c), as (b, h, w, c), or with tokens first."""

    def __init__(self, how: str, *, position: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.stem, self.blocks, self.head = nn.Conv2d(3, 6, 2, 2), nn.Sequential(Block(), Block()), nn.Linear(6, 3)
        self.position = nn.Parameter(torch.randn(1, 16, 6)) if position else None

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        x = x.permute(0, 2, 3, 1) if self.how == "b h w c" else x.flatten(2).transpose(1, 2)
        if self.position is not None:
            x = x + self.position
        if self.how == "t b c":
            x = x.transpose(0, 1)
        positions = {"b h w c": (1, 2), "b t c": (1,), "t b c": (0,)}[self.how]
        return self.head(self.blocks(x).mean(positions))


def by_layout(name: str, how: str, *, position: bool = False) -> dict[str, list[float]]:
    """Scores by name. Sixteen images, as there are tokens."""
    images = torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    model = lively(Tokens(how, position=position)).float()
    parts = [(images[i : i + 16], torch.arange(16) % 3) for i in (0, 16)]
    found = score(name, model, structures(model, images[:1]), parts)
    return {structure.name: values.tolist() for structure, values in found.items()}


ALL = {"stem", "blocks.0", "blocks.0.wide", "blocks.1", "blocks.1.wide"}


@pytest.mark.parametrize("name", ["pls", "expected-abs"])
def test_where_channels_are_last_a_block_is_scored_by_its_channels(name: str) -> None:
    flat, square = by_layout(name, "b t c"), by_layout(name, "b h w c")
    assert flat.keys() == square.keys() == ALL
    for structure, values in flat.items():
        assert square[structure] == pytest.approx(values, rel=1e-5)


def test_of_what_is_no_map_there_is_no_rank() -> None:
    assert [*by_layout("hrank", "b t c")] == [*by_layout("hrank", "b h w c")] == ["stem"]


def test_a_position_parameter_does_not_hide_the_channels_of_blocks() -> None:
    assert by_layout("pls", "b t c", position=True).keys() == ALL
    assert by_layout("expected-abs", "b t c", position=True).keys() == ALL


def test_what_is_laid_out_with_tokens_first_has_no_score_and_the_rest_has_its_own() -> None:
    assert [*by_layout("pls", "t b c")] == ["stem"]
    assert [*by_layout("expected-abs", "t b c")] == ["stem"]
