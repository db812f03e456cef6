from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.prune.nets import Net, lively
from windfirm.errors import InputError
from windfirm.prune.criteria import Scored, score, scores
from windfirm.prune.structure import structures

IMAGE = torch.full((1, 1, 1, 1), 2.0)
FIRST, SECOND = (IMAGE, torch.tensor([0])), (IMAGE, torch.tensor([1]))
BOTH = (IMAGE.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
SQUARES = [9 / 4, 49 / 4, 16 / 4]


def three_filters() -> Any:
    """h = w · 2 + b = (3, 7, 2); the first logit is v · h = 0 with v = (1, -1, 2), the second always 0.

    So both classes have probability 1/2, the gradient at h is ∓v/2, and a filter's sum is ∓v·h/2.
    """
    model: Any = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 3.0, 0.5]).view(3, 1, 1, 1))
        model[0].bias.copy_(torch.ones(3))
        model[2].weight.copy_(torch.tensor([[1.0, -1.0, 2.0], [0.0, 0.0, 0.0]]))
    return model


def asked(batches: Sequence[tuple[Tensor, Tensor]], model: Any = None) -> Scored:
    model = model or three_filters()
    return scores(["taylor"], model, structures(model, batches[0][0][:1]), batches)["taylor"]


def first(found: Any) -> list[float]:
    (values,) = found.values()
    return values.tolist()  # type: ignore[no-any-return]


def test_by_hand() -> None:
    assert first(asked([FIRST]).scores) == SQUARES


def test_the_batch_size_is_part_of_the_definition() -> None:
    assert first(asked([FIRST, SECOND]).scores) == SQUARES  # the mean of two squares
    assert first(asked([BOTH]).scores) == [0, 0, 0]  # the square of a mean: the two gradients cancel


def test_halves_are_halves_of_the_batches() -> None:
    found = asked([FIRST, BOTH, SECOND, BOTH])
    assert found.halves is not None
    assert [first(half) for half in found.halves] == [SQUARES, [0, 0, 0]]
    assert first(found.scores) == [value / 2 for value in SQUARES]
    assert asked([FIRST]).halves is None


def test_weights_that_are_not_trained_have_a_gradient_all_the_same() -> None:
    model = three_filters()
    model[2].requires_grad_(False)
    whole = first(asked([FIRST], model).scores)
    model.requires_grad_(False)
    assert first(asked([FIRST], model).scores) == whole == SQUARES
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_every_kind_of_layer_against_plain_backward() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        y = m.n(m.b(m.a(x).relu())).relu() + m.d(x)
        return m.f(m.e(y.mean((2, 3))).relu())  # type: ignore[no-any-return]

    model = lively(
        Net(
            run,
            a=nn.Conv2d(2, 3, 1), b=nn.ConvTranspose2d(3, 4, 1), n=nn.BatchNorm2d(4), d=nn.Conv2d(2, 4, 1, bias=False),
            e=nn.Linear(4, 3), f=nn.Linear(3, 2),
        )
    )  # fmt: skip
    images = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 0])
    found = {s.name: values for s, values in asked([(images, labels)], model).scores.items()}
    F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]

    def change(name: str, axis: int = 0, bias: bool = True) -> Tensor:
        layer: Any = model.get_submodule(name)
        change = (layer.weight.grad * layer.weight).movedim(axis, 0).flatten(1).sum(1)
        return torch.as_tensor(change + layer.bias.grad * layer.bias if bias else change).square().detach()

    wanted = {"a": change("a"), "b": (change("b", 1) + change("d", bias=False)) / 2, "e": change("e")}
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        assert values.tolist() == pytest.approx(wanted[name].tolist(), rel=1e-9)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([2], "batches: expected labels that are whole numbers below 2, got torch.int64 from 2 to 2"),
        ([-1], "batches: expected labels that are whole numbers below 2, got torch.int64 from -1 to -1"),
        ([0.5], "batches: expected labels that are whole numbers below 2, got torch.float32 from 0.5 to 0.5"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: list[float], message: str) -> None:
    with pytest.raises(InputError) as error:
        asked([(IMAGE, torch.tensor(labels))])
    assert str(error.value) == message


def test_networks_without_a_loss_are_refused() -> None:
    maps: Any = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1))
    with pytest.raises(InputError) as error:
        asked([FIRST], maps)
    assert str(error.value) == "batches: expected class scores of shape (1, classes) from the network, got (1, 2, 1, 1)"
    detached = Net(lambda m, x: m.b(m.a(x)).detach().flatten(1), a=nn.Conv2d(1, 3, 1), b=nn.Conv2d(3, 2, 1))
    with pytest.raises(InputError, match=r"^batches: expected a network that can be differentiated, got "):
        score("taylor", detached, structures(detached, IMAGE), [FIRST])
