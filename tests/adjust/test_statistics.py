import numpy as np
import pytest
import torch
from torch import nn

from windfirm.adjust import statistics
from windfirm.adjust.statistics import restate
from windfirm.data.images import Images
from windfirm.errors import InputError


def some(count: int = 10) -> Images:
    pixels = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.arange(count) % 2, ("a", "b"), "some")


def network() -> nn.Module:
    """Two normalisations; what a dropout would do in training is not to be seen in their statistics."""
    torch.manual_seed(0)
    layers = nn.Dropout(0.9), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3, momentum=None)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 2)).eval()


def test_they_are_the_mean_and_the_variance_of_all_images_however_they_are_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = some().images.numpy() / 255
    for batch, batches in ((128, 1), (4, 3)):
        monkeypatch.setattr(statistics, "BATCH", batch)
        model = network()
        restate(model, some())
        first = model.get_submodule("1")
        np.testing.assert_allclose(first.get_buffer("running_mean"), values.mean((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(first.get_buffer("running_var"), values.var((0, 2, 3), ddof=1), rtol=1e-6)
        assert first.get_buffer("num_batches_tracked") == batches


def test_a_later_layer_is_shown_what_the_batch_was_normalised_to() -> None:
    values = some().images.numpy() / 255
    mean, variance = values.mean((0, 2, 3), keepdims=True), values.var((0, 2, 3), keepdims=True)
    behind = np.maximum((values - mean) / np.sqrt(variance + 1e-5), 0)
    model = network()
    restate(model, some())
    np.testing.assert_allclose(model.get_buffer("3.running_mean"), behind.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(model.get_buffer("3.running_var"), behind.var((0, 2, 3), ddof=1), rtol=1e-5)


def test_nothing_but_statistics_changes_and_the_same_seed_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BATCH", 4)
    model, again, other = network(), network(), network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    restate(model, some(), seed=1)
    restate(again, some(), seed=1)
    restate(other, some(), seed=2)
    after = model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    ends = ("running_mean", "running_var", "num_batches_tracked")
    assert changed == {f"{layer}.{end}" for layer in "13" for end in ends}
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in after.items())
    assert not torch.equal(after["3.running_var"], other.state_dict()["3.running_var"])  # other batches
    assert not any(module.training for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_what_has_no_statistics_and_too_few_images_are_refused() -> None:
    with pytest.raises(InputError) as error:
        restate(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48, track_running_stats=False)), some())
    assert str(error.value) == "bn-only: expected a network with batch normalisation that keeps statistics, got none"
    with pytest.raises(InputError) as error:
        restate(network(), some(1))
    assert str(error.value) == "bn-only: expected at least 2 training images, got 1"
