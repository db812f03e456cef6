"""Every number is unique, and the initial network is the trained one with the sign turned: minus says what was kept."""

import copy

import pytest
import torch
from torch import nn

from tests.prune.nets import Net, lively, random_cut
from windfirm.adjust.ticket import rewind
from windfirm.errors import InputError
from windfirm.models.normalize import Normalized
from windfirm.models.resnet import ResNet
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import anatomy

IMAGE = torch.zeros(1, 3, 8, 8, dtype=torch.float64)


def turned(model: nn.Module) -> nn.Module:
    """The network with minus every number."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.neg_()
    return model


def grouped() -> nn.Module:
    """A convolution of two groups and one of single channels."""
    layers = (
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 1, groups=8),
    )
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def check(trained: nn.Module, smaller: nn.Module) -> None:
    wanted = {name: -value for name, value in smaller.state_dict().items()}
    numbers = torch.cat([value.flatten() for value in trained.parameters()])
    assert len(set(numbers.tolist())) == len(numbers) > sum(value.numel() for value in smaller.parameters())
    initial = turned(trained)
    kept = {name: value.clone() for name, value in initial.state_dict().items()}
    rewind(smaller, initial)
    assert smaller.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in smaller.state_dict().items())
    assert all(torch.equal(value, kept[name]) for name, value in initial.state_dict().items())


@pytest.mark.parametrize("make", [lambda: ResNet(2, 3), grouped])
def test_what_is_left_has_the_initial_numbers_element_by_element(make: type[nn.Module]) -> None:
    trained = lively(make())
    check(trained, cut(trained, random_cut(trained, IMAGE), IMAGE))


def test_after_a_cut_and_a_block_that_left_then_as_well() -> None:
    trained = lively(ResNet(2, 3))
    smaller = cut(trained, random_cut(trained, IMAGE, 0.3), IMAGE)
    block = next(s for s in anatomy(smaller, IMAGE).structures if s.kind == "block" and s.frozen is None)
    check(trained, cut(smaller, Cut({block: (0,)}), IMAGE))


def test_the_control_gets_all_of_them_and_a_normalisation_before_it_does_not_matter() -> None:
    trained = lively(ResNet(1, 3))
    initial, control = turned(trained), copy.deepcopy(trained)
    rewind(Normalized(control, (0.5,), (0.25,)), Normalized(initial, (0.1,), (0.2,)))
    assert all(torch.equal(value, initial.state_dict()[name]) for name, value in control.state_dict().items())


def test_networks_that_do_not_fit_are_refused_and_nothing_is_changed() -> None:
    trained = lively(ResNet(1, 3))
    smaller = cut(trained, random_cut(trained, IMAGE), IMAGE)
    once_more = cut(smaller, random_cut(smaller, IMAGE), IMAGE)
    other = lively(Net(lambda m, x: m.a(x), a=nn.Conv2d(3, 3, 1)))
    before = copy.deepcopy(smaller.state_dict())
    for initial, text in (
        (once_more, "initial weights: expected those of a network before its first cut, got a cut one's"),
        (lively(ResNet(1, 4)), "initial weights: linear.weight: expected shape (3, 38), got shape (4, 38)"),
        (other, "expected a parameter or buffer of the network, got none of that name"),
    ):
        with pytest.raises(InputError) as error:
            rewind(smaller, initial)
        assert text in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in smaller.state_dict().items())
