from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.adjust.toys import assert_equal, data, toy, what_was_computed
from tests.oracles import linear_binary, linear_radius
from windfirm.adjust import training
from windfirm.adjust.probe import EPS, hold_out, judge
from windfirm.adjust.train import Extras, Recipe, train
from windfirm.errors import InputError


def halved() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A linear network, images of which one in two is on either side of its border, their labels and distances."""
    weights = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = torch.randint(60, 200, (120, 3, 4, 4), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    pixels = images / 255
    sums = (pixels * weights).sum((1, 2, 3))
    bias = -float(sums.quantile(0.5))  # between two images: on the border itself, rounding would decide
    return linear_binary(weights, bias), images, (sums + bias > 0).long(), linear_radius(weights, bias, pixels)


@pytest.mark.parametrize(("count", "held"), [(1, 0), (10, 3), (100, 99)])
def test_every_image_is_either_trained_on_or_held_out(count: int, held: int) -> None:
    rows, out = hold_out(count, held)
    assert len(out) == held
    assert torch.cat([rows, out]).sort().values.tolist() == list(range(count))
    assert rows.tolist() == sorted(rows.tolist())


def test_a_larger_probe_holds_the_images_of_a_smaller_one() -> None:
    assert {*hold_out(50, 5)[1].tolist()} < {*hold_out(50, 20)[1].tolist()}


def test_a_network_is_judged_by_what_is_right_and_what_stays_right() -> None:
    model, images, labels, radii = halved()
    labels[:30] = 1 - labels[:30]  # wrong, and FGSM moves them further away
    firm = radii[30:] > EPS
    assert 0 < int(firm.sum()) < 90
    assert judge(model, images, labels) == {"clean": 90, "fgsm": int(firm.sum())}


def test_the_probe_s_fgsm_is_of_8_255() -> None:
    model, images, labels, radii = halved()
    counts = [int((radii > eps / 255).sum()) for eps in (7, 8, 9)]
    assert counts[0] > counts[1] > counts[2]
    assert judge(model, images, labels)["fgsm"] == counts[1]


def test_a_network_in_training_is_judged_as_it_will_be_used_and_left_alone() -> None:
    model, before = toy().train(), toy()
    judge(model, *data())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert_equal(model, before)


def test_held_out_images_are_never_trained_on_and_looking_at_them_changes_nothing() -> None:
    images, labels = data()
    rows, _ = hold_out(len(images), 8)
    probed, plain = toy(), toy()
    recipe = Recipe(epochs=2, batch=8)
    history = train(probed, images, labels, recipe, extras=Extras(probe=8))
    expected = train(plain, images[rows], labels[rows], recipe)
    assert_equal(probed, plain)
    assert [entry.loss for entry in history] == [entry.loss for entry in expected]
    assert all(0 <= (entry.fgsm or 0) <= (entry.clean or 0) <= 8 for entry in history)
    assert all(entry.clean is None and entry.fgsm is None for entry in expected)


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Clean is best in the last epoch and FGSM in the second and third; fills up with the weights that were judged."""
    seen: list[dict[str, Tensor]] = []

    def judged(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, int]:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"clean": len(seen), "fgsm": [0, 3, 3, 1][len(seen) - 1]}

    monkeypatch.setattr(training, "judge", judged)
    return seen


@pytest.mark.parametrize(("keep", "kept"), [("last", 3), ("clean", 3), ("fgsm", 1)])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_weights_of_the_first_best_epoch_are_kept(
    verdicts: list[dict[str, Tensor]], keep: str, kept: int, ema: float | None
) -> None:
    model = toy()
    history = train(model, *data(), Recipe(epochs=4, batch=8), extras=Extras(probe=8, keep=keep, ema=ema))
    assert [entry.fgsm for entry in history] == [0, 3, 3, 1]
    assert len(verdicts) == 4
    for name, value in model.state_dict().items():
        assert torch.equal(value, verdicts[kept][name]), name


def test_the_best_epoch_outlives_a_run_that_was_killed(tmp_path: Path, verdicts: list[dict[str, Tensor]]) -> None:
    class Killed(BaseException):
        pass

    def kill(seen: int, total: int, speed: float, loss: float) -> None:
        if seen == 3 * 24 + 8:
            raise Killed

    path, extras, recipe = tmp_path / "progress.safetensors", Extras(probe=8, keep="fgsm"), Recipe(epochs=4, batch=8)
    with pytest.raises(Killed):
        train(toy(), *data(), recipe, checkpoint=path, progress=kill, extras=extras)
    model = toy(seed=9)
    history = train(model, *data(), recipe, checkpoint=path, extras=extras)
    assert [entry[3:] for entry in what_was_computed(history)] == [(1, 0), (2, 3), (3, 3), (4, 1)]
    for name, value in model.state_dict().items():
        assert torch.equal(value, verdicts[1][name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probe": -1}, "probe: expected a number of images of at least 0, got -1"),
        ({"probe": 4, "keep": "best"}, "keep: expected one of last, clean, fgsm, got best"),
        ({"keep": "clean"}, "keep clean: expected held-out images to choose by, a probe of some, got 0"),
    ],
)
def test_a_probe_that_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Extras(**options)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_some_images_must_be_left_to_train_on() -> None:
    with pytest.raises(InputError) as error:
        train(toy(), *data(8), Recipe(epochs=1), extras=Extras(probe=8))
    assert str(error.value) == "probe: expected fewer than the 8 training images, got 8"
