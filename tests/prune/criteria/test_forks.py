"""Where variants leave the network: at the first step that mixes a silent unit with others."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.prune.nets import Net, lively
from windfirm.prune.criteria.base import Subject
from windfirm.prune.criteria.forks import Fork, forks
from windfirm.prune.replay import Program
from windfirm.prune.structure import anatomy

IMAGES = torch.rand(3, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def found(between: nn.Module) -> tuple[Fork, Program]:
    """The fork of what ``a`` makes, read by ``b`` behind some layers of eight channels."""

    def run(m: Net, x: Tensor) -> Tensor:
        return m.d(F.relu(m.b(F.silu(m.between(F.relu(m.a(x)))))).mean((2, 3)))  # type: ignore[no-any-return]

    layers = {"a": nn.Conv2d(2, 8, 1), "between": between, "b": nn.Conv2d(8, 4, 3), "d": nn.Linear(4, 3)}
    model = lively(Net(run, **layers)).eval()
    body = anatomy(model, IMAGES[:1])
    program = Program(model, IMAGES)
    (fork,) = forks(Subject(model, known=body), [body.named("a")], program)
    return fork, program


def reading_layers(between: nn.Module) -> list[str]:
    fork, program = found(between)
    assert fork.start == fork.resume == min(fork.readers)
    return [program.steps[number].places[0].module for number in sorted(fork.readers)]


def depthwise() -> nn.Conv2d:
    return nn.Conv2d(8, 8, 3, padding=1, groups=8)


ONLY_HANDED_ON = {
    "one": depthwise(),
    "two": nn.Sequential(depthwise(), nn.BatchNorm2d(8), nn.ReLU6(), depthwise()),
    "groups that are units": nn.Conv2d(8, 8, 3, padding=1, groups=2),
}


@pytest.mark.parametrize("name", ONLY_HANDED_ON)
def test_grouped_convolutions_hand_a_unit_on(name: str) -> None:
    assert reading_layers(ONLY_HANDED_ON[name]) == ["b"]


def test_a_norm_over_channels_sees_what_a_silent_channel_becomes() -> None:
    assert reading_layers(nn.Sequential(depthwise(), nn.GroupNorm(2, 8))) == ["between.0", "b"]


def test_a_convolution_over_all_channels_mixes_units() -> None:
    assert reading_layers(nn.Conv2d(8, 8, 3, padding=1)) == ["between"]
