"""From what a user writes to a network: a checkpoint, a built-in name, timm/NAME, torchvision/NAME, module:factory."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from windfirm import seeds
from windfirm.errors import InputError, expected
from windfirm.models.checkpoint import load, read_manifest
from windfirm.models.registry import ARCHITECTURES, build

WEIGHTS = Path(__file__).parent / "weights"

KINDS = "a checkpoint, a built-in name, timm/NAME, torchvision/NAME or module:factory"


@dataclass(frozen=True)
class Source:
    """A network and how to make a fresh one like it: ``arch`` when it is built in, else None."""

    model: nn.Module
    name: str
    arch: str | None
    classes: int


def shipped(arch: str, *, initial: bool = False) -> Path | None:
    """The weight file inside the package for ``arch``, trained or as before training; None when there is none."""
    path = WEIGHTS / f"{arch}{'-initial' if initial else ''}.safetensors"
    return path if path.is_file() else None


def open_model(spec: str, *, factory: str | None = None, arch: str | None = None, weights: bool = True) -> Source:
    """The network that ``spec`` names, in eval mode on the CPU.

    ``factory`` (``module:function``) or ``arch`` says what to build for a checkpoint that does not say so itself. With
    ``weights``, a name that comes without trained weights is refused; else it gets fresh ones from seed 0.
    Raises InputError for a name that leads nowhere, CheckpointError for a file that cannot be loaded.
    """
    path = Path(spec)
    if path.suffix == ".safetensors" or path.is_file():
        manifest = read_manifest(path)
        model = load(path, _factory(factory) if factory else None, arch=arch)
        return Source(
            model,
            path.stem if path.stem != "model" else path.parent.name or "model",
            None if factory else arch or manifest.arch,
            manifest.classes or 10,
        )
    if spec in ARCHITECTURES and (inside := shipped(spec)) is not None:
        return Source(load(inside), spec, spec, 10)
    if spec not in ARCHITECTURES and "/" not in spec and ":" not in spec:
        build(spec)  # says what is known, and the nearest right spelling
    if weights and ":" not in spec:
        raise InputError(expected(spec, "a network with trained weights", "a name that comes without; train it first"))
    with seeds.default_stream(0, "init"):
        model = build(spec) if spec in ARCHITECTURES else _outside(spec)()
    return Source(model.eval(), spec, spec if spec in ARCHITECTURES else None, 10)


def _outside(spec: str) -> Callable[[], nn.Module]:
    library, slash, name = spec.partition("/")
    if slash and library == "timm":
        return lambda: _optional("timm", spec).create_model(name, pretrained=False)  # type: ignore[no-any-return]
    if slash and library == "torchvision":
        return lambda: _optional("torchvision.models", spec).get_model(name, weights=None)  # type: ignore[no-any-return]
    if ":" in spec:
        return _factory(spec)
    raise InputError(expected("model", KINDS, spec))


def _optional(module: str, spec: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = module.partition(".")[0]
        raise InputError(expected(spec, f"the extra windfirm[{extra}]", "an environment without it")) from error


def _factory(spec: str) -> Callable[[], nn.Module]:
    module, _, name = spec.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(expected(spec, "module:factory that can be imported", error)) from error

    def fresh() -> nn.Module:
        model = made()
        if not isinstance(model, nn.Module):
            raise InputError(expected(spec, "a function that returns a torch.nn.Module", type(model).__name__))
        return model

    return fresh
