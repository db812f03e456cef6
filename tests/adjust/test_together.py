from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.adjust.toys import assert_equal, data, toy, what_was_computed
from windfirm.adjust.objective import Objective, mixed
from windfirm.adjust.together import train_together
from windfirm.adjust.train import Extras, Recipe, train
from windfirm.errors import InputError, TrainingError

RECIPE = Recipe(epochs=3, batch=8)


def blended(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    order = torch.randperm(len(images), generator=generator)
    return images.lerp(images[order], 0.3), labels[order], 0.3


@pytest.mark.parametrize("extras", [Extras(), Extras(probe=5, keep="fgsm", ema=0.9)])
def test_each_ends_as_it_would_alone(extras: Extras) -> None:
    """Dropout and the objective draw at random too, and each draws its own numbers."""
    objective = Objective("blended", mixed(blended))
    alone = [toy(seed, dropout=0.3) for seed in (0, 1, 2)]
    together = [toy(seed, dropout=0.3) for seed in (0, 1, 2)]
    expected = [
        train(model, *data(), RECIPE, seed=seed, objective=objective, extras=extras)
        for seed, model in zip((5, 6, 7), alone, strict=True)
    ]
    found = train_together(together, *data(), RECIPE, seeds=(5, 6, 7), objective=objective, extras=extras)
    assert list(map(what_was_computed, found)) == list(map(what_was_computed, expected))
    for one, other in zip(alone, together, strict=True):
        assert_equal(one, other)


def test_each_goes_on_from_where_it_is(tmp_path: Path) -> None:
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    heard: list[tuple[int, int]] = []

    class Killed(BaseException):
        pass

    def kill(seen: int, total: int, speed: float, loss: float) -> None:
        if seen == 2 * 32 + 16:
            raise Killed

    with pytest.raises(Killed):
        train(toy(0), *data(), RECIPE, seed=0, checkpoint=paths[0], progress=kill)
    models = [toy(8), toy(1)]
    train_together(
        models, *data(), RECIPE, seeds=(0, 1), checkpoints=paths, progress=lambda n, of, *_: heard.append((n, of))
    )
    for seed, model in enumerate(models):
        whole = toy(seed)
        train(whole, *data(), RECIPE, seed=seed)
        assert_equal(model, whole)
    assert heard[0] == (2 * 32 + 8, 2 * 3 * 32)
    assert heard[-1] == (2 * 3 * 32, 2 * 3 * 32)
    assert len(heard) == 4 + 12


def test_one_that_cannot_go_on_is_named() -> None:
    bad = toy(1)
    nn.init.constant_(bad.get_parameter("0.weight"), torch.nan)
    with pytest.raises(TrainingError) as error:
        train_together([toy(0), bad], *data(), RECIPE, seeds=(3, 4))
    assert str(error.value) == (
        "seed 4: epoch 1: expected a finite loss, got nan; a lower learning rate than 0.1 may help"
    )


def test_each_is_a_network_of_its_own_and_begins_with_something() -> None:
    one = toy()
    with pytest.raises(InputError, match="train together: expected networks that differ, got one of them twice"):
        train_together([one, one], *data(), RECIPE, seeds=(3, 4))
    with pytest.raises(InputError, match="got 2 networks, 2 seeds, 2 checkpoints and 1 starts"):
        train_together([toy(), toy()], *data(), RECIPE, seeds=(3, 4), starts=("a",))


def test_every_network_wants_a_seed() -> None:
    with pytest.raises(InputError) as error:
        train_together([toy(), toy()], *data(), RECIPE, seeds=(3,))
    assert str(error.value) == (
        "train together: expected a seed, a checkpoint and a start for every network, "
        "got 2 networks, 1 seeds, 2 checkpoints and 2 starts"
    )
