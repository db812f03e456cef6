from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from tests.adjust.toys import assert_equal, data, toy
from windfirm.adjust.compiling import replayed
from windfirm.adjust.train import Extras, Recipe, train
from windfirm.defend.shape_texture import shape_texture
from windfirm.errors import InputError

RECIPE = Recipe(epochs=1, batch=8)


def test_what_cannot_be_compiled_is_trained_as_it_is_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: nn.Module, mode: str) -> Any:
        def call(images: torch.Tensor) -> torch.Tensor:
            model(images)  # moves the statistics before it fails
            raise RuntimeError("no compiler\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    compiled, plain = toy(), toy()
    with pytest.warns(UserWarning, match="^compile: ") as told:
        train(compiled, *data(), RECIPE, extras=Extras(compile="default"))
    assert [str(warning.message) for warning in told] == [
        "compile: expected a network that torch.compile can compile here, got RuntimeError: no compiler; it is trained "
        "as it is"
    ]
    train(plain, *data(), RECIPE)
    assert_equal(compiled, plain)


def test_the_compiled_network_is_what_every_step_calls_and_trying_it_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    def watched(model: nn.Module, mode: str) -> Any:
        def call(images: torch.Tensor) -> Any:
            nonlocal calls
            calls += 1
            return model(images)

        assert mode == "reduce-overhead"
        return call

    monkeypatch.setattr(torch, "compile", watched)
    compiled, plain = toy(), toy()
    train(compiled, *data(), RECIPE, extras=Extras(compile="reduce-overhead"))
    assert calls == 1 + 4
    train(plain, *data(), RECIPE)
    assert_equal(compiled, plain)


def record(network: nn.Module, args: Sequence[torch.Tensor], pool: object = None) -> nn.Module:
    """What stands for a recording here: the network, for batches of one size; making it moves its statistics."""
    network(args[0]).sum().backward()

    class Recording(nn.Module):
        def forward(self, images: torch.Tensor) -> Any:
            assert images.shape == args[0].shape
            return network(images)

    return Recording()


def test_a_recording_is_called_for_whole_batches_and_making_it_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    model, plain = toy(), toy()
    images = data()[0][:8] / 255
    network = replayed(model.train(), images)
    assert_equal(model, plain)
    assert all(parameter.grad is None for parameter in model.parameters())
    for count in (8, 3):
        assert torch.equal(network(images[:count]), plain.train()(images[:count]))
    assert_equal(model, plain)  # statistics, too, moved alike


def test_a_call_that_keeps_statistics_has_a_recording_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def noted(network: nn.Module, args: Sequence[torch.Tensor], pool: object = None) -> nn.Module:
        (kept,) = {not layer.track_running_stats for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)}
        recording = record(network, args)

        class Fixed(nn.Module):
            def forward(self, images: torch.Tensor) -> Any:
                calls.append(kept)
                return recording(images)

        made.append(kept)
        return Fixed()

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", noted)
    calls: list[bool] = []
    objective = shape_texture(8)
    model, plain = toy().train(), toy().train()
    images, labels = data()
    images = images[:8] / 255
    network = replayed(model, images, kept=objective.kept)
    assert made == [False, True]
    assert_equal(model, plain)
    losses = [objective.loss(one, images, labels[:8], torch.Generator().manual_seed(1))[0] for one in (network, plain)]
    assert calls == [False, True]
    assert torch.equal(*losses)
    assert_equal(model, plain)  # statistics moved once
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


def test_what_cannot_be_recorded_is_called_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(network: nn.Module, args: Sequence[torch.Tensor], pool: object = None) -> nn.Module:
        network(args[0])
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    model = toy().train()
    assert replayed(model, data()[0][:8] / 255) is model
    assert_equal(model, toy())


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InputError) as error:
        Extras(compile="fast")
    assert str(error.value) == (
        "compile: expected a mode out of default, reduce-overhead, max-autotune, max-autotune-no-cudagraphs, got fast"
    )


def test_trying_moves_no_buffer_that_is_no_part_of_the_state_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = toy()
            self.register_buffer("seen", torch.zeros(()), persistent=False)

        def forward(self, images: torch.Tensor) -> Any:
            self.get_buffer("seen").add_(1)
            return self.inner(images)

    monkeypatch.setattr(torch, "compile", lambda model, mode: model)
    model = Counting()
    train(model, *data(), RECIPE, extras=Extras(compile="default"))
    assert model.seen == 4


def test_a_network_without_statistics_is_called_twice_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells the two calls of a step apart, and a recording keeps the intermediate values of one call alone."""
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda *args, **kwargs: pytest.fail("recorded"))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(144, 2))
    assert replayed(model, torch.rand(8, 3, 8, 8), kept=True) is model
