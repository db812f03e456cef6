"""What a training run leaves on disk after every epoch, so that it can be killed at any moment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import index
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from windfirm.errors import CheckpointError, InputError, expected, first_line
from windfirm.files import atomic, sweep

Entry = TypeVar("Entry")


def fingerprint(model: nn.Module, images: Tensor, labels: Tensor) -> str:
    """What a run must find again to go on: the network's tensors by name and shape, every pixel and every label."""
    digest = hashlib.sha256(repr([(name, tuple(value.shape)) for name, value in model.state_dict().items()]).encode())
    for tensor in (images, labels):
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def weights_digest(model: nn.Module) -> str:
    """The SHA-256 of all that the state of a network holds: names, shapes, types, and numbers to the last bit."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(repr((name, tuple(value.shape), value.dtype)).encode())
            digest.update(_bytes(value))
        else:  # of a get_extra_state
            digest.update(repr((name, value)).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def as_json(where: str, values: Any) -> Any:
    """``values`` as they are read again from JSON, those of numpy as plain numbers.

    Raises InputError, which begins with ``where``, for what JSON cannot hold, such as NaN.
    """
    try:
        return json.loads(json.dumps(values, default=_number, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(expected(where, "texts and finite numbers", first_line(error))) from error


def _number(value: Any) -> int | float:
    return index(value) if hasattr(value, "__index__") else float(value)


def write_progress(path: Path, tensors: Mapping[str, Tensor], plan: Mapping[str, Any], history: Sequence[Any]) -> None:
    """Keep tensors by name, the plan and the epochs so far in one safetensors file, atomically."""
    plain = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}  # none shared
    metadata = {"plan": json.dumps(plan, sort_keys=True), "history": json.dumps([asdict(entry) for entry in history])}
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(plain, metadata))


def read_progress(path: Path, plan: Mapping[str, Any], entry: type[Entry]) -> tuple[dict[str, Tensor], list[Entry]]:
    """What write_progress kept, the tensors and the epochs; nothing and an empty list when there is no such file.

    What a run that was killed while it wrote left beside it is removed. Raises CheckpointError when the file is damaged
    or belongs to a run with another plan.
    """
    sweep(path)
    if not path.exists():
        return {}, []
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kept, history = json.loads(metadata["plan"]), json.loads(metadata["history"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        got = f"a damaged file ({error})"
        raise CheckpointError(expected(str(path), "the state of a training run", got)) from error
    if kept != plan:
        got = "one of another run; the folder needs another name, or the file removing"
        raise CheckpointError(expected(str(path), "the state of this run", got))
    return tensors, [entry(**values) for values in history]
