from typing import Any

import pytest
import torch
from torch import nn

from tests.attack.nets import Watched, linear_classes, middling
from tests.evaluate.toys import small_network
from tests.oracles import linear_distances
from windfirm.attack.budget import Budget, Norm
from windfirm.attack.projection import length
from windfirm.attack.registry import build
from windfirm.errors import InputError


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_a_linear_network_falls_at_its_distance_and_the_overshoot(classes: int, norm: Norm, dual: float) -> None:
    model, weights, biases = linear_classes(classes)
    images = middling(60)
    labels = model(images).argmax(1)
    changed = build("deepfool", 4, norm=norm).apply(model, images, labels, Budget(1.0))
    assert (model(changed).argmax(1) != labels).all()
    exact = linear_distances(weights, biases, images, dual)
    torch.testing.assert_close(length(changed - images, norm), 1.02 * exact)


@pytest.mark.parametrize("name", ["deepfool", "fab-t", "apgd-t"])
def test_beside_a_single_class_there_is_no_border(name: str) -> None:
    images = middling(4)
    model, labels = (
        nn.Sequential(nn.Flatten(), nn.Linear(48, 1, dtype=torch.float64)),
        torch.zeros(4, dtype=torch.int64),
    )
    assert torch.equal(build(name, 4).apply(model, images, labels, Budget(0.1)), images)


def test_only_changes_within_eps_are_returned() -> None:
    model, weights, biases = linear_classes(5)
    images = middling(100)
    labels = model(images).argmax(1)
    changed = build("deepfool", 4).apply(model, images, labels, Budget(0.01))
    fooled = linear_distances(weights, biases, images, 1) <= 0.01 / 1.02
    assert 0 < int(fooled.sum()) < 100
    assert torch.equal(model(changed).argmax(1) != labels, fooled)
    assert torch.equal(changed[~fooled], images[~fooled])
    assert torch.equal(build("deepfool", 4).apply(model, images, labels, Budget(0.0)), images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_network_with_bends_is_fooled_after_some_steps(norm: Norm) -> None:
    model = Watched(small_network().double())
    images = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = model(images).argmax(1)
    model.counts.clear()
    changed = build("deepfool", 8, norm=norm).apply(model, images, labels, Budget(10.0))
    steps = model.counts[1::2]
    assert steps[0] == 20
    assert sorted(steps, reverse=True) == steps  # images leave when they are fooled
    assert len(steps) > 1
    assert (model(changed).argmax(1) != labels).all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_logits_that_round_to_the_same_number_are_no_place_to_stay() -> None:
    model, *_ = linear_classes(3)
    images = middling(200)

    def coarse(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(images)
        return logits + (logits.detach().to(torch.bfloat16) - logits).detach()

    labels = coarse(images).argmax(1)
    changed = build("deepfool", 4).apply(coarse, images, labels, Budget(1.0))  # type: ignore[arg-type]
    assert (coarse(changed).argmax(1) != labels).all()


def test_what_is_wrong_already_or_cannot_be_fooled_stays_as_it_is() -> None:
    model, *_ = linear_classes(3)
    images = middling(10)
    wrong = (model(images).argmax(1) + 1) % 3
    assert torch.equal(build("deepfool", 4).apply(model, images, wrong, Budget(1.0)), images)
    with torch.no_grad():
        model.get_parameter("1.bias")[0] += 1e6
    assert torch.equal(build("deepfool", 4).apply(model, images, model(images).argmax(1), Budget(1.0)), images)


def test_the_batch_changes_nothing() -> None:
    model = small_network().double()
    images = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = model(images).argmax(1)
    attack = build("deepfool", 8)
    together = attack.apply(model, images, labels, Budget(0.5))
    assert (together != images).any()
    torch.testing.assert_close(attack.apply(model, images, labels, Budget(0.5, batch=3)), together)
    torch.testing.assert_close(attack.apply(model, images[[5]], labels[[5]], Budget(0.5)), together[[5]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "deepfool: expected steps of at least 1, got 0"),
        ({"targets": 0}, "deepfool: expected targets of at least 1, got 0"),
        ({"norm": "l1"}, "deepfool: expected a norm out of linf, l2, got l1"),
        ({"overshoot": -0.1}, "deepfool: expected a finite overshoot of at least 0, got -0.1"),
        ({"overshoot": float("inf")}, "deepfool: expected a finite overshoot of at least 0, got inf"),
    ],
)
def test_what_cannot_be_run_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        build("deepfool", **options)
    assert str(error.value) == message


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_border_outside_of_the_box_is_not_stepped_to(norm: Norm) -> None:
    layer = nn.Linear(4, 3).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[0.0], [-1.0], [0.5]]).expand(3, 4))
    layer.bias.copy_(torch.tensor([0.1, 0.0, 0.0]))
    model, images = nn.Sequential(nn.Flatten(), layer), torch.zeros(1, 1, 2, 2)
    labels = model(images).argmax(1)  # class 1 is nearer than class 2, and below black
    changed = build("deepfool", 2, norm=norm).apply(model, images, labels, Budget(1.0))
    torch.testing.assert_close(changed, torch.full_like(images, 1.02 * 0.05))


def test_black_and_white_pixels_fall_at_their_distance() -> None:
    model, weights, biases = linear_classes(30)
    biases += torch.linspace(-0.5, 0.5, 30)  # grey is on no border any more
    images = torch.randint(0, 2, (200, 3, 4, 4), generator=torch.Generator().manual_seed(0)).double()
    labels = model(images).argmax(1)
    changed = build("deepfool", 4, targets=29).apply(model, images, labels, Budget(1.0))
    logits = images.flatten(1) @ weights.T + biases
    gaps = logits.gather(1, labels[:, None]) - logits
    slopes = weights[None] - weights[labels][:, None]  # (200, 30, 48)
    inward = (slopes * (1 - 2 * images.flatten(1)[:, None])).clamp(min=0).sum(2)  # a pixel may only leave its end
    exact = (gaps / inward).scatter(1, labels[:, None], torch.inf).amin(1)
    assert (exact < 0.9).sum() > 100
    torch.testing.assert_close(length(changed - images, "linf")[exact < 0.9], 1.02 * exact[exact < 0.9])
