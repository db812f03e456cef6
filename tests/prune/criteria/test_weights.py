"""Criteria that look at weights alone: l1, l2, fpgm, bn-scale, and the null."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization
from torch.nn.utils.prune import custom_from_mask

from tests.prune.nets import EXAMPLE, Net, lively
from windfirm.prune.criteria import score
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.structure import Slice, Structure, structures


def filled(layer: Any, rows: list[list[float]], axis: int = 0) -> Any:
    """A layer with these filters, one row each."""
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows).movedim(0, axis).reshape(layer.weight.shape))
    return layer


def chain(rows: list[list[float]]) -> nn.Module:
    first = filled(nn.Conv2d(2, len(rows), 1), rows)
    return nn.Sequential(first, nn.BatchNorm2d(len(rows)), nn.Conv2d(len(rows), 1, 1)).double()


def found(name: str, model: nn.Module, kind: str = "filters") -> dict[str, list[float]]:
    chosen: list[Structure] = [s for s in structures(model, EXAMPLE) if s.kind == kind]
    return {s.name: values.tolist() for s, values in score(name, model, chosen).items()}


@pytest.mark.parametrize(
    ("name", "rows", "wanted"),
    [
        ("l1", [[1, -2], [0.5, 0.25], [0, 0]], [3, 0.75, 0]),
        ("l2", [[3, -4], [0, 1], [5, 12]], [5, 1, 13]),
        ("fpgm", [[0, 0], [3, 4], [0, 8]], [5 + 8, 5 + 5, 8 + 5]),
    ],
)
def test_by_hand(name: str, rows: list[list[float]], wanted: list[float]) -> None:
    assert found(name, chain(rows)) == {"0": pytest.approx(wanted, abs=1e-12)}


@pytest.mark.parametrize(("name", "wanted"), [("l1", [3.0, 2.0]), ("l2", [2.5, 2.0])])
def test_filters_that_leave_together_have_their_mean(name: str, wanted: list[float]) -> None:
    a = filled(nn.Conv2d(2, 2, 1), [[0, 1], [0, 3]] if name == "l2" else [[1, 1], [0, 3]])
    b = filled(nn.Conv2d(2, 2, 1), [[-4, 0], [1, 0]])
    model = Net(lambda m, x: m.c(m.a(x) + m.b(x)), a=a, b=b, c=nn.Conv2d(2, 1, 1)).double()
    assert found(name, model) == {"a": wanted}


def test_filters_without_a_score_do_not_count_and_a_unit_of_them_alone_leaves_its_group_without_one() -> None:
    pieces = Slice("a.weight", 0, 1, "out", ((0,), ())), Slice("b.weight", 0, 2, "out", ((0,), (1,)))
    group = Structure("a", "filters", 2, pieces)
    known = {"a.weight": torch.tensor([3.0]), "b.weight": torch.tensor([1.0, 5.0])}
    assert mean_over_members([group], lambda piece: known[piece.tensor])[group].tolist() == [2, 5]
    assert mean_over_members([group], lambda piece: known[piece.tensor] if piece.tensor[0] == "a" else None) == {}
    (b_alone,) = mean_over_members([group], lambda p: known[p.tensor] if p.tensor[0] == "b" else None).values()
    assert b_alone.tolist() == [1, 5]


def test_a_transposed_convolution_has_its_filters_along_its_second_axis() -> None:
    layer = filled(nn.ConvTranspose2d(2, 3, 1), [[1, 10], [2, 20], [3, 30]], axis=1)
    assert found("l1", nn.Sequential(layer, nn.Conv2d(3, 1, 1)).double()) == {"0": [11, 22, 33]}


def test_fixed_filters_may_be_a_buffer() -> None:
    model = Net(lambda m, x: m.b(nn.functional.conv2d(x, m.get_buffer("k"))), b=nn.Conv2d(2, 1, 1))
    model.register_buffer("k", torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(2, 2, 1, 1))
    (scores,) = found("l1", model.double()).values()
    assert scores == [3, 7]


@pytest.mark.parametrize("layers", [(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 1, 1)), (nn.Linear(2, 3), nn.Linear(3, 1))])
@pytest.mark.parametrize("how", ["mask", "parametrization"])
def test_weights_are_those_that_a_layer_applies(layers: tuple[nn.Module, nn.Module], how: str) -> None:
    """Of which [[1, 9], [3, 4], [7, 7]] is what training changes."""
    first, last = copy.deepcopy(layers)
    mask = torch.tensor([[1, 0], [1, 1], [0, 0]]).view_as(filled(first, [[1, 9], [3, 4], [7, 7]]).weight)
    if how == "mask":
        custom_from_mask(first, "weight", mask)  # type: ignore[no-untyped-call]
    else:
        masking = Net(lambda m, weight: m.mask * weight)
        masking.register_buffer("mask", mask)
        register_parametrization(first, "weight", masking)
    model = nn.Sequential(first, last).double()
    group, *_ = structures(model, EXAMPLE if isinstance(first, nn.Conv2d) else torch.zeros(1, 2))
    assert group.name == ("0.weight_orig" if how == "mask" else "0.parametrizations.weight.original")
    wanted = {"l1": [1, 7, 0], "l2": [1, 5, 0], "fpgm": [20**0.5 + 1, 20**0.5 + 5, 6]}
    assert {name: score(name, model, [group])[group].tolist() for name in wanted} == {
        name: pytest.approx(values) for name, values in wanted.items()
    }


def test_a_block_has_the_mean_over_its_last_layer() -> None:
    inner, last = filled(nn.Conv2d(2, 2, 1), [[9, 9], [9, 9]]), filled(nn.Conv2d(2, 2, 1), [[3, 4], [0, 1]])
    model = Net(lambda m, x: m.d(x + m.c(m.b(x))), b=inner, c=last, d=nn.Conv2d(2, 1, 1)).double()
    assert found("l1", model, "block") == {"c": [4]}
    assert found("l2", model, "block") == {"c": [3]}
    assert found("fpgm", model, "block") == {"c": [pytest.approx(18**0.5)]}


def test_twin_filters_near_the_median_leave_first_by_fpgm() -> None:
    (scores,) = found("fpgm", chain([[-5, 0], [1, 0], [1, 0], [4, 0], [8, 0]])).values()
    assert scores == pytest.approx([34, 16, 16, 19, 31], abs=1e-12)


def test_fpgm_of_many_small_differences_far_from_zero() -> None:
    rows = 1e4 + 1e-3 * torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model: Any = chain(rows.tolist())
    model[0].weight.data = rows.view(40, 2, 1, 1)
    (scores,) = found("fpgm", model).values()
    assert scores == pytest.approx((rows[:, None] - rows).square().sum(2).sqrt().sum(1).tolist(), rel=1e-6)


def scaled(layer: Any, values: list[float]) -> Any:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(values))
    return layer


def test_bn_scale_by_hand() -> None:
    model: Any = chain([[1, 2], [3, 4], [5, 6]])
    scaled(model[1], [-2, 0.5, 1])
    assert found("bn-scale", model) == {"0": [2, 0.5, 1]}


def test_bn_scale_of_filters_that_leave_together_is_the_mean_of_their_own_normalisations() -> None:
    model = Net(
        lambda m, x: m.c(m.m(m.a(x)) + m.n(m.b(x))),
        a=nn.Conv2d(2, 2, 1), b=nn.Conv2d(2, 2, 1), c=nn.Conv2d(2, 1, 1),
        m=scaled(nn.BatchNorm2d(2), [1, -3]), n=scaled(nn.GroupNorm(1, 2), [5, 0]),
    )  # fmt: skip
    assert found("bn-scale", model.double()) == {"a": [3, 1.5]}


def test_bn_scale_of_channels_that_are_normalised_before_they_are_read() -> None:
    model = Net(
        lambda m, x: m.b(m.n(torch.cat((m.a(x), m.c(x)), 1))),
        a=nn.Conv2d(2, 2, 1), c=nn.Conv2d(2, 1, 1), b=nn.Conv2d(3, 1, 1), n=scaled(nn.BatchNorm2d(3), [1, 2, -3]),
    )  # fmt: skip
    assert found("bn-scale", model.double()) == {"a": [1, 2], "c": [3]}


def test_without_a_scale_there_is_no_score_by_bn_scale() -> None:
    bare = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, affine=False), nn.Conv2d(2, 1, 1)).double()
    assert found("l1", bare)
    assert found("bn-scale", bare) == {}


@pytest.mark.parametrize("normalised", [True, False])
def test_bn_scale_of_a_block_is_that_of_its_last_normalisation(normalised: bool) -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        y = m.n(m.c(m.m(m.b(x)))) if normalised else m.c(m.b(x))
        return m.d(x + y)  # type: ignore[no-any-return]

    layers = {"b": nn.Conv2d(2, 2, 1), "c": nn.Conv2d(2, 2, 1), "d": nn.Conv2d(2, 1, 1)}
    norms = {"m": scaled(nn.BatchNorm2d(2), [7, 7]), "n": scaled(nn.BatchNorm2d(2), [1, -3])}
    model = Net(run, **layers, **(norms if normalised else {})).double()
    assert list(found("bn-scale", model, "block").values()) == ([[2]] if normalised else [])


def test_random_scores_repeat_and_depend_on_seed_and_name_alone() -> None:
    model, other = lively(chain([[1, 2], [3, 4]]), 1), lively(chain([[1, 2], [3, 4]]), 2)
    free = structures(model, EXAMPLE)
    (once,) = score("random", model, free, seed=3).values()
    (again,) = score("random", other, structures(other, EXAMPLE), seed=3).values()
    (elsewhere,) = score("random", model, free, seed=4).values()
    assert torch.equal(once, again)
    assert not torch.equal(once, elsewhere)
    assert bool(((once >= 0) & (once < 1)).all())
