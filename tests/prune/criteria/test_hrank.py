import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import Net, lively
from windfirm.errors import CutError
from windfirm.prune.criteria import score, scores
from windfirm.prune.structure import Structure, structures

#: Two images, diagonals of 1, 1, 1 and of 1, 1, -1.
IMAGES = torch.diag_embed(torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0]])).view(2, 1, 3, 3)
LABELS = torch.tensor([0, 1])


def three_filters() -> Any:
    """One gives the image, one its negative, one is 1 everywhere."""
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(18, 2))
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1))
        model.get_parameter("0.bias").copy_(torch.tensor([0.0, 0.0, 1.0]))
    return model


def by_numpy(maps: Tensor) -> Tensor:
    """The oracle: the mean over images, one map after the other."""
    return torch.tensor([[float(np.linalg.matrix_rank(one)) for one in image] for image in maps.numpy()]).mean(0)


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64), torch.arange(6) % 2


def test_by_hand() -> None:
    model = three_filters()
    found = [s for s in structures(model, IMAGES[:1]) if s.name == "0"]
    asked = scores(["hrank"], model, found, [(IMAGES, LABELS)])["hrank"]
    assert asked.halves is not None
    (whole,), (even,), (odd,) = (part.values() for part in (asked.scores, *asked.halves))
    assert even.tolist() == [3, 0, 1]
    assert odd.tolist() == [2, 1, 1]
    assert whole.tolist() == [2.5, 0.5, 1]
    (again,) = score("hrank", model.double(), found, [(IMAGES[:1], LABELS[:1]), (IMAGES[1:], LABELS[1:])]).values()
    assert again.tolist() == whole.tolist()


def test_filters_that_leave_together_and_run_twice_have_the_mean() -> None:
    layers = {name: nn.Conv2d(2, 2, 1) for name in "ast"}
    model = lively(Net(lambda m, x: m.t(m.s(m.s(m.a(x).relu()).relu()).relu()).mean((2, 3)), **layers))
    images, labels = data()
    with torch.no_grad():
        maps = [model.a(images).relu()]
        maps += [model.s(maps[0]).relu()]
        maps += [model.s(maps[1]).relu()]
    first, once, twice = map(by_numpy, maps)
    found = [s for s in structures(model, images[:1]) if s.kind == "filters" and s.frozen is None]
    (values,) = score("hrank", model, found, [(images, labels)]).values()
    assert values.tolist() == pytest.approx(((first + (once + twice) / 2) / 2).tolist())


def test_a_block_has_the_mean_share_of_the_rank_that_its_output_could_have() -> None:
    layers = {name: nn.Conv2d(2, 2, 1) for name in "abcd"}
    model = lively(Net(lambda m, x: m.d((x + m.b(m.a(x).relu())).relu() + m.c(x)).mean((2, 3)), **layers))
    images, labels = data()
    with torch.no_grad():
        output = (images + model.b(model.a(images).relu())).relu()
    blocks = [s for s in structures(model, images[:1]) if s.kind == "block"]
    values = {s.name: v.tolist() for s, v in score("hrank", model, blocks, [(images, labels)]).items()}
    assert values["b"] == [pytest.approx(float(by_numpy(output).mean()) / 4)]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear, (2, 2)),
        (nn.Linear, (2, 5, 2)),
        (nn.Linear, (2, 5, 4, 2)),
        (lambda i, o: nn.Conv1d(i, o, 1), (2, 2, 5)),
        (lambda i, o: nn.Conv3d(i, o, 1), (2, 2, 3, 3, 3)),
    ],
)
def test_what_is_no_map_of_height_and_width_has_no_score(layer: Any, shape: tuple[int, ...]) -> None:
    model = lively(Net(lambda m, x: m.b(m.a(x).relu()), a=layer(2, 3), b=layer(3, 2)))
    found: list[Structure] = [s for s in structures(model, torch.zeros(shape).double()) if s.frozen is None]
    assert {s.name for s in found} == {"a"}
    assert score("hrank", model, found, [(torch.rand(shape), LABELS)]) == {}


def test_numbers_that_are_not_finite_are_refused() -> None:
    model = three_filters()
    found = structures(model, IMAGES[:1])
    with pytest.raises(CutError) as error:
        score("hrank", model, found, [(IMAGES * math.inf, LABELS)])
    assert str(error.value) == "hrank of aten.relu.default in 1: expected finite values, got infinite or undefined ones"
