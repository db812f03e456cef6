import copy

import pytest
import torch
from torch import Tensor, nn

from tests.defend.nets import batch, generator, harmful, linear, shown, small
from windfirm.adjust.objective import Objective, cross_entropy
from windfirm.defend.adversarial import fast_at, pgd_at
from windfirm.defend.craft import Ball, craft
from windfirm.defend.trades import trades
from windfirm.errors import InputError
from windfirm.models.mode import statistics_kept

EPS = 8 / 255
ALL = [fast_at(8), pgd_at(8), trades(8)]


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_the_recipes_are_the_published_ones() -> None:
    assert fast_at(32).options == {"eps": EPS, "alpha": 1.25 * EPS, "steps": 1}
    assert fast_at(32, eps=0.9).options["alpha"] == 1.0
    assert pgd_at(32).options == {"eps": EPS, "alpha": 2 / 255, "steps": 7}
    assert trades(32).options == {"eps": EPS, "alpha": 2 / 255, "steps": 10, "beta": 6.0}


def test_one_step_on_a_linear_network_by_hand() -> None:
    images, _ = batch()
    labels = torch.arange(6) % 2
    model = linear()
    start = torch.empty(images.shape).uniform_(-EPS, EPS, generator=generator())
    expected = (images + start).clamp(0, 1) + 1.25 * EPS * harmful(model, images, labels)
    expected = expected.clamp(images - EPS, images + EPS).clamp(0, 1)
    _, _, seen = shown(fast_at(8), model, images, labels)
    torch.testing.assert_close(seen[-1], expected)


def test_steps_enough_end_in_the_worst_corner_of_the_ball_wherever_they_began() -> None:
    """Eight steps of a quarter of eps cross the ball; on a linear network the corner is known."""
    images, _ = batch()
    labels = torch.arange(6) % 2
    model = linear()
    corner = (images + EPS * harmful(model, images, labels)).clamp(0, 1)
    for seed in (0, 1):
        _, _, seen = shown(pgd_at(8, steps=8), model, images, labels, seed)
        torch.testing.assert_close(seen[-1], corner)
        assert len(seen) == 9


@pytest.mark.parametrize("objective", ALL, ids=lambda objective: objective.name)
def test_crafted_images_stay_in_the_ball_and_in_range_and_raise_the_loss(objective: Objective) -> None:
    images, labels = batch()
    model = small()
    loss, _, seen = shown(objective, model, images, labels)
    crafted = seen[-1]
    assert (crafted - images).abs().max() <= EPS + 1e-6
    assert crafted.min() >= 0
    assert crafted.max() <= 1
    assert (crafted != images).float().mean() > 0.7  # all but what is black or white already
    plain = cross_entropy(model, images, labels, generator())[0]
    assert cross_entropy(model, crafted, labels, generator())[0] > plain
    assert loss > plain


@pytest.mark.parametrize("objective", ALL[:2], ids=lambda objective: objective.name)
def test_the_loss_is_that_of_the_crafted_images_alone_and_so_are_the_running_statistics(objective: Objective) -> None:
    images, labels = batch()
    model, other = small(), small()
    loss, logits, seen = shown(objective, model, images, labels)
    plain, plain_logits = cross_entropy(other, seen[-1], labels, generator())
    assert torch.equal(loss, plain)
    assert torch.equal(logits, plain_logits)
    for name, buffer in other.named_buffers():
        assert torch.equal(model.get_buffer(name), buffer), name


def test_trades_weighs_the_plain_loss_and_the_divergence_and_statistics_see_both_batches() -> None:
    images, labels = batch()
    model, other = small(), small()
    loss, logits, seen = shown(trades(8, beta=2.5), model, images, labels)
    assert torch.equal(seen[0], images)
    p, q = (other(x).softmax(1) for x in (seen[0], seen[-1]))
    plain = -p[torch.arange(6), labels].log().mean()
    torch.testing.assert_close(loss, plain + 2.5 * (p * (p / q).log()).sum(1).mean())
    torch.testing.assert_close(logits.softmax(1), p)
    for name, buffer in other.named_buffers():
        assert torch.equal(model.get_buffer(name), buffer), name


def test_one_step_of_trades_by_hand() -> None:
    """Far from the images, where KL(p ‖ p′) and KL(p′ ‖ p) have different slopes."""
    images, labels = batch()
    model = small()
    p = model(images).detach().mul(20).softmax(1)  # a network surer than it is at first
    model.get_parameter("5.weight").data.mul_(20)
    model.get_parameter("5.bias").data.mul_(20)
    eps = 0.5
    start = torch.empty(images.shape).uniform_(-eps, eps, generator=generator())
    moved = (images + start).clamp(0, 1).requires_grad_()
    q = model(moved).softmax(1)
    (slope,) = torch.autograd.grad((p * (p / q).log()).sum(), moved)
    expected = (moved.detach() + 0.1 * slope.sign()).clamp(images - eps, images + eps).clamp(0, 1)
    _, _, seen = shown(trades(8, eps=eps, alpha=0.1, steps=1), model, images, labels)
    assert ((seen[-1] - expected).abs() < 1e-5).float().mean() > 0.99


def test_trades_climbs_the_divergence() -> None:
    images, labels = batch()

    def divergence(steps: int) -> Tensor:
        loss, _, (natural, *_) = shown(trades(8, steps=steps, beta=1.0), small(), images, labels)
        return loss - cross_entropy(small(), natural, labels, generator())[0]

    assert divergence(10) > 2 * divergence(1) > 0


@pytest.mark.parametrize("objective", ALL[:2], ids=lambda objective: objective.name)
def test_parameters_get_the_gradient_of_the_loss_and_nothing_from_the_crafting(objective: Objective) -> None:
    images, labels = batch()
    images.requires_grad_()
    model, other = small(), small()
    loss, _, seen = shown(objective, model, images, labels)
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.autograd.backward(loss)
    assert images.grad is None
    torch.autograd.backward(cross_entropy(other, seen[-1], labels, generator())[0])
    assert all(
        torch.equal(gradient(a), gradient(b)) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize("objective", ALL, ids=lambda objective: objective.name)
def test_under_autocast_every_weight_still_gets_a_gradient_and_the_loss_is_float32(objective: Objective) -> None:
    images, labels = batch()
    model = small()
    with torch.autocast("cpu", torch.bfloat16):
        loss, logits, seen = shown(objective, model, images, labels)
    assert (loss.dtype, logits.dtype, seen[-1].dtype) == (torch.float32,) * 3
    torch.autograd.backward(loss)
    for name, parameter in model.named_parameters():
        assert gradient(parameter).isfinite().all()
        if name != "0.bias":  # which the normalisation takes away again
            assert gradient(parameter).abs().max() > 0, name


def test_a_network_too_sure_for_its_softmax_is_still_climbed() -> None:
    """Margins of hundreds: the cross-entropy is zero with a gradient of zero, the margin's gradient is not."""
    images, _ = batch()
    model = linear(scale=1e4)
    labels = model(images).argmax(1)
    sure = cross_entropy(model, images, labels, generator())[0]
    assert sure == 0
    _, _, seen = shown(pgd_at(8, steps=8), model, images, labels)
    torch.testing.assert_close(seen[-1], (images + EPS * harmful(model, images, labels)).clamp(0, 1))


def test_crafting_uses_the_statistics_of_the_batch_and_keeps_the_running_ones() -> None:
    images, _ = batch()
    model = small()
    before = copy.deepcopy(model.state_dict())
    with statistics_kept(model):
        inside = model(images)
        assert model(images[:3]).shape == (3, 4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(images), inside)
    assert not torch.equal(model.get_buffer("1.running_mean"), before["1.running_mean"])
    assert model.get_buffer("1.num_batches_tracked") == 1


def test_a_frozen_normalisation_stays_frozen_in_crafting_and_one_without_statistics_as_it_was() -> None:
    images, _ = batch()
    model = small()
    model.get_submodule("1").eval()
    bare = nn.BatchNorm2d(3, track_running_stats=False)
    with statistics_kept(nn.Sequential(model, bare)):
        inside = model(images)
    assert torch.equal(model(images), inside)
    assert torch.equal(small().eval()(images), inside)
    assert bare.track_running_stats is False


def test_crafting_works_inside_no_grad_too() -> None:
    images, labels = batch()
    with torch.no_grad():
        moved = craft(small(), images, lambda logits: -logits[range(6), labels].sum(), Ball("x", EPS, EPS), generator())
    assert not moved.requires_grad
    assert not torch.equal(moved, images)


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (fast_at, {"eps": 8}, "fast-at: expected an eps in [0, 1], such as 8/255, got 8"),
        (pgd_at, {"eps": float("nan")}, "pgd-at: expected an eps in [0, 1], such as 8/255, got nan"),
        (pgd_at, {"steps": 0}, "pgd-at: expected a whole number of steps, at least 1, got 0"),
        (pgd_at, {"alpha": 2.0}, "pgd-at: expected an alpha in [0, 1], got 2.0"),
        (trades, {"alpha": -0.1}, "trades: expected an alpha in [0, 1], got -0.1"),
        (trades, {"beta": -1.0}, "trades: expected a beta of at least 0, got -1.0"),
    ],
)
def test_numbers_out_of_range(factory: object, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        factory(32, **options)  # type: ignore[operator]
    assert str(error.value) == message


def test_instance_normalisation_that_keeps_statistics_keeps_those_as_well() -> None:
    layer = nn.InstanceNorm2d(2, track_running_stats=True)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(4, 2, 5, 5)
    with statistics_kept(layer):
        kept = layer(x)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.equal(layer(x), kept)
    assert not torch.equal(layer.get_buffer("running_mean"), before["running_mean"])
