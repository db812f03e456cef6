from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.attack.nets import Watched, curved, middling
from windfirm.attack import apgd
from windfirm.attack.budget import Budget, Norm
from windfirm.attack.climb import Look
from windfirm.attack.losses import dlr, targeted_dlr
from windfirm.attack.projection import random_point
from windfirm.attack.registry import build
from windfirm.errors import InputError


def transcribed(loss: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, eps: float, norm: Norm) -> Tensor:
    """Algorithm 1 of Croce & Hein (ICML 2020), line by line, for one image x that is never fooled, and 100 steps."""

    def projected(z: Tensor) -> Tensor:
        if norm == "linf":
            return torch.minimum(torch.maximum(z, x - eps), x + eps).clamp(0, 1)
        return (x + (z - x) * min(1.0, eps / float((z - x).norm()))).clamp(0, 1)

    def climbed(z: Tensor, eta: float) -> Tensor:
        z = z.clone().requires_grad_()
        (g,) = torch.autograd.grad(loss(z), z)
        return projected(z.detach() + eta * (g.sign() if norm == "linf" else g / g.norm()))

    w = [0, 22, 41, 57, 70, 80, 87, 93, 99]
    eta = 2 * eps
    xs = [start, climbed(start, eta)]
    risen = [bool(loss(xs[1]) > loss(start))]
    best = xs[1] if risen[0] else start
    used, maxima = [eta], [loss(start)]
    for k in range(1, 100):
        z = climbed(xs[k], eta)
        new = projected(xs[k] + 0.75 * (z - xs[k]) + 0.25 * (xs[k] - xs[k - 1]))
        risen.append(bool(loss(new) > loss(xs[k])))
        best = new if loss(new) > loss(best) else best
        if k + 1 in w:
            j = w.index(k + 1)
            rarely = sum(risen[w[j - 1] : w[j]]) < 0.75 * (w[j] - w[j - 1])
            stuck = used[-1] == eta and maxima[-1] == loss(best)
            used.append(eta)
            maxima.append(loss(best))
            if rarely or stuck:
                eta, new = eta / 2, best
        xs.append(new)
    return best


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.06)])
def test_the_climb_is_that_of_a_plain_transcription(norm: Norm, eps: float) -> None:
    model, images = curved(), middling(4)
    labels, budget = model(images).argmax(1), Budget(eps, seed=1)
    with torch.no_grad():
        model.get_parameter("5.bias")[labels.mode().values] += 5  # nobody is fooled
    labels = model(images).argmax(1)
    changed = build("apgd-ce", 4, norm=norm).apply(model, images, labels, budget)
    start = random_point(images, budget, norm, "apgd-ce")
    assert torch.equal(model(changed).argmax(1), labels)
    for i in range(4):

        def loss(z: Tensor, i: int = i) -> Tensor:
            return F.cross_entropy(model(z[None]), labels[i : i + 1])

        truth = transcribed(loss, images[i], start[i], eps, norm)
        torch.testing.assert_close(changed[i], truth, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["apgd-dlr", "apgd-t"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.06)])
def test_the_ratios_of_logits_are_climbed_as_a_plain_transcription_does(name: str, norm: Norm, eps: float) -> None:
    model, images = curved(), middling(3)
    with torch.no_grad():
        model.get_parameter("5.bias")[0] += 5  # nobody is fooled
    logits = model(images)
    labels, budget = logits.argmax(1), Budget(eps, seed=1)
    changed = build(name, 4, norm=norm, **({"targets": 1} if name == "apgd-t" else {})).apply(
        model, images, labels, budget
    )
    start = random_point(images, budget, norm, name)
    for i, target in enumerate(logits.topk(2).indices[:, 1].tolist()):

        def loss(z: Tensor, target: int = target) -> Tensor:
            """Equations 6 and 7, of class 0, which has the highest logit."""
            scores: Tensor = model(z[None])[0]
            first, second, third, fourth = scores.topk(4).values.unbind()
            if name == "apgd-dlr":
                return (second - first) / (first - third)
            return (scores[target] - first) / (first - (third + fourth) / 2)

        truth = transcribed(loss, images[i], start[i], eps, norm)
        torch.testing.assert_close(changed[i], truth, rtol=0, atol=1e-7)


def test_the_step_size_is_looked_at_ever_more_often() -> None:
    assert apgd.checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert apgd.checkpoints(50) == [11, 21, 29, 35, 40, 44, 47, 50]
    assert apgd.checkpoints(1) == [1]


def test_a_step_is_halved_where_the_loss_seldom_rose_or_nothing_better_was_found() -> None:
    images = torch.zeros(4, 1, 1, 1)
    at = Look(torch.zeros(4, dtype=torch.bool), torch.ones(4), torch.ones(4, 1, 1, 1))
    state = apgd.beginning(images, torch.zeros(4, 1), images, at, eps=0.1)
    state = state._replace(
        moved=images + 0.1,
        gradient=images + 7,
        loss=torch.full((4,), 0.5),
        best_loss=torch.tensor([2.0, 2.0, 1.0, 1.0]),
        rises=torch.tensor([16.0, 17.0, 17.0, 17.0]),  # of 22, of which 0.75 are 16.5
        halved=torch.tensor([False, False, False, True]),
    )
    after = apgd.halved(state, 22)
    assert after.halved.tolist() == [True, False, True, False]
    torch.testing.assert_close(after.step.flatten(), torch.tensor([0.1, 0.2, 0.1, 0.2]))
    torch.testing.assert_close(after.moved.flatten(), torch.tensor([0.0, 0.1, 0.0, 0.1]))
    assert after.gradient.flatten().tolist() == [1, 7, 1, 7]
    assert after.loss.tolist() == [2, 0.5, 1, 0.5]
    assert after.rises.tolist() == [0] * 4
    assert after.then.tolist() == [2, 2, 1, 1]


def test_the_best_of_what_failed_comes_back() -> None:
    images, model = middling(20), curved()
    labels, budget = model(images).argmax(1), Budget(0.01)
    changed = build("apgd-dlr", 4).apply(model, images, labels, budget)
    start = random_point(images, budget, "linf", "apgd-dlr")
    held = model(changed).argmax(1) == labels
    assert int(held.sum()) > 5
    assert (dlr(model(changed), labels) > dlr(model(start), labels))[held].all()


def test_there_are_no_more_targets_than_other_classes() -> None:
    images, inner = middling(6), curved(classes=4)
    with torch.no_grad():
        inner.get_parameter("5.bias")[0] += 5  # nobody is fooled
    labels, model = inner(images).argmax(1), Watched(inner)
    attack = build("apgd-t", 4, steps=2, restarts=2)
    assert attack.trials == 2
    attack.apply(model, images, labels, Budget(0.01))
    assert model.counts == [6] * (1 + 3 * 3)  # the classes; three targets, a start and two steps each


def test_an_image_climbs_towards_the_likeliest_other_class_first() -> None:
    images, model = middling(20), curved()
    labels, budget = model(images).argmax(1), Budget(0.005)
    changed = build("apgd-t", 4, targets=1).apply(model, images, labels, budget)
    held = model(changed).argmax(1) == labels
    others = model(images).sort(1, descending=True).indices[:, 1:]
    gains = torch.stack(
        [targeted_dlr(model(changed), labels, t) - targeted_dlr(model(images), labels, t) for t in others.unbind(1)]
    )
    assert int(held.sum()) > 5
    assert (gains[0] > 0)[held].all()
    assert (gains.argmax(0) == 0)[held].float().mean() > 0.5


def test_an_image_is_fooled_by_all_targets_together_if_it_is_by_any_alone() -> None:
    images, model, eps = middling(30), curved(), 0.005
    logits = model(images)
    labels, others = logits.argmax(1), logits.sort(1, descending=True).indices[:, 1:]
    alone = []
    for trial, target in enumerate(others.unbind(1)):
        start = random_point(images, Budget(eps, trial=trial), "linf", "apgd-t")
        aims = torch.stack((labels, target), 1)
        moved, _ = apgd.climb("toy", model, images, aims, start, Budget(eps), targeted_dlr, 10, "linf")
        alone.append(model(moved).argmax(1) != labels)
    changed = build("apgd-t", 4, steps=10).apply(model, images, labels, Budget(eps))
    fooled = model(changed).argmax(1) != labels
    assert torch.equal(fooled, torch.stack(alone).any(0))
    assert 0 < int(alone[0].sum()) < int(fooled.sum()) < 30


def test_every_target_and_restart_has_a_random_start_of_its_own() -> None:
    images, model = middling(3), curved()
    starts: list[Tensor] = []

    class Noted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            starts.append(x.detach().clone())
            logits: Tensor = model(x)
            return logits

    with torch.no_grad():
        model.get_parameter("5.bias")[0] += 5  # nobody is fooled
    attack, labels = build("apgd-t", 4, steps=1, targets=4, restarts=2), model(images).argmax(1)
    for trial in range(attack.trials):
        attack.apply(Noted(), images, labels, Budget(0.01, trial=trial))
    begun = [*starts[1:9:2], *starts[10::2]]
    wanted = [random_point(images, Budget(0.01, trial=trial), "linf", "apgd-t") for trial in range(8)]
    assert all(torch.equal(*pair) for pair in zip(begun, wanted, strict=True))


@pytest.mark.parametrize("at_once", [25, 60])
def test_several_targets_at_once_fool_the_same_images_in_fewer_looks(at_once: int) -> None:
    inner, images = curved(), middling(12)
    labels = inner(images).argmax(1)
    attack = build("apgd-t", 4, steps=10)
    one, several = Watched(inner), Watched(inner)
    held = inner(attack.apply(one, images, labels, Budget(0.005))).argmax(1) == labels
    changed = attack.apply(several, images, labels, Budget(0.005, at_once=at_once))
    assert torch.equal(inner(changed).argmax(1) == labels, held)
    assert 0 < int(held.sum()) < 12
    assert len(several.counts) < len(one.counts)
    if at_once == 60:
        assert len(several.counts) <= 1 + 2 * 11  # what is asked of one target is asked of all


@pytest.mark.parametrize(("name", "least", "classes"), [("apgd-dlr", 3, 2), ("apgd-t", 4, 3)])
def test_a_network_with_too_few_classes_is_refused(name: str, least: int, classes: int) -> None:
    images, model = middling(2), curved(classes)
    with pytest.raises(InputError) as error:
        build(name, 4).apply(model, images, model(images).argmax(1), Budget(0.01))
    assert str(error.value) == f"{name}: expected a network with at least {least} classes, got {classes}"


def test_a_network_without_a_gradient_is_refused() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 3)

    with pytest.raises(InputError) as error:
        build("apgd-ce", 4).apply(Blind(), middling(2), torch.tensor([0, 1]), Budget())
    assert str(error.value) == "apgd-ce: expected a network with a gradient from its outputs to its images, got none"
