"""From the name of a network to a function that makes a fresh one: built in, of another library, of the user's own."""

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from torch import nn

from windfirm.errors import InputError, brief, expected, nearest
from windfirm.models.registry import ARCHITECTURES, build
from windfirm.own import imported, maker

Factory = Callable[[], nn.Module]

#: What a factory makes.
NETWORK = nn.Module, "a torch.nn.Module"

#: Prefix of a name → the module of that library which makes networks.
LIBRARIES = {"timm": "timm", "torchvision": "torchvision.models"}

#: What a file needs that does not say of which network it is: options of the commands, arguments in Python.
UNNAMED = "arch (a name such as resnet56) or factory (package.module:function), to make the network"

#: What is_name accepts, for complaints.
NAMES = f"one of {', '.join(ARCHITECTURES)}, timm/NAME or torchvision/NAME"


def is_name(name: str) -> bool:
    """Whether ``name`` is built in or has the form timm/NAME or torchvision/NAME: a name that is only looked up.

    NAME holds letters, digits, dots and dashes alone: timm takes more (``hf-hub:…``), and goes to the network for it.
    """
    return name in ARCHITECTURES or re.fullmatch(rf"({'|'.join(LIBRARIES)})/[\w.-]+", name) is not None


def named(name: str, classes: int | None = None) -> Factory:
    """The factory of a built-in name, timm/NAME or torchvision/NAME, without trained weights.

    ``classes`` is the number of logits, by default that of the library. Nothing but the library is imported and nothing
    is fetched, so the name may come from a file. Raises InputError, at once or when called, for a name or a number of
    classes that leads to no network.
    """
    if name in ARCHITECTURES:
        return lambda: build(name, 10 if classes is None else classes)
    if not is_name(name):
        raise _no_name(name, NAMES)
    library, _, entry = name.partition("/")
    try:
        module = importlib.import_module(LIBRARIES[library])
    except Exception as error:  # a library built for another PyTorch raises anything
        got = "an environment without it" if isinstance(error, ImportError) else brief(error)
        raise InputError(expected(name, f"the extra windfirm[{library}]", got)) from error
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if library == "timm":
        return maker(name, lambda: module.create_model(entry, pretrained=False, **options), *NETWORK)
    return maker(name, lambda: _torchvision(module, entry, options), *NETWORK)


def from_spec(spec: str, classes: int | None = None) -> Factory:
    """The factory that a user names: as ``named``, or ``package.module:function``, which is imported.

    Never to be called with a name from a file. ``classes`` does not reach a function of the user's own. Raises
    InputError, at once or when called.
    """
    if ":" not in spec:
        if not is_name(spec):
            raise _no_name(spec, f"{NAMES}, or package.module:factory")
        return named(spec, classes)
    return maker(spec, imported(spec, "factory"), *NETWORK)


def _no_name(name: str, wanted: str) -> InputError:
    return InputError(expected("architecture", wanted, f"{name!r}{nearest(name, ARCHITECTURES)}"))


def _torchvision(module: Any, name: str, options: dict[str, Any]) -> nn.Module:
    make = module.get_model_builder(name)
    takes = inspect.signature(make).parameters
    # Detection and segmentation networks fetch weights for their first half unless they are told not to.
    untrained = {option: None for option in ("weights", "weights_backbone") if option in takes}
    model: nn.Module = make(**untrained, **options)
    return model
