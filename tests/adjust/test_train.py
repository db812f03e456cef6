import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.adjust.objective import Objective, cross_entropy
from windfirm.adjust.together import train_together
from windfirm.adjust.train import Recipe, train
from windfirm.errors import InputError, TrainingError
from windfirm.models import device


def toy(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)
    )


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))


def dark_and_bright(count: int = 32) -> tuple[Tensor, Tensor]:
    """Two classes that differ in brightness, which neither a crop nor a flip can hide."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 60, (count, 3, 8, 8), generator=generator)
    return (noise + 180 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_in_bfloat16_every_step_computes_with_the_weights_of_that_step(
    monkeypatch: pytest.MonkeyPatch, inside: bool, together: bool
) -> None:
    """Autocast keeps rounded weights until the outermost block of it ends, and the caller may be in one as well."""
    monkeypatch.setattr(device, "has_bfloat16", lambda _: True)
    model, fresh = linear(), []

    def loss(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        value, logits = cross_entropy(network, images, labels, generator)
        rounded = [parameter.detach().bfloat16() for parameter in model.parameters()]
        fresh.append(torch.equal(logits, F.linear(images.flatten(1).bfloat16(), *rounded).float()))
        return value, logits

    recipe, objective = Recipe(epochs=2, lr=0.1, batch=8), Objective("watched", loss)
    images, labels = dark_and_bright()
    with torch.autocast("cpu", torch.bfloat16, enabled=inside):
        model(images[:1].float())  # whose rounded weights are kept
        if together:
            train_together([model], images, labels, recipe, seeds=[0], objective=objective)
        else:
            train(model, images, labels, recipe, objective=objective)
    assert fresh == [True] * 8


def test_a_separable_problem_is_learnt() -> None:
    history = train(toy(), *dark_and_bright(), Recipe(epochs=8, lr=0.05, batch=8))
    assert [entry.epoch for entry in history] == list(range(1, 9))
    assert history[-1].loss < 0.2 < history[0].loss
    assert history[-1].accuracy == 1.0
    assert all(entry.seconds > 0 and entry.images_per_second > 0 for entry in history)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    recipe = Recipe(epochs=1, batch=8)
    one, same, other = toy(), toy(), toy()
    train(one, *dark_and_bright(), recipe, seed=0)
    train(same, *dark_and_bright(), recipe, seed=0)
    train(other, *dark_and_bright(), recipe, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_one_plain_step_is_gradient_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windfirm.models.device.has_bfloat16", lambda _: False)
    images = torch.full((4, 3, 8, 8), 255, dtype=torch.uint8)
    seen: list[Tensor] = []
    model = linear()
    hook = model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module is model else None)
    weight, bias = (parameter.detach().clone() for parameter in model.parameters())
    weight.requires_grad_()
    recipe = Recipe(epochs=1, lr=0.5, batch=4, schedule="step", momentum=0, weight_decay=0)
    train(model, images, torch.tensor([0, 0, 0, 0]), recipe)
    hook.remove()
    logits = seen[0].flatten(1) @ weight.T + bias
    (gradient,) = torch.autograd.grad((logits.logsumexp(1) - logits[:, 0]).mean(), weight)
    torch.testing.assert_close(model.get_parameter("1.weight"), weight - 0.5 * gradient)


def test_steps_are_nesterov_s_and_every_weight_decays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sutskever et al. (ICML 2013) as PyTorch writes it down, step by step: v = μv + g, w = w - lr (g + μv)."""
    monkeypatch.setattr("windfirm.models.device.has_bfloat16", lambda _: False)
    model, seen = linear(), list[Tensor]()
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()) if module is model else None)
    values = [parameter.detach().clone() for parameter in model.parameters()]
    velocities = [torch.zeros_like(value) for value in values]
    recipe = Recipe(epochs=4, lr=0.02, batch=8, schedule="step", momentum=0.8, weight_decay=0.1)
    train(model, dark_and_bright(8)[0], torch.zeros(8, dtype=torch.int64), recipe)
    for x, rate in zip(seen, (0.02, 0.02, 0.002, 0.0002), strict=True):
        weight, bias = leaves = [value.clone().requires_grad_() for value in values]
        logits = x.flatten(1) @ weight.T + bias
        slopes = torch.autograd.grad((logits.logsumexp(1) - logits[:, 0]).mean(), leaves)
        for i, slope in enumerate(slopes):
            slope = slope + 0.1 * values[i]
            velocities[i] = 0.8 * velocities[i] + slope
            values[i] = values[i] - rate * (slope + 0.8 * velocities[i])
    for parameter, value in zip(model.parameters(), values, strict=True):
        torch.testing.assert_close(parameter, value, rtol=1e-4, atol=1e-6)


class Dropping(nn.Module):
    """Leaves a layer out now and then, in training alone (Huang et al., ECCV 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(192, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.steps: list[bool] = []

    def forward(self, x: Tensor) -> Any:
        x = self.a(x.flatten(1))
        self.steps.append(bool(torch.rand(()) < 0.5))
        return self.c(x if self.training and self.steps[-1] else x + self.b(x))


def test_a_layer_may_be_left_out_of_the_first_steps() -> None:
    model = Dropping()
    before = model.b.weight.detach().clone()
    train(model, *dark_and_bright(), Recipe(epochs=2, batch=8), seed=next(n for n in range(9) if _drops_first(n)))
    assert not torch.equal(model.b.weight, before)


def _drops_first(seed: int) -> bool:
    model = Dropping()
    train(model, *dark_and_bright(8), Recipe(epochs=1, batch=8), seed=seed)
    return model.steps[-1]


def test_the_rate_follows_the_schedule_within_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def noting(self: torch.optim.SGD) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", noting)
    train(toy(), *dark_and_bright(16), Recipe(epochs=4, lr=2e-3, batch=8, schedule="step"))
    assert rates == [2e-3 * share for share in (1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01)]


def test_progress_hears_of_every_step_and_of_the_last_loss() -> None:
    heard: list[tuple[int, int, float]] = []
    history = train(
        toy(),
        *dark_and_bright(12),
        Recipe(epochs=2, batch=8),
        progress=lambda n, of, _, loss: heard.append((n, of, loss)),
    )
    assert [(n, of) for n, of, _ in heard] == [(8, 24), (12, 24), (20, 24), (24, 24)]
    assert all(math.isnan(loss) for _, _, loss in heard[:2])
    assert [loss for _, _, loss in heard[2:]] == [history[0].loss] * 2


def test_the_loss_of_an_epoch_is_the_mean_over_images_also_where_the_last_batch_is_small() -> None:
    model, seen = linear(), list[Tensor]()
    model.register_forward_hook(
        lambda module, args, out: seen.append(out.detach().float()) if module is model else None
    )
    images = dark_and_bright(12)[0]
    (epoch,) = train(model, images, torch.zeros(12, dtype=torch.int64), Recipe(epochs=1, lr=0.5, batch=8))
    assert [len(logits) for logits in seen] == [8, 4]
    losses = torch.cat([logits.logsumexp(1) - logits[:, 0] for logits in seen])
    assert abs(float(losses[:8].mean() - losses[8:].mean())) > 0.1
    assert epoch.loss == pytest.approx(float(losses.mean()), rel=1e-5)
    assert epoch.accuracy == float((torch.cat(seen).argmax(1) == 0).float().mean())


def test_a_rest_of_one_image_joins_the_batch_before_it() -> None:
    seen: list[int] = []
    model = toy()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])) if module is model else None)
    train(model, *dark_and_bright(17), Recipe(epochs=1, lr=0.01, batch=8))
    train(model, *dark_and_bright(18), Recipe(epochs=1, lr=0.01, batch=8))
    train(model, *dark_and_bright(1), Recipe(epochs=1, lr=0.01, batch=8))
    assert seen == [8, 9, 8, 8, 2, 1]


def test_every_epoch_has_an_order_and_an_augmentation_of_its_own() -> None:
    model, seen = linear(), list[Tensor]()
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()) if module is model else None)
    images = (20 * torch.arange(12) + 10).view(12, 1, 1, 1).expand(12, 3, 8, 8).to(torch.uint8)  # told by brightness
    train(model, images.contiguous(), torch.zeros(12, dtype=torch.int64), Recipe(epochs=3, lr=0.01, batch=12))
    assert len(seen) == 3
    orders, moved = [x.amax((1, 2, 3)).argsort() for x in seen], [x > 0 for x in seen]  # padding is black
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(orders[one], orders[other])
        assert not torch.equal(moved[one], moved[other])  # by place, not by image


def test_the_mode_of_the_model_is_put_back() -> None:
    model = toy().eval()
    train(model, *dark_and_bright(8), Recipe(epochs=1, batch=8))
    assert not model.training


def test_a_loss_that_is_not_finite_ends_the_run_with_advice() -> None:
    model = toy()
    nn.init.constant_(model.get_parameter("0.weight"), torch.nan)
    with pytest.raises(TrainingError) as error:
        train(model, *dark_and_bright(), Recipe(epochs=2, lr=0.3))
    assert str(error.value) == "epoch 1: expected a finite loss, got nan; a lower learning rate than 0.3 may help"


def test_weights_that_the_last_step_spoils_end_the_run_as_well() -> None:
    model = toy()
    model.get_parameter("3.weight").register_hook(lambda slope: slope * torch.inf)  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError) as error:
        train(model, *dark_and_bright(8), Recipe(epochs=1, lr=0.3, batch=8))
    wanted = "epoch 1: expected finite weights, got others in 3.weight; a lower learning rate than 0.3 may help"
    assert str(error.value) == wanted


def test_a_network_with_more_than_logits_in_training_is_refused() -> None:
    class Auxiliary(nn.Flatten):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return x, x

    with pytest.raises(InputError) as error:
        train(nn.Sequential(toy(), Auxiliary()), *dark_and_bright(), Recipe(epochs=1, batch=8))
    wanted = (
        "model: expected logits alone in training as well, got tuple; a network around it can return the logits alone"
    )
    assert str(error.value) == wanted


@pytest.mark.parametrize(("found", "got"), [(torch.zeros(()), "Tensor"), ((torch.zeros(()), 0.5), "tuple")])
def test_an_objective_that_keeps_the_logits_to_itself_is_refused(found: Any, got: str) -> None:
    objective = Objective("mine", lambda *batch: found)
    with pytest.raises(InputError, match=f"objective mine: expected a loss and the logits, got {got}"):
        train(toy(), *dark_and_bright(), Recipe(epochs=1, batch=8), objective=objective)


def test_data_that_cannot_be_trained_on_is_refused() -> None:
    images, labels = dark_and_bright(8)
    for some_images, some_labels, got in [(images, labels[:5], "5 and 8"), (images[:0], labels[:0], "0 and 0")]:
        with pytest.raises(InputError) as error:
            train(toy(), some_images, some_labels, Recipe())
        assert str(error.value) == f"training data: expected as many labels as images, at least one, got {got}"
    with pytest.raises(InputError) as error:
        train(toy(), images / 255, labels, Recipe())
    wanted = "images (n, c, h, w) of torch.uint8"
    assert str(error.value) == f"training data: expected {wanted}, got {tuple(images.shape)} torch.float32"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "recipe: expected epochs and batch, whole numbers of at least 1, got 0 and 128"),
        ({"batch": 0}, "recipe: expected epochs and batch, whole numbers of at least 1, got 50 and 0"),
        ({"lr": 0.0}, "recipe: expected a learning rate above 0, got 0.0"),
        ({"lr": math.nan}, "recipe: expected a learning rate above 0, got nan"),
        ({"schedule": "cosine"}, "recipe: expected a schedule out of onecycle, step, got cosine"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Recipe(**setting)  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("labels", "got"), [(torch.tensor([0.9] * 8), "torch.float32"), (torch.tensor([0, 1, 1, -1] * 2), "-1 among them")]
)
def test_labels_that_are_no_whole_numbers_from_0_are_refused(labels: Tensor, got: str) -> None:
    with pytest.raises(InputError) as error:
        train(toy(), dark_and_bright(8)[0], labels, Recipe())
    assert str(error.value) == f"training data: expected labels (n,) that are whole numbers from 0, got {got}"


@pytest.mark.parametrize("labels", [torch.ones(8, 1, dtype=torch.int64), torch.eye(8, dtype=torch.int64)])
def test_labels_are_one_for_each_image(labels: Tensor) -> None:
    with pytest.raises(InputError) as error:
        train(toy(), dark_and_bright(8)[0], labels, Recipe())
    assert str(error.value) == f"training data: expected labels (n,), got {tuple(labels.shape)}"


def test_nothing_of_the_last_step_stays_with_the_network() -> None:
    model = toy()
    train(model, *dark_and_bright(8), Recipe(epochs=1, batch=8))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_labels_may_be_of_any_whole_type_and_the_device_a_name() -> None:
    images, labels = dark_and_bright(8)
    assert len(train(toy(), images, labels.to(torch.int32), Recipe(epochs=1, batch=8), device="cpu")) == 1
    epochs: Any = 1.5
    with pytest.raises(
        InputError, match=r"recipe: expected epochs and batch, whole numbers of at least 1, got 1.5 and 128"
    ):
        Recipe(epochs=epochs)


def test_a_mask_of_infinity_is_no_weight_that_the_training_has_spoilt() -> None:
    model = toy()
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert len(train(model, *dark_and_bright(8), Recipe(epochs=1, batch=8))) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_weights_of_another_type_are_refused_before_anything_runs(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match=f"expected float32 to train, as model.float.. makes it, got {dtype}"):
        train(toy().to(dtype), *dark_and_bright(8), Recipe(epochs=1, batch=8))
