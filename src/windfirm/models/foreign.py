"""Weights that were written elsewhere: safetensors, or what torch.save wrote, of which tensors alone are read."""

import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from windfirm.errors import CheckpointError, expected, first_line
from windfirm.models.blueprint import blueprint_of
from windfirm.models.checkpoint import fill, read_file, refuse_misfit, refuse_nan
from windfirm.models.meta import require_network
from windfirm.models.mode import minds, mode

#: Under which names others keep a state dict inside a larger one.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")

#: What torch.nn.DataParallel and torch.compile put before every name.
PREFIXES = ("module.", "_orig_mod.")

#: Batch normalisations of old files do not count their batches; in eval mode nothing reads that number.
UNCOUNTED = "num_batches_tracked"


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Give ``model`` the weights in ``path``, all of them or none; its types, devices and mode stay.

    A ``.safetensors`` file is read as such, any other as one of ``torch.save``: a state dict, which may lie under one
    of WRAPPERS and whose names may all begin with ``module.`` or ``_orig_mod.``. No code of a file is run: what holds
    more than tensors and plain values is refused.

    Raises CheckpointError for a file that is missing, damaged, holds code, NaN or tensors that do not fit, or is a
    Windfirm checkpoint of a network that was cut otherwise (``load`` reads those); InputError for what is no network.
    """
    require_network(model)
    path = Path(path)
    tensors = _safe(path, model) if path.suffix == ".safetensors" else _pickled(path)
    with mode(model, training=True) if minds(model) else nullcontext():  # as save stores it
        wanted = model.state_dict()
        tensors = _bare(tensors, wanted)
        counts = {name: value for name, value in wanted.items() if name.endswith(UNCOUNTED) and name not in tensors}
        tensors = {**tensors, **counts}
        refuse_misfit(path, wanted, tensors)
        fill(path, model, tensors)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The tensors in ``path`` by their names, of a file in any form that load_weights takes; on the CPU.

    Raises CheckpointError for a file that is missing, damaged, or holds code or NaN.
    """
    path = Path(path)
    return read_file(path)[1] if path.suffix == ".safetensors" else _pickled(path)


def _safe(path: Path, model: nn.Module) -> dict[str, Tensor]:
    manifest, tensors = read_file(path)
    if manifest.blueprint and manifest.blueprint != blueprint_of(model):
        got = "those of one that was cut, which is opened by itself, with the function as its factory"
        raise CheckpointError(expected(str(path), "weights of this network", got))
    return tensors


def _bare(tensors: dict[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """``tensors`` without what a wrapper put before every name, where the names ``wanted`` lack it."""
    for prefix in PREFIXES * 2:  # either may be around the other
        if all(name.startswith(prefix) for name in tensors) and not all(name.startswith(prefix) for name in wanted):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _pickled(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(expected(str(path), "a file of weights", "a folder" if path.is_dir() else "no such file"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old ways to store a tensor, which are as good as the new ones
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken or a hostile pickle leads to is anyone's guess
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            got = f"a pickle that could run {found[1]}; save model.state_dict() alone"
            raise CheckpointError(expected(str(path), "tensors and plain values", got)) from error
        got = first_line(error)
        if "weights_only" in got:  # PyTorch's advice to run the code that such a file may hold
            got = "another or a damaged one"
        raise CheckpointError(expected(str(path), "a whole file that torch.save wrote", got)) from error
    tensors = _unwrapped(path, content)
    refuse_nan(path, tensors)
    return tensors


def _unwrapped(path: Path, content: Any) -> dict[str, Tensor]:
    """The state dict in ``content``."""
    for _ in WRAPPERS:  # no deeper: a file may hold itself
        key = next((key for key in WRAPPERS if isinstance(content, Mapping) and key in content), None)
        if key is None or isinstance(content[key], Tensor):
            break
        content = content[key]
    entries = dict(content) if isinstance(content, Mapping) else {}
    if not entries:
        raise CheckpointError(expected(str(path), "a state dict", f"a {type(content).__name__}"))
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {expected(repr(name), 'a tensor', f'a {type(value).__name__}')}")
        if value.is_meta or value.is_quantized or value.layout != torch.strided:
            got = f"{value.dtype} {value.layout} on {value.device}"
            raise CheckpointError(f"{path}: {expected(name, 'a dense tensor with data', got)}")
    return entries
