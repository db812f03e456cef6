"""From what a user writes to a network: a checkpoint, a built-in name, timm/NAME, torchvision/NAME, module:factory."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from windfirm import seeds
from windfirm.errors import InputError, expected, nearest
from windfirm.models.checkpoint import load, read_manifest
from windfirm.models.registry import ARCHITECTURES, build

WEIGHTS = Path(__file__).parent / "weights"

KINDS = "a checkpoint, a built-in name, timm/NAME, torchvision/NAME or module:factory"

#: Prefix of a name → the module of that library which makes networks.
LIBRARIES = {"timm": "timm", "torchvision": "torchvision.models"}


@dataclass(frozen=True)
class Source:
    """A network and how to make a fresh one like it: ``arch`` when it is built in, else None."""

    model: nn.Module
    name: str
    arch: str | None


def shipped(arch: str, *, initial: bool = False) -> Path | None:
    """The weight file inside the package for ``arch``, trained or as before training; None when there is none."""
    path = WEIGHTS / f"{arch}{'-initial' if initial else ''}.safetensors"
    return path if path.is_file() else None


def open_model(spec: str, *, factory: str | None = None, arch: str | None = None, weights: bool = True) -> Source:
    """The network that ``spec`` names, in eval mode on the CPU.

    ``factory`` (``module:function``) or ``arch`` says what to build for a checkpoint that does not say so itself; a
    folder stands for its ``model.safetensors``. With ``weights``, a name that comes without trained weights is refused;
    else it gets fresh ones from seed 0. What a factory of the user's own returns is taken as it is.
    Raises InputError for a name that leads nowhere, CheckpointError for a file that cannot be loaded.
    """
    if spec in ARCHITECTURES:
        if inside := shipped(spec):
            return Source(load(inside), spec, spec)
        if weights:
            raise InputError(expected(spec, "trained weights", f"none in the package; run `windfirm train {spec}`"))
        return _fresh(lambda: build(spec), spec, spec)
    path = Path(spec)
    if (path / "model.safetensors").is_file():
        path /= "model.safetensors"
    if path.suffix == ".safetensors" or path.is_file():
        manifest = read_manifest(path)
        model = load(path, _factory(factory) if factory else None, arch=arch)
        name = path.absolute().parent.name if path.stem == "model" else path.stem
        return Source(model, name, None if factory else arch or manifest.arch)
    if ":" in spec:
        return _fresh(_factory(spec), spec, None)
    library, _, name = spec.partition("/")
    if library not in LIBRARIES or not name:
        raise InputError(expected(spec, KINDS, f"no such file or name{nearest(spec, ARCHITECTURES)}"))
    make = _library(library, name)
    if weights:
        raise InputError(expected(spec, "trained weights", "none; write a package.module:factory that loads them"))
    return _fresh(make, spec, None)


def _fresh(make: Callable[[], nn.Module], spec: str, arch: str | None) -> Source:
    with seeds.default_stream(0, "init"):
        return Source(make().eval(), spec, arch)


def _library(library: str, name: str) -> Callable[[], nn.Module]:
    spec = f"{library}/{name}"
    try:
        module = importlib.import_module(LIBRARIES[library])
    except ImportError as error:
        raise InputError(expected(spec, f"the extra windfirm[{library}]", "an environment without it")) from error

    def fresh() -> nn.Module:
        if library == "timm":
            return module.create_model(name, pretrained=False)  # type: ignore[no-any-return]
        return module.get_model(name, weights=None)  # type: ignore[no-any-return]

    return _checked(fresh, spec)


def _factory(spec: str) -> Callable[[], nn.Module]:
    module, _, name = spec.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module may raise anything
        raise InputError(expected(spec, "a module:factory that can be imported", _brief(error))) from error
    return _checked(made, spec)


def _checked(make: Callable[[], nn.Module], spec: str) -> Callable[[], nn.Module]:
    """``make``, whose errors and whose other results than a network are an InputError."""

    def fresh() -> nn.Module:
        try:
            model = make()
        except Exception as error:  # code from outside may raise anything
            raise InputError(expected(spec, "a function that makes a network", _brief(error))) from error
        if not isinstance(model, nn.Module):
            raise InputError(expected(spec, "a function that returns a torch.nn.Module", type(model).__name__))
        return model

    return fresh


def _brief(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
