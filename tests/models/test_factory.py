import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from tests.commands.toys import network
from windfirm.errors import InputError
from windfirm.models.factory import NAMES, from_spec, is_name, named

TOYS = "tests.commands.toys"


def make_known(monkeypatch: pytest.MonkeyPatch, library: str) -> list[dict[str, object]]:
    """A stand-in for timm or torchvision that knows the network ``tiny``; the options that each call was given."""
    calls: list[dict[str, object]] = []

    def timm(name: str, **options: object) -> nn.Module:
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})\nand more")
        calls.append(options)
        return network(int(str(options.get("num_classes", 2))))

    def builder(name: str) -> object:
        def tiny(*, weights: str = "trained", weights_backbone: str = "trained", num_classes: int = 2) -> nn.Module:
            return timm(name, weights=weights, weights_backbone=weights_backbone, num_classes=num_classes)

        return tiny

    monkeypatch.setitem(sys.modules, library, ModuleType(library))
    models = SimpleNamespace(create_model=timm, get_model_builder=builder)
    monkeypatch.setitem(sys.modules, "timm" if library == "timm" else "torchvision.models", models)
    return calls


def logits(model: nn.Module) -> int:
    return int(model(torch.zeros(1, 3, 32, 32)).shape[1])


def test_built_in_names_make_as_many_logits_as_asked_for() -> None:
    assert logits(named("resnet20")().eval()) == 10
    assert logits(from_spec("resnet20", 3)().eval()) == 3


@pytest.mark.parametrize(
    ("library", "untrained"),
    [("timm", {"pretrained": False}), ("torchvision", {"weights": None, "weights_backbone": None})],
)
def test_no_weights_are_asked_of_another_library(
    monkeypatch: pytest.MonkeyPatch, library: str, untrained: dict[str, object]
) -> None:
    calls = make_known(monkeypatch, library)
    assert logits(named(f"{library}/tiny")()) == 2
    assert logits(from_spec(f"{library}/tiny", 4)()) == 4
    assert all(untrained.items() <= options.items() for options in calls)
    with pytest.raises(InputError) as error:
        named(f"{library}/huge")()
    wanted = "a function that makes a torch.nn.Module, got RuntimeError: Unknown model (huge)"
    assert str(error.value) == f"{library}/huge: expected {wanted}"


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError) as error:
        named("timm/resnet18")
    assert str(error.value) == "timm/resnet18: expected the extra windfirm[timm], got an environment without it"


def test_a_library_that_does_not_fit_pytorch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(InputError) as error:
        named("timm/resnet18")
    got = "RuntimeError: operator nms does not exist"
    assert str(error.value) == f"timm/resnet18: expected the extra windfirm[timm], got {got}"


def test_what_is_a_name_and_what_is_not() -> None:
    assert all(map(is_name, ["resnet20", "timm/resnet18.a1_in1k", "torchvision/vgg16_bn", "timm/a-b"]))
    others = [
        "resnet",
        "timm/",
        "timm/hf-hub:a/b",
        "timm/a/b",
        "keras/vgg",
        "os:system",
        "torchvision/..:x",
        "timm/a\n",
    ]
    assert not any(map(is_name, others))
    for name in others:
        if ":" not in name:
            with pytest.raises(InputError, match="architecture: expected one of resnet20, "):
                from_spec(name)
    with pytest.raises(InputError) as error:
        named("os:system")
    assert str(error.value) == f"architecture: expected {NAMES}, got 'os:system'"


def test_a_function_of_the_users_own() -> None:
    assert logits(from_spec(f"{TOYS}:network", 7)()) == 2  # it knows best how many
    for spec, wanted in (
        ("nowhere.at_all:make", "a module:factory that can be imported, got ModuleNotFoundError: No module named"),
        (f"{TOYS}:missing", "a module:factory that can be imported, got AttributeError: module"),
        (f"{TOYS}:not_a_network", "a function that makes a torch.nn.Module, got str"),
        (f"{TOYS}:broken", "a function that makes a torch.nn.Module, got KeyError: 'width'"),
    ):
        with pytest.raises(InputError) as error:
            from_spec(spec)()
        assert str(error.value).startswith(f"{spec}: expected {wanted}")
