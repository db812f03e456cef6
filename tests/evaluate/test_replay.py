"""Recorded on a GPU; here a recording is the network itself, whose earlier results are spoilt, as a GPU's would be."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import small_network
from windfirm.evaluate.replay import FIRST, Replayed
from windfirm.models.device import in_float32


class Spoiling(nn.Module):
    """Takes batches of one size; what it returned before is overwritten, and so is what its way back gives."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.network, self.shape, self.calls = network, example.shape, 0
        self.given: list[Tensor] = []

    def forward(self, images: Tensor) -> Any:
        assert images.shape == self.shape
        self.calls += 1
        for old in self.given:
            old.data.fill_(torch.nan)
        logits = self.network(images * 1)
        self.given = [logits]
        return logits


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Spoiling]:
    """The recordings that are made."""
    found: list[Spoiling] = []

    def record(network: nn.Module, args: Sequence[Tensor], pool: object) -> nn.Module:
        found.append(Spoiling(network, args[0]))
        return found[-1]

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    return found


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def slope(network: nn.Module, pixels: Tensor) -> Tensor:
    pixels = pixels.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(pixels).square().sum(), pixels)
    return gradient


def warm(network: nn.Module, count: int) -> None:
    for _ in range(FIRST):
        network(images(count))


def test_logits_and_gradients_are_those_of_the_network_whatever_the_batch(made: list[Spoiling]) -> None:
    network = small_network()
    replayed = Replayed(network, images(4), 100).eval()
    for count in (1, 5, 16, 17, 64, 65, 100):
        warm(replayed, count)
        pixels = images(count, 1)
        with torch.no_grad():
            torch.testing.assert_close(replayed(pixels), network(pixels))
        torch.testing.assert_close(slope(replayed, pixels), slope(network, pixels))
    assert [recording.shape[0] for recording in made] == [16, 64, 100]


def test_what_is_asked_in_float32_is_recorded_apart(made: list[Spoiling]) -> None:
    network = small_network()
    replayed = Replayed(network, images(4), 16).eval()
    warm(replayed, 3)
    replayed(images(3))
    with in_float32():
        warm(replayed, 3)
        assert len(made) == 1
        torch.testing.assert_close(slope(replayed, images(3, 1)), slope(network, images(3, 1)))
    assert len(made) == 2
    torch.testing.assert_close(slope(replayed, images(3, 1)), slope(network, images(3, 1)))
    assert len(made) == 2
    assert [recording.calls for recording in made] == [3, 2]  # one of each is the check of what was recorded


def test_few_batches_do_not_repay_a_recording(made: list[Spoiling]) -> None:
    replayed = Replayed(small_network(), images(4), 100).eval()
    warm(replayed, 8)
    assert not made
    replayed(images(8))
    assert len(made) == 1


def test_a_call_between_a_call_and_its_gradient_does_no_harm(made: list[Spoiling]) -> None:
    network = small_network()
    replayed = Replayed(network, images(4), 16).eval()
    warm(replayed, 3)
    first, second = images(3, 1).requires_grad_(), images(5, 2).requires_grad_()
    a, b = replayed(first), replayed(second)
    torch.testing.assert_close(a, network(first))
    torch.testing.assert_close(b, network(second))
    (gradient,) = torch.autograd.grad(a.square().sum(), first)
    torch.testing.assert_close(gradient, slope(network, first.detach()))
    (gradient,) = torch.autograd.grad(b.square().sum(), second)
    torch.testing.assert_close(gradient, slope(network, second.detach()))


def test_several_gradients_of_one_call_are_right(made: list[Spoiling]) -> None:
    network = small_network()
    replayed = Replayed(network, images(4), 16).eval()
    warm(replayed, 3)
    pixels = images(3, 1).requires_grad_()
    ours = [torch.autograd.grad(one, pixels, retain_graph=True)[0] for one in replayed(pixels).sum(0)]
    theirs = [torch.autograd.grad(one, pixels, retain_graph=True)[0] for one in network(pixels).sum(0)]
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("change", ["size", "type", "many", "training"])
def test_what_was_not_recorded_goes_through_the_network_as_it_is(change: str, made: list[Spoiling]) -> None:
    network = nn.AdaptiveAvgPool2d(1)
    replayed = Replayed(network, images(4), 16).eval()
    pixels = {"size": images(3)[..., :6], "type": images(3).double(), "many": images(17), "training": images(3)}[change]
    replayed.train(change == "training")
    for _ in range(FIRST + 2):
        assert torch.equal(replayed(pixels), network(pixels))
    assert not made


def test_where_recording_fails_or_gives_something_else_the_network_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(network: nn.Module, args: Sequence[Tensor], pool: object) -> nn.Module:
        raise RuntimeError("operation not permitted when stream is capturing")

    def other(network: nn.Module, args: Sequence[Tensor], pool: object) -> nn.Module:
        return nn.Sequential(network, nn.Threshold(0, 7))

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    network, pixels = small_network(), images(3)
    for record in (fail, other):
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
        replayed = Replayed(network, images(4), 16).eval()
        warm(replayed, 3)
        assert torch.equal(replayed(pixels), network(pixels))
        assert list(replayed.recordings.values()) == [None]


def test_a_network_without_gradients_is_not_recorded_so_that_attacks_can_say_so(made: list[Spoiling]) -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().flatten(1)[:, :3]

    replayed = Replayed(Blind(), images(4), 16).eval()
    warm(replayed, 3)
    assert not replayed(images(3).requires_grad_()).requires_grad
