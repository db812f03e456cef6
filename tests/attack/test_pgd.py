import pytest
import torch

from tests.attack.nets import Watched, curved, linear, middling
from windfirm.attack.budget import Budget, Norm
from windfirm.attack.projection import random_point
from windfirm.attack.registry import build


@pytest.mark.parametrize("name", ["pgd", "apgd-ce"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.005), ("linf", 0.02), ("l2", 0.03), ("l2", 0.1)])
def test_a_linear_network_is_fooled_exactly_within_its_margin(name: str, norm: Norm, eps: float) -> None:
    images = middling(400)
    model, weights, bias = linear(images)
    labels = model(images).argmax(1)
    changed = build(name, 4, norm=norm).apply(model, images, labels, Budget(eps))
    dual = weights.abs().sum() if norm == "linf" else weights.norm()
    within = ((images * weights).sum((1, 2, 3)) + bias).abs() / dual < eps
    assert torch.equal(model(changed).argmax(1) != labels, within)
    assert 20 < int(within.sum()) < 380


@pytest.mark.parametrize("name", ["pgd", "apgd-ce"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_keeps_the_first_point_that_fools(name: str, norm: Norm) -> None:
    images, model = middling(60), curved()
    labels, budget = model(images).argmax(1), Budget(0.03 if norm == "linf" else 0.15)
    short, long = (build(name, 4, steps=n, norm=norm).apply(model, images, labels, budget) for n in (1, 9))
    start = random_point(images, budget, norm, name)
    at_once = model(start).argmax(1) != labels
    early = model(short).argmax(1) != labels
    assert 0 < int(at_once.sum()) < int(early.sum()) <= int((model(long).argmax(1) != labels).sum())
    torch.testing.assert_close(long[early], short[early], rtol=0, atol=1e-12)
    assert torch.equal(short[at_once], start[at_once])


def test_the_network_sees_what_is_left_and_no_more_at_once_than_a_batch() -> None:
    images, model = middling(60), Watched(curved())
    labels = model.network(images).argmax(1)
    changed = build("pgd", 4, steps=6).apply(model, images, labels, Budget(0.1))
    assert model.counts[0] == 60
    assert model.counts == sorted(model.counts, reverse=True)
    assert model.counts[-1] < 20
    total, model.counts = sum(model.counts), []
    again = build("pgd", 4, steps=6).apply(model, images, labels, Budget(0.1, batch=7))
    torch.testing.assert_close(again, changed, rtol=0, atol=1e-12)
    assert max(model.counts) == 7
    assert sum(model.counts) == total


@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "apgd-dlr", "apgd-t"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_eps_0_changes_nothing(name: str, norm: Norm) -> None:
    images, model = middling(5), curved()
    labels = model(images).argmax(1)
    changed = build(name, 4, steps=3, norm=norm).apply(model, images, labels, Budget(0.0))
    assert torch.equal(changed, images)


def test_restarts_are_trials_with_starts_of_their_own() -> None:
    attack = build("pgd", 4, steps=1, restarts=3)
    assert attack.trials == 3
    images, model = middling(5), curved()
    labels = model(images).argmax(1)
    first, second = (attack.apply(model, images, labels, Budget(0.01, trial=trial)) for trial in (0, 1))
    assert not torch.equal(first, second)
