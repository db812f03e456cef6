import hashlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import windfirm as wf
from windfirm.data.images import Images
from windfirm.seeds import default_stream, number, stream


def test_a_number_is_the_first_63_bits_of_the_sha256_of_its_address() -> None:
    digest = hashlib.sha256(b"7/augment/3").hexdigest()
    assert number(7, "augment", 3) == int(digest[:16], 16) // 2
    assert 0 <= number(7, "augment", 3) < 2**63


def test_every_part_of_the_address_counts() -> None:
    addresses = [(0,), (1,), (0, "order"), (0, "augment"), (0, "augment", 0), (0, "augment", 1), (0, 1, "augment")]
    assert len({number(*address) for address in addresses}) == len(addresses)  # type: ignore[arg-type]


def test_a_stream_starts_afresh_at_each_call_and_knows_nothing_of_the_others() -> None:
    first = torch.rand(4, generator=stream(0, "a"))
    torch.rand(100, generator=stream(0, "b"))
    assert torch.equal(torch.rand(4, generator=stream(0, "a")), first)
    assert not torch.equal(torch.rand(4, generator=stream(0, "b")), first)


def test_streams_are_the_same_in_every_run() -> None:
    assert torch.randint(1000, (4,), generator=stream(0, "order", 0)).tolist() == [111, 719, 628, 794]


def test_drawing_from_a_stream_leaves_the_default_generator_alone() -> None:
    before = torch.random.get_rng_state()
    torch.rand(4, generator=stream(0, "a"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_default_stream_is_seeded_inside_the_block_and_put_back_after_it() -> None:
    before = torch.random.get_rng_state()
    with default_stream(0, "weights"):
        inside = torch.rand(4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(4, generator=stream(0, "weights")))


def test_the_default_stream_is_put_back_after_an_error_too() -> None:
    before = torch.random.get_rng_state()
    python, arrays = random.getstate(), np.random.get_state(legacy=False)["state"]["key"]
    with pytest.raises(RuntimeError), default_stream(0, "weights"):
        torch.rand(4, 3) @ torch.rand(4, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], arrays)


@pytest.mark.parametrize("initialised", [False, True])
def test_gpus_are_seeded_and_put_back_where_they_are_in_use_and_left_asleep_elsewhere(
    monkeypatch: pytest.MonkeyPatch, initialised: bool
) -> None:
    states = {0: torch.zeros(1), 1: torch.ones(1)}
    before, seeds = dict(states), []

    def seeded(seed: int) -> None:
        seeds.append(seed)
        states.update(dict.fromkeys(states, torch.full((1,), 7.0)))

    patches: dict[str, Callable[..., Any]] = {
        "is_initialized": lambda: initialised,
        "device_count": lambda: len(states),
        "manual_seed_all": seeded,
        "get_rng_state": lambda device: states[device],
        "set_rng_state": lambda state, device: states.update({device: state}),
    }
    for name, function in patches.items():
        monkeypatch.setattr(torch.cuda, name, function)
    with default_stream(0, "weights"):
        assert seeds == ([number(0, "weights")] if initialised else [])
    assert states == before


class Drawing(nn.Module):
    """A network that draws from Python and numpy in training, and has a layer for that alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.noisy, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.first(x).relu()
        if self.training:
            x = x + (random.random() - np.random.rand()) * self.noisy(x)
        return self.last(x.mean((2, 3)))


def draws() -> tuple[float, float, float]:
    """One from each of the three that a network may draw from."""
    return float(torch.rand(())), random.random(), float(np.random.rand())


def test_python_and_numpy_draw_from_the_default_stream_as_well_and_go_on_after_it_as_they_were() -> None:
    with default_stream(0, "weights"):
        inside = draws()
    with default_stream(0, "before"):
        after = draws()
    with default_stream(0, "before"):
        with default_stream(0, "weights"):
            assert draws() == inside
        assert draws() == after


IMAGES = Images(torch.arange(4 * 3 * 64, dtype=torch.uint8).view(4, 3, 8, 8), torch.arange(4) % 2, ("a", "b"), "some")
CALLS: dict[str, Callable[[nn.Module], object]] = {
    "adjust": lambda model: wf.adjust("fine-tuning", model, IMAGES, epochs=3),
    "attack": lambda model: wf.attack(model, IMAGES.images, IMAGES.labels, "pgd", steps=2),
    "prune": lambda model: wf.prune(model, IMAGES.images / 255, ratio=0.5, rounds=2),
    "structures": lambda model: wf.structures(model, IMAGES.images / 255),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_network_draws_does_not_move_what_the_caller_draws(name: str) -> None:
    with default_stream(0, "weights"):
        model = Drawing()
        expected = draws()
    with default_stream(0, "weights"):
        Drawing()
        CALLS[name](model)
        assert draws() == expected


def test_training_follows_from_its_seed_whatever_a_network_draws_from() -> None:
    found = []
    for purpose in ("here", "there"):
        with default_stream(0, "weights"):
            model = Drawing()
        with default_stream(0, purpose):
            CALLS["adjust"](model)
        found.append(model.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
