from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import windfirm as wf
from windfirm.data.images import Images
from windfirm.models.export import export
from windfirm.models.mode import switched
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
