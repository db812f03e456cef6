"""What the caller's ``torch.set_default_device`` does to the library: nothing.

The meta device stands for a GPU here: a tensor that lands on it by mistake has no values, and the call fails.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import windfirm as wf
from tests.evaluate.toys import labelled, small_network
from windfirm.adjust.statistics import restate
from windfirm.attack.registry import ATTACKS, build
from windfirm.defend.registry import DEFENCES, defence
from windfirm.evaluate.calibration import logits
from windfirm.evaluate.distance import distances
from windfirm.evaluate.examples import examples
from windfirm.evaluate.loop import curve
from windfirm.evaluate.occlusion_map import occlusion_map
from windfirm.evaluate.transfer import transfer
from windfirm.models.agree import disagreement
from windfirm.prune.criteria import CRITERIA

MODEL = small_network(classes=4)
IMAGES = replace(labelled(MODEL, 12, wrong=3), classes=tuple("abcd"))
PIXELS = IMAGES.images[:1] / 255
BATCHES = [(IMAGES.images / 255, IMAGES.labels)]
PGD = build("pgd", 8, steps=2)
FEW = {
    "apgd-t": {"steps": 5},
    "fab-t": {"steps": 5},
    "square": {"queries": 20},
    "autoattack": {"steps": 5, "queries": 20},
}


def trained(train: Callable[[torch.nn.Module], object]) -> list[Any]:
    model = deepcopy(MODEL)
    train(model)
    return values(model)


def values(model: torch.nn.Module) -> list[Any]:
    return [tensor.tolist() for tensor in model.state_dict().values()]


def survived(name: str) -> list[int]:
    return [int(count) for count in wf.evaluate(MODEL, IMAGES, build(name, 8, **FEW.get(name, {}))).correct]


def pruned(name: str) -> list[Any]:
    return values(wf.prune(MODEL, PIXELS, ratio=0.5, criterion=name, batches=BATCHES))


def defended(name: str) -> list[Any]:
    return trained(lambda model: wf.adjust("fine-tuning", model, IMAGES, epochs=1, objective=defence(name, 8)))


CALLS: dict[str, Callable[[], Any]] = {
    "attack": lambda: wf.attack(MODEL, BATCHES[0][0], IMAGES.labels, "fgsm").correct.tolist(),
    "compare": lambda: [
        subject.outcomes[0].correct.tolist()
        for subject in wf.compare(MODEL, MODEL, IMAGES, attacks=["fgsm"], checked=4).subjects
    ],
    "curve": lambda: [outcome.correct.tolist() for outcome in curve(MODEL, IMAGES, [1 / 255])],
    "distances": lambda: distances(MODEL, IMAGES, PGD).sizes.tolist(),
    "examples": lambda: examples({"F": MODEL}, IMAGES, PGD, [9])[0].views["F"].predicted,
    "transfer": lambda: transfer(MODEL, {"F": MODEL}, IMAGES, PGD)["F"].correct.tolist(),
    "occlusion_map": lambda: occlusion_map(MODEL, IMAGES).tolist(),
    "logits": lambda: logits(MODEL, IMAGES).tolist(),
    "structures": lambda: [(found.name, found.size, found.frozen) for found in wf.structures(MODEL, PIXELS)],
    "cost": lambda: wf.cost(MODEL, PIXELS),
    "disagreement": lambda: disagreement(MODEL, MODEL, PIXELS),
    "adjust": lambda: trained(lambda model: wf.adjust("fine-tuning", model, IMAGES, epochs=1)),
    "restate": lambda: trained(lambda model: restate(model, IMAGES)),
}
CALLS |= {name: partial(survived, name) for name in ATTACKS}
CALLS |= {name: partial(pruned, name) for name in CRITERIA}
CALLS |= {name: partial(defended, name) for name in DEFENCES}


@pytest.mark.parametrize("name", CALLS)
def test_the_callers_default_device_does_not_matter(name: str) -> None:
    outside = CALLS[name]()
    with torch.device("meta"):
        assert CALLS[name]() == outside


def test_a_file_is_loaded_onto_the_processor(tmp_path: Path) -> None:
    wf.save(wf.prune(wf.build("resnet20"), torch.rand(1, 3, 32, 32), ratio=0.3), tmp_path / "smaller.safetensors")
    with torch.device("meta"):
        model = wf.load(tmp_path / "smaller.safetensors", "resnet20")
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}
