import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.prune.nets import EXAMPLE, Net, lively
from windfirm.errors import CutError, InputError
from windfirm.prune.criteria import score
from windfirm.prune.structure import structures


def two_filters() -> Any:
    model: Any = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 0.25]]).view(2, 2, 1, 1))
    return model


def test_l1_by_hand() -> None:
    model = two_filters()
    scores = score("l1", model, structures(model, EXAMPLE))
    assert {s.name: values.tolist() for s, values in scores.items()} == {"0": [3.0, 0.75]}


def test_l1_of_filters_that_leave_together_is_their_mean() -> None:
    model = Net(lambda m, x: m.c(m.a(x) + m.b(x)), a=nn.Conv2d(2, 2, 1), b=nn.Conv2d(2, 2, 1), c=nn.Conv2d(2, 1, 1))
    model.double()
    with torch.no_grad():
        model.get_parameter("a.weight").copy_(torch.tensor([[1.0, 1.0], [0.0, 3.0]]).view(2, 2, 1, 1))
        model.get_parameter("b.weight").copy_(torch.tensor([[-4.0, 0.0], [1.0, 0.0]]).view(2, 2, 1, 1))
    (scores,) = score("l1", model, structures(model, EXAMPLE)).values()
    assert scores.tolist() == [3.0, 2.0]


def test_l1_of_a_transposed_convolution_runs_along_its_second_axis() -> None:
    model: Any = nn.Sequential(nn.ConvTranspose2d(2, 3, 1), nn.Conv2d(3, 1, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).view(2, 3, 1, 1))
    (scores,) = score("l1", model, structures(model, EXAMPLE)).values()
    assert scores.tolist() == [11.0, 22.0, 33.0]


def test_l1_of_fixed_filters_in_a_buffer() -> None:
    model = Net(lambda m, x: m.b(nn.functional.conv2d(x, m.get_buffer("k"))), b=nn.Conv2d(2, 1, 1))
    model.register_buffer("k", torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(2, 2, 1, 1))
    model.double()
    (scores,) = score("l1", model, structures(model, EXAMPLE)).values()
    assert scores.tolist() == [3.0, 7.0]


def test_random_scores_repeat_and_depend_on_seed_and_name_alone() -> None:
    model, other = lively(two_filters(), 1), lively(two_filters(), 2)
    found = structures(model, EXAMPLE)
    (once,) = score("random", model, found, seed=3).values()
    (again,) = score("random", other, structures(other, EXAMPLE), seed=3).values()
    (elsewhere,) = score("random", model, found, seed=4).values()
    assert torch.equal(once, again)
    assert not torch.equal(once, elsewhere)
    assert bool(((once >= 0) & (once < 1)).all())


def test_an_unknown_criterion_is_answered_with_the_nearest_known_one() -> None:
    with pytest.raises(InputError) as error:
        score("randm", two_filters(), ())
    assert str(error.value) == "criterion: expected one of l1, pls, random, got randm; did you mean random?"


def test_scores_that_are_not_numbers_are_refused() -> None:
    model = two_filters()
    with torch.no_grad():
        model.get_parameter("0.weight")[0] = math.nan
    with pytest.raises(CutError) as error:
        score("l1", model, structures(model, EXAMPLE))
    assert str(error.value) == "l1 of 0: expected 2 finite scores, got [nan, 0.75]"
