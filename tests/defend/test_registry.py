from pathlib import Path
from typing import Any

import pytest
import torch

from tests.defend.nets import batch, shown, small
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.adjust.train import Recipe, train
from windfirm.commands.declare.groups import DEFENCES as TOLD
from windfirm.defend.registry import DEFENCES, defence
from windfirm.defend.stylizer import load_stylizer, save_stylizer
from windfirm.errors import CheckpointError, InputError


def test_the_help_names_every_defence() -> None:
    assert [name for name in TOLD.split(", ") if ":" not in name] == list(DEFENCES) == sorted(DEFENCES)


@pytest.mark.parametrize("name", DEFENCES)
def test_a_defence_bears_its_name_and_shows_something_else_than_the_images(name: str) -> None:
    images, labels = batch()
    objective = defence(name, 8)
    assert objective.name == name
    changed = [shown(objective, small(), images, labels, seed)[2][-1] for seed in range(6)]
    assert any(not torch.equal(seen, images) for seen in changed)
    assert all(seen.shape == images.shape and seen.min() >= 0 and seen.max() <= 1 for seen in changed)


@pytest.mark.parametrize("name", DEFENCES)
def test_the_generator_alone_decides_the_numbers_and_the_images_of_the_caller_stay(name: str) -> None:
    images, labels = batch()
    before = images.clone()
    torch.manual_seed(1)
    loss, _, seen = shown(defence(name, 8), small(), images, labels, seed=5)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    same, _, again = shown(defence(name, 8), small(), images, labels, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(loss, same)
    assert all(torch.equal(a, b) for a, b in zip(seen, again, strict=True))
    assert any(not torch.equal(shown(defence(name, 8), small(), images, labels, s)[2][-1], seen[-1]) for s in range(4))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", DEFENCES)
def test_a_batch_of_one_works(name: str) -> None:
    images, labels = batch(1)
    for seed in range(3):
        loss, logits, seen = shown(defence(name, 8), small(), images, labels, seed)
        assert loss.isfinite()
        assert logits.shape == (1, 4)
        if name in ("mixup", "cutmix"):  # the only partner is the image itself
            torch.testing.assert_close(seen[0], images)


@pytest.mark.parametrize("name", DEFENCES)
def test_memory_stays_channels_last(name: str) -> None:
    images, labels = batch()
    images = images.contiguous(memory_format=torch.channels_last)
    seen: list[bool] = []
    model = small()
    model.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    defence(name, 8).loss(model, images, labels, torch.Generator())
    assert all(seen)


@pytest.mark.parametrize("name", DEFENCES)
def test_the_training_loop_takes_it_and_goes_on_with_the_same_one_only(name: str, tmp_path: Path) -> None:
    images, labels = batch(8)
    data = images.mul(255).to(torch.uint8), labels
    path = tmp_path / "progress"
    whole, halves = small(), small()
    history = train(whole, *data, Recipe(epochs=2, batch=4), objective=defence(name, 8))

    def stop(seen: int, total: int, speed: float, loss: float) -> None:
        if seen == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(halves, *data, Recipe(epochs=2, batch=4), objective=defence(name, 8), checkpoint=path, progress=stop)
    with pytest.raises(CheckpointError):
        train(small(), *data, Recipe(epochs=2, batch=4), objective=PLAIN, checkpoint=path)
    resumed = train(halves, *data, Recipe(epochs=2, batch=4), objective=defence(name, 8), checkpoint=path)
    assert [entry.loss for entry in resumed] == [entry.loss for entry in history]
    assert all(torch.equal(value, halves.state_dict()[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize("name", ["stylized", "shape-texture"])
def test_another_stylizer_in_the_same_file_is_another_defence(name: str, tmp_path: Path) -> None:
    path, pair = tmp_path / "s.safetensors", load_stylizer()
    save_stylizer(pair, path, {})
    before = defence(name, 8, stylizer=path)
    assert defence(name, 8, stylizer=str(path)).options == before.options
    pair.decoder.requires_grad_(False)
    next(pair.decoder.parameters()).mul_(0.5)
    save_stylizer(pair, path, {})
    assert defence(name, 8, stylizer=path).options != before.options


def patient(side: int, *, times: int = 2) -> Objective:
    return Objective("patient", PLAIN.loss, {"times": times, "side": side})


def untold(side: int, *, times: "Nowhere" = 2) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
    return patient(side, times=times)


def test_a_defence_of_the_users_own_is_named_by_where_python_finds_it() -> None:
    made = defence(f"{__name__}:patient", 8, times=3)
    assert (made.name, made.options) == ("patient", {"times": 3, "side": 8})
    made = defence(f"{__name__}:untold", 8, times=4)  # whose types nobody can look up
    assert made.options == {"times": 4, "side": 8}
    with pytest.raises(InputError) as error:
        defence(f"{__name__}:batch")
    wanted = "a function that makes a windfirm.adjust.objective.Objective, got "
    assert str(error.value).startswith(f"{__name__}:batch: expected {wanted}")


NAMES = ", ".join(DEFENCES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mix-up", {}, f"defence: expected one of {NAMES}, or package.module:defence, got mix-up; did you mean mixup?"),
        ("none", {}, f"defence: expected one of {NAMES}, or package.module:defence, got none"),
        ("mixup", {"eps": 0.1}, "mixup: expected no options, got eps"),
        ("pgd-at", {"eps": "8/255"}, "pgd-at: expected eps as a number, got '8/255'"),
        ("trades", {"steps": 2.5}, "trades: expected steps as a whole number, got 2.5"),
        ("pgd-at", {"step": 3}, "pgd-at: expected options out of eps, alpha, steps, got step; did you mean steps?"),
    ],
)
def test_what_cannot_be_built_is_refused_with_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        defence(name, **options)
    assert str(error.value) == message
