import numpy as np
import pytest
import torch
from torch import nn

from tests.adjust.toys import assert_equal, data, toy
from windfirm.adjust.average import average_of, settle, update
from windfirm.adjust.probe import hold_out
from windfirm.adjust.statistics import restate
from windfirm.adjust.train import Extras, Recipe, train
from windfirm.data.images import Images
from windfirm.errors import InputError


def test_the_average_forgets_its_start_first_and_then_as_the_decay_says() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 8.0)
    average = average_of(model)
    expected = 8.0
    for step, value in enumerate([0.0, 4.0, -2.0]):
        nn.init.constant_(model.weight, value)
        update(average, model, 0.15, step)
        share = [0.1, 0.15, 0.15][step]  # (1 + step) / (10 + step) is 1/10, 2/11, 3/12
        expected = share * expected + (1 - share) * value
    assert average.get_parameter("weight").item() == pytest.approx(expected)
    assert not average.get_parameter("weight").requires_grad


def test_a_training_ends_with_the_average_of_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = toy(), toy()
    weights = [parameter.detach().double().numpy().copy() for parameter in other.parameters()]
    taken = 0
    step = torch.optim.SGD.step

    def noting(self: torch.optim.SGD) -> None:
        nonlocal taken
        step(self)
        keep = min(0.9, (1 + taken) / (10 + taken))
        for average, parameter in zip(weights, self.param_groups[0]["params"], strict=True):
            average += (1 - keep) * (parameter.detach().double().numpy() - average)
        taken += 1

    monkeypatch.setattr(torch.optim.SGD, "step", noting)
    images, labels = data()
    train(model, images, labels, Recipe(epochs=2, batch=8), extras=Extras(ema=0.9))
    assert taken == 8
    for parameter, average in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), average, rtol=1e-4, atol=1e-6)
    # Batch normalisation has the statistics that the averaged weights give it.
    kept = {name: value.clone() for name, value in model.named_buffers()}
    restate(model, Images(images, labels, ("a", "b", "c"), "noise"))
    for name, value in model.named_buffers():
        torch.testing.assert_close(kept[name], value, rtol=1e-4, atol=1e-5)


def test_statistics_come_from_the_images_at_the_rows_alone_and_weights_stay() -> None:
    model = toy()
    images, _ = data()
    images[:8] = 0
    average, clean = average_of(model), average_of(model)
    settle(average, model, images, torch.arange(8, 32), seed=0)
    restate(clean, Images(images[8:], torch.zeros(24, dtype=torch.int64), ("a",), "noise"))
    for name, value in clean.state_dict().items():
        torch.testing.assert_close(average.state_dict()[name], value)


def test_held_out_images_have_no_part_in_the_average_s_statistics() -> None:
    images, labels = data()
    others = images.clone()
    _, held = hold_out(len(images), 8)
    others[held] = 255 - others[held]
    models = [toy(), toy()]
    for model, pixels in zip(models, (images, others), strict=True):
        train(model, pixels, labels, Recipe(epochs=1, batch=8), extras=Extras(probe=8, ema=0.9))
    assert_equal(*models)


def test_a_network_without_statistics_can_be_averaged() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    before = model.get_parameter("1.weight").detach().clone()
    train(model, *data(), Recipe(epochs=1, batch=8), extras=Extras(ema=0.99))
    assert not torch.equal(model.get_parameter("1.weight"), before)


@pytest.mark.parametrize("ema", [0.0, 1.0, -0.5])
def test_a_decay_out_of_range_is_refused(ema: float) -> None:
    with pytest.raises(InputError) as error:
        Extras(ema=ema)
    assert str(error.value) == f"ema: expected a decay in (0, 1), such as 0.999, got {ema}"
