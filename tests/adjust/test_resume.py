import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.adjust.toys import assert_equal, data, toy, what_was_computed
from windfirm.adjust.resume import weights_digest
from windfirm.adjust.train import Recipe, train
from windfirm.errors import CheckpointError, TrainingError

RECIPE = Recipe(epochs=4, lr=0.1, batch=8)
COUNT = 32


class Killed(BaseException):
    """What a signal does to a run, at a place of our choice."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def killed_in_the_middle_of_epoch_three(seen: int, total: int, speed: float, loss: float) -> None:
    if seen == 2 * COUNT + 16:
        raise Killed


def test_a_run_that_was_killed_ends_with_the_very_weights_of_one_that_was_not(tmp_path: Path) -> None:
    undisturbed, started, resumed = toy(), toy(), toy(seed=9)
    path = tmp_path / "progress.safetensors"
    expected = train(undisturbed, *data(), RECIPE)
    with pytest.raises(Killed):
        train(started, *data(), RECIPE, checkpoint=path, progress=killed_in_the_middle_of_epoch_three)
    assert list(tmp_path.iterdir()) == [path]
    history = train(resumed, *data(), RECIPE, checkpoint=path)
    assert what_was_computed(history) == what_was_computed(expected)
    assert_equal(undisturbed, resumed)


def test_a_run_that_was_finished_is_not_run_again(tmp_path: Path) -> None:
    first, second = toy(), toy(seed=9)
    path = tmp_path / "progress.safetensors"
    history = train(first, *data(), RECIPE, checkpoint=path)
    assert train(second, *data(), RECIPE, checkpoint=path, progress=lambda *_: pytest.fail("trained again")) == history
    assert_equal(first, second)


def test_a_network_with_shared_weights_is_kept_too(tmp_path: Path) -> None:
    def shared() -> nn.Module:
        layer = nn.Linear(12, 12)
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), layer, layer, nn.Linear(12, 4))

    torch.manual_seed(0)
    first = shared()
    second = copy.deepcopy(first)
    path = tmp_path / "progress.safetensors"
    train(first, *data(), RECIPE, checkpoint=path)
    train(second, *data(), RECIPE, checkpoint=path)
    assert_equal(first, second)


def test_a_loss_that_is_not_finite_leaves_the_last_good_epoch_on_disk(tmp_path: Path) -> None:
    model, path = toy(), tmp_path / "progress.safetensors"
    good: dict[str, Tensor] = {}

    def poison(seen: int, total: int, speed: float, loss: float) -> None:
        if seen == COUNT:
            good.update({name: value.clone() for name, value in model.state_dict().items()})
        if seen > COUNT:
            nn.init.constant_(model.get_parameter("0.weight"), torch.nan)

    with pytest.raises(TrainingError) as error:
        train(model, *data(), RECIPE, checkpoint=path, progress=poison)
    assert str(error.value) == "epoch 2: expected a finite loss, got nan; a lower learning rate than 0.1 may help"
    kept = load_file(path)
    assert all(torch.equal(kept[f"model.{name}"], value) for name, value in good.items())


@pytest.mark.parametrize("change", ["recipe", "seed", "images", "start"])
def test_the_state_of_another_run_is_refused_and_left_alone(tmp_path: Path, change: str) -> None:
    path = tmp_path / "progress.safetensors"
    train(toy(), *data(), Recipe(epochs=1, batch=8), checkpoint=path, start=weights_digest(toy()))
    before = path.read_bytes()
    images, labels = data()
    recipe = Recipe(epochs=1, batch=16 if change == "recipe" else 8)
    if change == "images":
        images, labels = images[:-1], labels[:-1]
    start = weights_digest(toy(seed=int(change == "start")))
    with pytest.raises(CheckpointError) as error:
        train(toy(), images, labels, recipe, seed=int(change == "seed"), checkpoint=path, start=start)
    assert str(error.value) == (
        f"{path}: expected the state of this run, got one of another run; the folder needs another name, or the file "
        "removing"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("size", [0, 5, 300, -1])
def test_a_damaged_state_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "progress.safetensors"
    recipe = Recipe(epochs=1, batch=8)
    train(toy(), *data(), recipe, checkpoint=path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError) as error:
        train(toy(), *data(), recipe, checkpoint=path)
    cause = error.value.__cause__
    assert str(error.value) == f"{path}: expected the state of a training run, got a damaged file ({cause})"


def test_a_buffer_that_is_no_part_of_the_state_goes_on_as_well(tmp_path: Path) -> None:
    class Counted(nn.Module):
        seen: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.seen += int(self.training)
            return x + self.seen / 100

    path = tmp_path / "progress.safetensors"
    whole, started, resumed = (nn.Sequential(Counted(), toy()) for _ in range(3))
    train(whole, *data(), RECIPE)
    with pytest.raises(Killed):
        train(started, *data(), RECIPE, checkpoint=path, progress=killed_in_the_middle_of_epoch_three)
    train(resumed, *data(), RECIPE, checkpoint=path)
    assert_equal(whole, resumed)


def test_a_digest_tells_weights_apart() -> None:
    assert weights_digest(toy()) == weights_digest(toy())
    assert len({weights_digest(model) for model in (toy(), toy(seed=1), toy().double(), toy().bfloat16())}) == 4
