"""From what a user writes to a network: a checkpoint, a built-in name, timm/NAME, torchvision/NAME, module:factory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from windfirm import seeds
from windfirm.errors import CheckpointError, InputError, expected, nearest
from windfirm.models.checkpoint import load, read_manifest
from windfirm.models.factory import UNNAMED, Factory, from_spec, is_name, named
from windfirm.models.foreign import load_weights
from windfirm.models.intake import CIFAR, IMAGENET, UNKNOWN, Intake, fed
from windfirm.models.mode import switched
from windfirm.models.registry import ARCHITECTURES

WEIGHTS = Path(__file__).parent / "weights"

KINDS = "a checkpoint, a built-in name, timm/NAME, torchvision/NAME or module:factory"

#: What a network is called in a folder that a command wrote, and that as before training.
MODEL, INITIAL = "model.safetensors", "initial.safetensors"

#: Files of weights alone that torch.save wrote.
FOREIGN = (".pt", ".pth")


@dataclass(frozen=True)
class Source:
    """A network and how to make a fresh one like it.

    ``arch`` is its built-in name, timm/NAME or torchvision/NAME, None when it came from a function of the user's own;
    ``classes`` what a checkpoint or the user says of its logits. ``model`` takes images in [0, 1]: where ``intake`` has
    a mean, it is a Normalized one.
    """

    model: nn.Module
    name: str
    arch: str | None
    classes: int | None = None
    intake: Intake = UNKNOWN


def shipped(arch: str, *, initial: bool = False) -> Path | None:
    """The weight file inside the package for ``arch``, trained or as before training; None when there is none."""
    path = WEIGHTS / f"{arch}{'-initial' if initial else ''}.safetensors"
    return path if path.is_file() else None


def open_model(
    spec: str,
    *,
    factory: str | None = None,
    arch: str | None = None,
    classes: int | None = None,
    weights: bool = True,
    file: str | None = None,
    asked: Intake = UNKNOWN,
) -> Source:
    """The network that ``spec`` names, in eval mode on the CPU, behind its own normalisation (see intake.fed).

    ``factory`` (a name, or ``module:function``) or ``arch`` (a name) says what to build for a checkpoint that does not
    say so itself, and ``classes`` the number of logits of what goes by a name; a folder stands for its
    ``model.safetensors``, and a .pt or .pth file holds weights alone. A name or function gets the weights in ``file``.
    Without, and with ``weights``, a name that comes without trained weights is refused; else it gets fresh ones from
    seed 0. What a factory of the user's own returns is taken as it is. ``asked`` goes before what is known otherwise.
    Raises InputError for a name that leads nowhere, CheckpointError for a file that cannot be loaded.
    """
    path = Path(spec)
    if spec not in ARCHITECTURES:
        if (path / MODEL).is_file():
            path /= MODEL
        if path.suffix in (".safetensors", *FOREIGN) or path.is_file():
            return _from_file(path, factory, arch, classes, asked)
        if ":" not in spec and not is_name(spec):
            got = "a folder without model.safetensors" if path.is_dir() else "no such file or name"
            raise InputError(expected(spec, KINDS, got) + nearest(spec, ARCHITECTURES))
    elif file is None and (inside := shipped(spec)):
        return _fed(Source(load(inside, classes=classes), spec, spec), asked, usual=CIFAR)
    make = from_spec(spec, classes)
    if weights and file is None and ":" not in spec:
        got = f"none in the package; run `windfirm train {spec}`" if spec in ARCHITECTURES else "none; see --weights"
        raise InputError(expected(spec, "trained weights", got))
    source = _fresh(make, spec, spec if is_name(spec) else None, classes)
    if file is not None:
        load_weights(source.model, file)
    return _fed(source, asked, usual=CIFAR if spec in ARCHITECTURES else UNKNOWN)


def fresh(spec: str, *, classes: int | None = None, seed: int = 0, asked: Intake = UNKNOWN) -> Source:
    """The network that a name or ``module:function`` makes, as before training, behind its normalisation.

    ``seed`` decides the weights; ``asked`` is as in open_model. Raises InputError for a name that leads nowhere.
    """
    source = _fresh(from_spec(spec, classes), spec, spec if is_name(spec) else None, classes, seed)
    return _fed(source, asked, usual=CIFAR if spec in ARCHITECTURES else UNKNOWN)


def _from_file(path: Path, factory: str | None, arch: str | None, classes: int | None, asked: Intake) -> Source:
    name = path.absolute().parent.name if path.stem == "model" else path.stem
    made_by = factory or arch
    stated = None
    if path.suffix in FOREIGN:
        if made_by is None:
            raise CheckpointError(expected(str(path), UNNAMED, "neither"))
        source = _fresh(from_spec(made_by, classes) if factory else named(made_by, classes), name, made_by, classes)
        load_weights(source.model, path)
    else:
        manifest = read_manifest(path)
        made_by = made_by or manifest.arch
        if made_by is None and (maker := manifest.notes.get("factory")):
            # Only told, never followed: a name in a file may not lead to an import.
            raise CheckpointError(expected(str(path), f"what made the network, --factory {maker}", "none"))
        source = Source(load(path, factory, arch=arch, classes=classes), name, made_by, classes or manifest.classes)
        stated = manifest.notes.get("intake")
    usual = CIFAR if made_by in ARCHITECTURES and stated is None else UNKNOWN
    return _fed(source if made_by and is_name(made_by) else replace(source, arch=None), asked, stated, usual)


def _fed(source: Source, asked: Intake, stated: Any = None, usual: Intake = UNKNOWN) -> Source:
    """``source`` behind its normalisation; ``stated`` is what a checkpoint's notes say of it, or None."""
    if source.arch is not None and source.arch.startswith("torchvision/"):
        usual = IMAGENET
    try:
        model, intake = fed(source.model, asked, None if stated is None else Intake.from_json(stated), usual)
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from error
    return replace(source, model=model, intake=intake)


def _fresh(make: Factory, name: str, arch: str | None, classes: int | None, seed: int = 0) -> Source:
    with seeds.default_stream(seed, "init"):
        return Source(switched(make(), training=False), name, arch, classes)
