"""Adjustments by name, on 16 tiny images: what each trains, for how long, from which weights."""

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.models.test_layout import Viewing
from windfirm.adjust import adjustments
from windfirm.adjust.adjustments import ADJUSTMENTS, FINE_TUNING, adjust, describe, due, recipe_for
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.train import Epoch, Extras, Recipe, train
from windfirm.data.images import Images
from windfirm.defend.registry import defence
from windfirm.errors import CheckpointError, InputError
from windfirm.models.normalize import Normalized

OTHER = Objective("other", PLAIN.loss, {"strength": 2})


def some() -> Images:
    pixels = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.arange(16) % 2, ("a", "b"), "some")


def network(width: int, seed: int = 0) -> nn.Module:
    """3 × 64 × width + 2 × width MACs."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)).eval()


def parts(model: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in model.state_dict().values()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step that is made."""
    made: list[float] = []
    step = torch.optim.SGD.step

    def noting(self: torch.optim.SGD) -> None:
        made.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", noting)
    return made


def test_fine_tuning_is_its_recipe_on_the_weights_as_they_are_with_the_objective_that_is_given() -> None:
    seen = []

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        seen.append(len(images))
        return PLAIN.loss(model, images, labels, generator)

    one, same = network(4), network(4)
    history = adjust("fine-tuning", one, some(), epochs=2, lr=0.05, seed=3, objective=Objective("noting", loss))
    train(same, some().images, some().labels, Recipe(epochs=2, lr=0.05, schedule="step"), seed=3)
    assert equal(parts(one), parts(same))
    assert (len(history), seen) == (2, [16, 16])


def test_the_baselines_own_schedule_is_that_of_liu() -> None:
    for name in ("scratch-e", "scratch-b", "w-ticket"):
        recipe = Recipe(epochs=160, lr=0.1, batch=64, schedule="step", momentum=0.9, weight_decay=1e-4)
        assert recipe_for(name) == recipe
    assert (recipe_for("distill"), recipe_for("fine-tuning")) == (FINE_TUNING, FINE_TUNING)
    assert recipe_for("scratch-e", epochs=4, lr=0.2) == Recipe(4, 0.2, 64, "step", weight_decay=1e-4)


def test_scratch_e_repeats_with_the_seed_and_knows_nothing_of_the_weights_before() -> None:
    one, same, other = network(4, seed=0), network(4, seed=1), network(4)
    for model, seed in ((one, 3), (same, 3), (other, 4)):
        adjust("scratch-e", model, some(), epochs=1, seed=seed)
    assert equal(parts(one), parts(same))
    assert not equal(parts(one), parts(other))


@pytest.mark.parametrize(("width", "epochs"), [(8, 4), (5, 6), (3, 11), (7, 5)])
def test_scratch_b_trains_for_as_much_arithmetic_as_the_original(width: int, epochs: int, steps: list[float]) -> None:
    """MACs are 194 a filter: 4 · 8/5 = 6.4, 4 · 8/3 = 10.7, 4 · 8/7 = 4.6; the control of 8 filters gets its 4."""
    original, model = network(8), network(width)
    before = parts(original)
    history = adjust("scratch-b", model, some(), original=original, epochs=4)
    assert len(history) == len(steps) == epochs
    assert steps == [pytest.approx(0.1 * (1 if i / epochs < 0.5 else 0.1 if i / epochs < 0.75 else 0.01))
                     for i in range(epochs)]  # fmt: skip
    assert equal(parts(original), before)


def test_scratch_b_trains_for_one_epoch_at_least() -> None:
    assert len(adjust("scratch-b", network(8), some(), original=network(3), epochs=1)) == 1


def test_w_ticket_trains_from_the_initial_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    initial, trained = network(4, seed=1), network(4, seed=2)
    before, started = parts(initial), []

    def watched(model: nn.Module, *rest: Tensor | Recipe, **options: object) -> list[Epoch]:
        started.append(parts(model.get_submodule("network")))
        return train(model, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(adjustments, "train", watched)
    history = adjust("w-ticket", Normalized(trained, (0.5,), (0.5,)), some(), initial=initial, epochs=2)
    assert len(history) == 2
    assert equal(started[0], before)
    assert not equal(parts(trained), before)
    assert equal(parts(initial), before)


def test_distill_lessens_its_own_objective_and_leaves_the_teacher_alone() -> None:
    teacher, model, plain = network(8, seed=1).train(), network(4), network(4)
    before = parts(teacher)
    history = adjust("distill", model, some(), original=teacher, epochs=2)
    adjust("fine-tuning", plain, some(), epochs=2)
    assert len(history) == 2
    assert not equal(parts(model), parts(plain))
    assert equal(parts(teacher), before)
    assert all(module.training for module in teacher.modules())


def test_bn_only_trains_nothing(steps: list[float]) -> None:
    model = network(4)
    before = [value.detach().clone() for value in model.parameters()]
    assert adjust("bn-only", model, some()) == []
    assert steps == []
    assert equal(before, [value.detach() for value in model.parameters()])
    assert model.get_buffer("1.num_batches_tracked") == 1


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_the_control_gets_as_many_steps_and_keeps_its_shape(name: str, steps: list[float]) -> None:
    """A cut that takes nothing, so that scratch-b's ratio is one as well; in its own test it is not."""
    original = network(8)
    initial = network(8, seed=1)
    length = None if name == "bn-only" else 2
    made = []
    for model in (copy.deepcopy(original), copy.deepcopy(original)):
        adjust(name, model, some(), original=original, initial=initial, epochs=length)
        made.append(len(steps))
        assert [value.shape for value in parts(model)] == [value.shape for value in parts(original)]
    assert made[1] == 2 * made[0] == (0 if length is None else 4)


@pytest.mark.parametrize("name", [name for name, known in ADJUSTMENTS.items() if known.uncut])
def test_what_does_the_same_where_nothing_was_cut_ends_with_the_same_bits(name: str) -> None:
    made = []
    for one in (name, ADJUSTMENTS[name].uncut):
        model = network(8)
        adjust(str(one), model, some(), original=network(8), epochs=2)
        made.append(parts(model))
    assert equal(*made)
    assert not equal(made[0], parts(network(8)))


def test_what_trains_from_scratch_runs_after_the_last_round_alone() -> None:
    ran = {name: [number for number in (1, 2, 3) if due(name, number, 3)] for name in ADJUSTMENTS}
    each, last = [1, 2, 3], [3]
    assert ran == {
        "bn-only": each, "distill": each, "fine-tuning": each, "scratch-b": last, "scratch-e": last, "w-ticket": last
    }  # fmt: skip


def test_a_record_can_be_repeated_from() -> None:
    assert describe("distill", epochs=3) == {
        "name": "distill",
        "after": "every round",
        "recipe": {
            "epochs": 3, "lr": 0.01, "batch": 128, "schedule": "step", "momentum": 0.9, "weight_decay": 5e-4
        },
        "objective": {"name": "distill", "temperature": 4.0, "weight": 0.9},
    }  # fmt: skip
    assert describe("scratch-e", objective=OTHER)["objective"] == {"name": "other", "strength": 2}
    assert describe("scratch-e")["after"] == "the last round"
    assert describe("bn-only") == {"name": "bn-only", "after": "every round", "recipe": None, "objective": None}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda model: adjust("w-tiket", model, some()),
            f"adjust: expected one of {', '.join(ADJUSTMENTS)}, got w-tiket; did you mean w-ticket?",
        ),
        (
            lambda model: adjust(None, model, some()),  # type: ignore[arg-type]
            f"adjust: expected one of {', '.join(ADJUSTMENTS)}, got None",
        ),
        (
            lambda model: adjust("fine-tuning", model, some().images),  # type: ignore[arg-type]
            "images: expected Images, got Tensor",
        ),
        (
            lambda model: adjust("fine-tuning", model, some(), objective="mixup"),  # type: ignore[arg-type]
            "objective: expected an Objective, as windfirm.defence makes them, got mixup",
        ),
        (
            lambda model: adjust("scratch-b", model, some(), original="F"),  # type: ignore[arg-type]
            "original: expected a torch.nn.Module, got str",
        ),
        (
            lambda model: adjust("fine-tuning", model, some(), lr="0.1"),  # type: ignore[arg-type]
            "recipe: expected a learning rate above 0, got 0.1",
        ),
        (
            lambda model: adjust("w-ticket", model, some()),
            "w-ticket: expected initial=, the uncut network as before training, got none",
        ),
        (
            lambda model: adjust("scratch-b", model, some()),
            "scratch-b: expected original=, the network before its cut, got none",
        ),
        (
            lambda model: adjust("distill", model, some(), original=model, objective=OTHER),
            "distill: expected no other objective than its own, got other",
        ),
        (
            lambda model: adjust("bn-only", model, some(), objective=OTHER),
            "bn-only: expected no objective, as it trains nothing, got other",
        ),
        (
            lambda model: adjust("bn-only", model, some(), epochs=2),
            "bn-only: expected no recipe, as it trains nothing, got epochs",
        ),
        (
            lambda model: describe("bn-only", lr=2.0),
            "bn-only: expected no recipe, as it trains nothing, got a learning rate",
        ),
        (
            lambda model: adjust("scratch-e", model, some(), epochs=0),
            "recipe: expected epochs and batch, whole numbers of at least 1, got 0 and 64",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_changes(
    call: Callable[[nn.Module], object], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjustments, "train", None)
    model = network(4)
    before = parts(model)
    with pytest.raises(InputError) as error:
        call(model)
    assert str(error.value) == text
    assert equal(parts(model), before)


def test_a_state_that_another_network_left_is_not_gone_on_from(tmp_path: Path) -> None:
    one, other = network(4), network(4, seed=1)
    adjust("fine-tuning", one, some(), epochs=1, checkpoint=tmp_path / "state")
    with pytest.raises(CheckpointError, match="expected the state of this run, got one of another run"):
        adjust("fine-tuning", other, some(), epochs=1, checkpoint=tmp_path / "state")
    again = network(4)
    adjust("fine-tuning", again, some(), epochs=1, checkpoint=tmp_path / "state")
    assert equal(parts(again), parts(one))


@pytest.mark.parametrize("name", ["fine-tuning", "distill", "scratch-e", "bn-only"])
def test_images_and_labels_that_do_not_fit_the_network_are_told_before_anything_changes(name: str) -> None:
    model = network(4)
    before = parts(model)
    with pytest.raises(InputError, match=r"^training data: expected labels below 2, the number of the network's out"):
        adjust(name, model, replace(some(), labels=torch.arange(16) % 3, classes=("a", "b", "c")), original=network(4))
    wide = replace(some(), images=torch.zeros(16, 5, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"^model: expected a network that takes images of shape \(2, 5, 8, 8\), got"):
        adjust(name, model, wide, original=network(4))
    assert equal(parts(model), before)


def test_a_state_that_is_no_tensor_is_told_where_it_would_be_kept(tmp_path: Path) -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> int:
            return 1

        def set_extra_state(self, state: int) -> None:
            pass

    model = nn.Sequential(nn.Flatten(), Extra(192, 2))
    adjust("fine-tuning", model, some(), epochs=1)
    with pytest.raises(InputError, match=r"^checkpoint: expected tensors alone, also as 1._extra_state, got"):
        adjust("fine-tuning", model, some(), epochs=1, checkpoint=tmp_path / "state")


@pytest.mark.parametrize("numbers", [{"momentum": -1.0}, {"momentum": 1.0}, {"weight_decay": math.nan}])
def test_numbers_of_a_recipe_that_make_no_sense(numbers: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"^recipe: expected a"):
        Recipe(**numbers)  # type: ignore[arg-type]


def test_what_a_network_wants_is_said_as_it_says_it() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(4)

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[-1] == 9, "wants nine"
            return x

    with pytest.raises(InputError, match="got an error: wants nine"):
        adjust("fine-tuning", Picky(), some(), epochs=1)
    with pytest.raises(InputError, match="expected float32 to train"):
        adjust("fine-tuning", network(4).double(), some(), epochs=1)
    with pytest.raises(InputError, match="at least one, got 0 and 0"):
        adjust("fine-tuning", network(4), some()[:0], epochs=1)


def test_buffers_of_whatever_kind_do_not_stand_in_the_way() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(4)
            self.register_buffer("wide", torch.ones(1).expand(5), persistent=False)
            self.register_buffer("last", torch.zeros(1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.last = x.detach().mean((1, 2, 3))
            logits: Tensor = self.inner(x)
            return logits

    model = Odd()
    for _ in range(2):
        assert len(adjust("fine-tuning", model, some(), epochs=1)) == 1


def test_an_objective_calls_the_network_as_it_wants() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(4)

        def forward(self, x: Tensor, labels: Tensor) -> Tensor:
            logits: Tensor = self.inner(x)
            return logits

    def loss(model: nn.Module, x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        logits = model(x, labels).float()
        return nn.functional.cross_entropy(logits, labels), logits

    assert len(adjust("fine-tuning", Both(), some(), epochs=1, objective=Objective("own", loss))) == 1
    with pytest.raises(InputError, match="expected float32 to train"):
        adjust("bn-only", network(4).double(), some())


@pytest.mark.parametrize("value", [math.nan, np.float32(math.inf), "a b".split, {1, 2}])
def test_an_objective_whose_options_no_record_can_hold_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^objective mine: expected texts and finite numbers, got "):
        Objective("mine", PLAIN.loss, {"reach": value})  # type: ignore[dict-item]


def test_options_of_an_objective_are_as_a_record_gives_them_back() -> None:
    found = Objective("mine", PLAIN.loss, {"a": np.int64(2), "b": np.float32(0.5), "c": (1, 2), "d": None})  # type: ignore[dict-item]
    assert found.options == {"a": 2, "b": 0.5, "c": [1, 2], "d": None}


def test_numbers_of_numpy_are_gone_on_from(tmp_path: Path) -> None:
    one, again, other = network(4), network(4), network(4)
    for model in (one, again):
        adjust("fine-tuning", model, some(), epochs=np.int64(2), seed=np.int64(3), checkpoint=str(tmp_path / "state"))  # type: ignore[arg-type]
    adjust("fine-tuning", other, some(), epochs=2, seed=3, checkpoint=tmp_path / "state")
    assert equal(parts(one), parts(other))
    assert equal(parts(again), parts(other))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_has_its_gradients_whatever_the_caller_has(mode: Callable[[], AbstractContextManager[None]]) -> None:
    plain, inside = network(4), network(4)
    adjust("fine-tuning", plain, some(), epochs=1)
    with mode():
        adjust("fine-tuning", inside, some(), epochs=1)
    assert equal(parts(plain), parts(inside))


def test_training_does_not_hear_of_the_callers_autocast() -> None:
    plain, inside = network(4), network(4)
    adjust("fine-tuning", plain, some(), epochs=2)
    with torch.autocast("cpu", torch.bfloat16):
        adjust("fine-tuning", inside, some(), epochs=2)
    assert equal(parts(plain), parts(inside))


def test_a_network_that_is_frozen_is_refused_before_anything_changes() -> None:
    model = network(4).requires_grad_(False)
    before = parts(model)
    for name in ("fine-tuning", "scratch-e"):
        with pytest.raises(InputError, match=r"^model: expected a parameter to train, got none that asks for a grad"):
            adjust(name, model, some(), epochs=1)
    assert equal(parts(model), before)


def test_a_teacher_in_double_precision_and_one_that_takes_values_as_they_lie_teach_as_well() -> None:
    for teacher in (network(4).double(), Viewing(2)):
        assert len(adjust("distill", network(4), some(), original=teacher, epochs=1)) == 1
    assert len(adjust("scratch-b", network(4), some(), original=network(8).double(), epochs=1)) == 2


@pytest.mark.parametrize("name", ["fine-tuning", "scratch-e", "distill"])
def test_a_network_that_takes_values_as_they_lie_is_trained_as_one_that_reshapes_them(name: str) -> None:
    torch.manual_seed(0)
    ours, theirs, teacher = Viewing(2), Viewing(2, reshape=True), Viewing(2)
    theirs.load_state_dict(ours.state_dict())
    before = parts(ours)
    for model in (ours, theirs):
        adjust(name, model, some(), original=teacher, epochs=2)
    for one, other, start in zip(parts(ours), parts(theirs), before, strict=True):
        assert (one - other).abs().max() < 0.1 * (one - start).abs().max()
    assert ours(torch.rand(1, 3, 8, 8)).shape == (1, 2)  # and is afterwards what it was


@pytest.mark.parametrize("name", ["fast-at", "pgd-at", "trades", "cutmix"])
def test_what_an_objective_cannot_use_is_one_line(name: str) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(4)

        def forward(self, x: Tensor) -> Any:
            return (self.inner(x), 0) if self.training else self.inner(x)

    with pytest.raises(InputError, match=r"^model: expected logits alone in training as well, got tuple; a network"):
        adjust("fine-tuning", Two(), some(), epochs=1, objective=defence(name, 8))
    beyond = replace(some(), labels=torch.arange(16) % 3, classes=("a", "b", "c"))
    with pytest.raises(InputError, match=r"^training data: expected labels below 2, the number of the network's out"):
        adjust("fine-tuning", network(4), beyond, epochs=1, objective=defence(name, 8))


def test_an_objective_of_ones_own_may_have_labels_that_are_no_logits() -> None:
    """Such as centres of classes in a space of two dimensions, or a label that is left out."""

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return functional.cross_entropy(logits := model(images), labels, ignore_index=2), logits

    images = replace(some(), labels=torch.arange(16) % 3, classes=("a", "b", "c"))
    assert len(adjust("fine-tuning", network(4), images, epochs=1, objective=Objective("mine", loss))) == 1


def test_a_network_that_takes_values_as_they_lie_in_training_alone_is_trained() -> None:
    class InTraining(Viewing):
        def forward(self, x: Tensor) -> Tensor:
            self.reshape = not self.training
            return super().forward(x)

    assert len(adjust("fine-tuning", InTraining(2), some(), epochs=1)) == 1


def test_statistics_and_the_probe_do_not_hear_of_the_callers_autocast() -> None:
    extras = Extras(probe=4, keep="fgsm", ema=0.5)
    found = []
    for inside in (False, True):
        model, other = network(4), network(4)
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            adjust("bn-only", model, some())
            (epoch,) = train(other, some().images, some().labels, Recipe(epochs=1, batch=8), extras=extras)
        found.append((parts(model), parts(other), epoch.clean, epoch.fgsm))
    assert equal(found[0][0], found[1][0])
    assert equal(found[0][1], found[1][1])
    assert found[0][2:] == found[1][2:]


def test_a_network_made_in_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        model = network(4)
    with pytest.raises(InputError, match=r"^model: expected parameters that can be trained, got those of a netw"):
        adjust("fine-tuning", model, some(), epochs=1)
