from typing import Any

import pytest
import torch
from torch import Tensor

from tests.attack.nets import Watched, curved, linear_classes, middling
from tests.evaluate.toys import small_network
from tests.oracles import linear_distances, shortest_change
from windfirm.attack.budget import Budget, Norm
from windfirm.attack.fab import Stride, search, step
from windfirm.attack.projection import length
from windfirm.attack.registry import build
from windfirm.errors import InputError


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_a_linear_network_falls_at_its_distance(classes: int, norm: Norm, dual: float) -> None:
    model, weights, biases = linear_classes(classes)
    images = middling(60)
    labels = model(images).argmax(1)
    exact = linear_distances(weights, biases, images, dual)
    attack = build("fab-t", 4, norm=norm, steps=20, minimal=True)
    changed = attack.apply(model, images, labels, Budget(1.0))
    assert (model(changed).argmax(1) != labels).all()
    ratios = length(changed - images, norm) / exact
    assert ratios.min() > 1
    assert ratios.max() < 1.02


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_ends_of_the_box_are_gone_around(norm: Norm) -> None:
    model, weights, _ = linear_classes(2)
    images = (5 * middling(40) - 2).clamp(0, 1)  # one value in two is at an end of the box
    logits = model(images)
    labels = logits.argmax(1)
    changed = build("fab-t", 4, norm=norm, steps=30, minimal=True).apply(model, images, labels, Budget(10.0))
    assert (model(changed).argmax(1) != labels).all()
    for i, label in enumerate(labels.tolist()):
        slope, gap = weights[1 - label] - weights[label], float(logits[i, label] - logits[i, 1 - label])
        best = shortest_change(images[i].flatten(), slope, gap, norm)
        size = length(changed[i] - images[i], norm)
        assert size < 1.05 * length(best.view_as(images[i]), norm)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("alpha", [0.1, 0.4])
def test_a_step_is_that_of_the_paper(norm: Norm, alpha: float) -> None:
    """Croce & Hein (ICML 2020), equations 6 and 9, image by image, with a solver's projections onto the plane."""
    model, images, eta = curved(), middling(6), 1.05
    labels = model(images).argmax(1)
    aims = torch.stack((labels, (labels + 1) % 5), 1)
    order = float("inf") if norm == "linf" else 2

    def projection(image: Tensor, at: Tensor, aim: list[int]) -> Tensor:
        """The shortest change of ``image`` to the border as it seems from ``at``."""
        z = at[None].clone().requires_grad_()
        logits = model(z)[0]
        lead = logits[aim[1]] - logits[aim[0]]
        slope = torch.autograd.grad(lead, z)[0].flatten()
        gap = float(slope @ (at - image).flatten()) - float(lead.detach())
        return shortest_change(image.flatten(), slope, gap, norm).view(3, 4, 4)

    here = images + 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for i in (0, 1, 2):  # not far from the border
        here[i] = images[i] + 0.97 * projection(images[i], images[i], aims[i].tolist())
    moved, fooled = step(model, Stride(norm, alpha, eta, 0.9), images, here, aims)
    drawn = []
    for i, aim in enumerate(aims.tolist()):
        way, direct = projection(here[i], here[i], aim), projection(images[i], here[i], aim)
        far, near = (float(torch.linalg.vector_norm(change, order)) for change in (way, direct))
        drawn.append(min(far / (far + near), alpha))
        wanted = (1 - drawn[-1]) * (here[i] + eta * way) + drawn[-1] * (images[i] + eta * direct)
        torch.testing.assert_close(moved[i], wanted.clamp(0, 1), rtol=0, atol=1e-6)
    assert min(drawn) < alpha == max(drawn)
    assert torch.equal(fooled, model(moved).argmax(1) != labels)


@pytest.mark.parametrize("eps", [0.001, 0.003, 0.01])
def test_what_is_returned_is_within_eps_and_fools_wherever_that_is_possible(eps: float) -> None:
    model, weights, biases = linear_classes(5)
    images = middling(100)
    labels = model(images).argmax(1)
    changed = build("fab-t", 4, steps=30).apply(model, images, labels, Budget(eps))
    fooled = model(changed).argmax(1) != labels
    exact = linear_distances(weights, biases, images, 1)
    assert fooled[exact < eps / 1.01].all()
    assert not fooled[exact >= eps].any()
    assert 0 < int(fooled.sum()) < 100
    assert (changed - images).abs().max() <= eps
    assert torch.equal(changed[~fooled], images[~fooled])


def test_images_leave_once_a_change_within_eps_is_found() -> None:
    inner, weights, biases = linear_classes(4)
    images = middling(40)
    labels = inner(images).argmax(1)
    labels[:5] = (labels[:5] + 1) % 4
    near = linear_distances(weights, biases, images, 1) < 0.01 / 1.06
    model = Watched(inner)
    build("fab-t", 4, steps=3).apply(model, images, labels, Budget(0.01))
    assert model.counts[:3] == [40, 35, 35]  # what is wrong already is not attacked
    left = 35 - int(near[5:].sum())
    assert model.counts[-1] <= left < 30
    assert len(model.counts) == 1 + 3 * 3 * 2  # fewer targets than asked for, as there are no more classes


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_shortest_of_all_changes_that_fooled_is_kept(norm: Norm) -> None:
    model, images = curved(), middling(40)
    labels = model(images).argmax(1)
    aims = torch.stack((labels, (labels + 1) % 5), 1)
    stride = Stride(norm, 0.1, 1.05, 0.9)
    here, sizes = images, []
    for _ in range(12):
        moved, fooled = step(model, stride, images, here, aims)
        sizes.append(torch.where(fooled, length(moved - images, norm), torch.inf))
        here = torch.where(fooled[:, None, None, None], 0.1 * images + 0.9 * moved, moved)
    best, lengths = search(model, stride, images, aims, 12, enough=0.0, batch=None)
    shortest = torch.stack(sizes).amin(0)
    assert (shortest < sizes[-1]).any()
    torch.testing.assert_close(lengths, shortest)
    found = shortest.isfinite()
    torch.testing.assert_close(length(best - images, norm)[found], shortest[found])
    assert torch.equal(model(best).argmax(1) != labels, found)


def test_the_shortest_change_is_no_longer_than_the_first_within_eps() -> None:
    model = small_network().double()
    images = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = model(images).argmax(1)
    first, best = (
        build("fab-t", 8, steps=30, minimal=minimal).apply(model, images, labels, Budget()) for minimal in (False, True)
    )
    fooled = model(first).argmax(1) != labels
    assert fooled.any()
    assert torch.equal(model(best).argmax(1) != labels, fooled)
    assert (length(best - images, "linf") <= length(first - images, "linf"))[fooled].all()
    assert length(best - images, "linf").sum() < length(first - images, "linf").sum()


def test_the_batch_changes_nothing() -> None:
    model = small_network().double()
    images = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = model(images).argmax(1)
    attack = build("fab-t", 8, steps=10)
    together = attack.apply(model, images, labels, Budget(0.1))
    assert (together != images).any()
    torch.testing.assert_close(attack.apply(model, images, labels, Budget(0.1, batch=3)), together)
    torch.testing.assert_close(attack.apply(model, images[[5]], labels[[5]], Budget(0.1)), together[[5]])


@pytest.mark.parametrize("at_once", [25, 60])
@pytest.mark.parametrize("minimal", [False, True])
def test_several_targets_at_once_find_the_same_in_fewer_looks(minimal: bool, at_once: int) -> None:
    inner, *_ = linear_classes(5)
    images = middling(12)
    labels = inner(images).argmax(1)
    attack = build("fab-t", 4, steps=10, minimal=minimal)
    one, several = Watched(inner), Watched(inner)
    wanted = attack.apply(one, images, labels, Budget(0.003))
    found = attack.apply(several, images, labels, Budget(0.003, at_once=at_once))
    held = inner(wanted).argmax(1) == labels
    assert torch.equal(inner(found).argmax(1) == labels, held)
    assert 0 < int(held.sum()) < 12
    assert torch.equal(found, wanted) or not minimal
    assert len(several.counts) < len(one.counts)
    if at_once == 60:
        assert len(several.counts) <= 1 + 2 * 10  # what is asked of one target is asked of all
        assert max(several.counts) == 12 * 4


def test_eps_0_changes_nothing() -> None:
    model, *_ = linear_classes(3)
    images = middling(10)
    assert torch.equal(build("fab-t", 4, steps=5).apply(model, images, model(images).argmax(1), Budget(0.0)), images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "fab-t: expected steps of at least 1, got 0"),
        ({"targets": 0}, "fab-t: expected targets of at least 1, got 0"),
        ({"norm": "l1"}, "fab-t: expected a norm out of linf, l2, got l1"),
        (
            {"beta": 1.0},
            "fab-t: expected an alpha in [0, 1], a finite eta of at least 1 and a beta in (0, 1), got 0.1, 1.05 and 1",
        ),
        (
            {"eta": float("inf")},
            "fab-t: expected an alpha in [0, 1], a finite eta of at least 1 and a beta in (0, 1), got 0.1, inf and 0.9",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        build("fab-t", **options)
    assert str(error.value) == message
