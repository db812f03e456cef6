from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import windfirm as wf
from windfirm.errors import InputError
from windfirm.models.agree import disagreement

EXAMPLE = torch.rand(2, 3, 8, 8)
CALLS: dict[str, Callable[[nn.Module], Any]] = {
    "attack": lambda model: wf.attack(model, EXAMPLE, torch.tensor([0, 1]), "fgsm"),
    "cut": lambda model: wf.cut(model, wf.select(wf.structures(model, EXAMPLE), {}, ratio=0.5), EXAMPLE),
    "disagreement": lambda model: disagreement(model, model, EXAMPLE),
    "prune": lambda model: wf.prune(model, EXAMPLE, ratio=0.5),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_network_without_data_is_refused_by_the_name_of_a_tensor(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 6), nn.Flatten()).to("meta")
    assert wf.structures(model, EXAMPLE)
    assert wf.cost(model, EXAMPLE).params
    with pytest.raises(InputError, match=r"^0\.weight: expected a tensor with data, got one on the meta device$"):
        CALLS[name](model)
