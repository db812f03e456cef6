from typing import Any

import pytest
import torch
from torch import nn

from tests.adjust.toys import assert_equal, data, toy
from windfirm.adjust.train import Extras, Recipe, train
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


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InputError) as error:
        Extras(compile="fast")
    assert str(error.value) == (
        "compile: expected a mode out of default, reduce-overhead, max-autotune, max-autotune-no-cudagraphs, got fast"
    )
