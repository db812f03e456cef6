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


NETWORKLESS: dict[str, Callable[[Any], Any]] = CALLS | {
    "expand": wf.expand,
    "load_weights": lambda model: wf.load_weights(model, "w.pt"),
    "save": lambda model: wf.save(model, "m.safetensors"),
    "score": lambda model: wf.score("l1", model, []),
}
del NETWORKLESS["cut"], NETWORKLESS["prune"]  # they trace it first


@pytest.mark.parametrize("model", [3, None, nn.ReLU, nn.ReLU().state_dict()])
@pytest.mark.parametrize("name", NETWORKLESS)
def test_what_is_no_network_is_refused(name: str, model: Any) -> None:
    with pytest.raises(InputError) as error:
        NETWORKLESS[name](model)
    assert str(error.value) == f"model: expected a torch.nn.Module, got {type(model).__name__}"
