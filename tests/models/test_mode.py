import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import windfirm as wf
from windfirm.data.images import Images
from windfirm.models.blueprint import blueprint_of
from windfirm.models.export import export
from windfirm.models.mode import mode, switched
from windfirm.models.source import fresh


class Quiet(nn.Sequential):
    """A network whose normalisation never trains, and whose train() hands nothing on, as those of many others do."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self[1].training = False


class Adapted(nn.Linear):
    """A layer with an addition of low rank, which eval() merges with its weight and train() takes out again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.down, self.up = nn.Parameter(torch.randn(2, inputs)), nn.Parameter(torch.randn(outputs, 2))
        self.merged = False

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * self.up @ self.down
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + (0 if self.merged else x @ self.down.T @ self.up.T)


class Rectified(nn.Conv2d):
    """A layer of positive weights, which it computes once and for all while it is not trained."""

    ready: Tensor | None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)
        self.register_buffer("ready", None, persistent=False)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.ready = None if mode else self.weight.detach().abs()
        return self

    def forward(self, x: Tensor) -> Any:
        return self._conv_forward(x, self.weight.abs() if self.ready is None else self.ready, self.bias)


def adapted(middle: nn.Module) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), middle, nn.ReLU(), nn.Flatten(), Adapted(64, 2))


PIXELS = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1])
SOME = Images(PIXELS, LABELS, ("a", "b"), "some")
EXAMPLE = PIXELS / 255


def test_a_network_that_sets_its_mode_in_its_own_way_comes_back_in_it() -> None:
    model = Quiet()
    assert switched(model, training=True) is model
    assert [module.training for module in (model, model[0], model[1])] == [True, True, False]
    assert switched(model, training=False) is model
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("inside", [True, False])
def test_afterwards_modules_whose_train_does_work_are_in_the_state_they_were_in(inside: bool) -> None:
    model: Any = nn.Sequential(Adapted(2, 2), nn.Sequential(nn.BatchNorm1d(2), Adapted(2, 2)), Quiet()).double().train()
    model[1][0].eval()
    model[1][1].eval()
    weights, modes = [model[0].weight.clone(), model[1][1].weight.clone()], [m.training for m in model.modules()]
    with mode(model, training=inside):
        assert [model[0].merged, model[1][1].merged] == [not inside] * 2
    assert [m.training for m in model.modules()] == modes
    assert [model[0].merged, model[1][1].merged] == [False, True]
    assert torch.allclose(model[0].weight, weights[0], rtol=1e-12)
    assert torch.allclose(model[1][1].weight, weights[1], rtol=1e-12)


@pytest.mark.parametrize("middle", [nn.Conv2d(4, 4, 3).train(), nn.Conv2d(4, 4, 3).eval(), Rectified(4, 4).eval()])
def test_a_smaller_network_is_in_the_state_that_its_modes_stand_for(middle: nn.Module) -> None:
    model, training = adapted(middle).train(middle.training), middle.training
    small: Any = wf.prune(model, EXAMPLE, ratio=0.5, ranking="per-layer")
    assert (small.training, small[5].training, small[5].merged) == (training, training, not training)
    wanted = copy.deepcopy(small).train().eval()(EXAMPLE)  # which makes all that it keeps anew
    assert torch.allclose(small(EXAMPLE), wanted, rtol=1e-4)
    kept = blueprint_of(small).kept["5.weight"][1]
    assert torch.equal(small[5].weight, model[5].weight[:, kept])  # not merged anew, which rounds


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fresh_training", [True, False])
def test_files_and_expanded_networks_do_not_depend_on_the_mode_that_a_network_was_in(
    tmp_path: Path, training: bool, fresh_training: bool
) -> None:
    def make() -> Any:
        return adapted(nn.Conv2d(4, 4, 3) if training else Rectified(4, 4)).train(fresh_training)

    model, path = make().train(training), tmp_path / "m.safetensors"
    small = wf.prune(model, EXAMPLE, ratio=0.5, ranking="per-layer")
    wanted = copy.deepcopy(small).eval()(EXAMPLE)
    wf.save(small, path)
    assert torch.allclose(wf.load(path, make)(EXAMPLE), wanted, atol=1e-5)
    whole: Any = wf.expand(small)
    assert (whole.training, whole[5].merged) == (training, not training)
    assert torch.allclose(whole(EXAMPLE), wanted, atol=1e-5)
    wf.save(model, path)
    other: Any = make()
    other[0].weight.data.zero_()
    wf.load_weights(other, path)
    assert (other.training, other[5].merged) == (fresh_training, not fresh_training)
    assert torch.allclose(other(EXAMPLE), model(EXAMPLE), atol=1e-5)


def loaded(place: Path) -> Any:
    wf.save(Quiet(), place / "m")
    return wf.load(place / "m", Quiet)(EXAMPLE)


CALLS: dict[str, Callable[[Path], Any]] = {
    "load": loaded,
    "prune": lambda place: wf.prune(Quiet(), EXAMPLE, ratio=0.5)(EXAMPLE),
    "expand": lambda place: wf.expand(wf.prune(Quiet(), EXAMPLE, ratio=0.5), EXAMPLE)(EXAMPLE),
    "cost": lambda place: wf.cost(Quiet(), EXAMPLE),
    "attack": lambda place: wf.attack(Quiet(), EXAMPLE, LABELS, "fgsm"),
    "compare": lambda place: wf.compare(Quiet(), Quiet(), SOME, attacks=["fgsm"], checked=2),
    "adjust": lambda place: wf.adjust("fine-tuning", Quiet(), SOME, epochs=1),
    "distill": lambda place: wf.adjust("distill", Quiet(), SOME, epochs=1, original=Quiet()),
    "export": lambda place: export(Quiet(), place / "m.pt2", EXAMPLE, "pt2"),
    "fresh": lambda place: fresh(f"{__name__}:Quiet").model(EXAMPLE),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_room_takes_a_network_whose_train_returns_nothing(tmp_path: Path, name: str) -> None:
    assert CALLS[name](tmp_path) is not None
