"""What a training run leaves on disk after every epoch, so that it can be killed at any moment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from windfirm.errors import CheckpointError
from windfirm.files import atomic

Entry = TypeVar("Entry")


def fingerprint(model: nn.Module, images: Tensor, labels: Tensor) -> str:
    """What a run must find again to go on: the network's tensors by name and shape, every pixel and every label."""
    digest = hashlib.sha256(repr([(name, tuple(value.shape)) for name, value in model.state_dict().items()]).encode())
    for tensor in (images, labels):
        digest.update(tensor.contiguous().cpu().numpy().data)
    return digest.hexdigest()


def write_progress(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Mapping[str, Any], history: Sequence[Any]
) -> None:
    """Keep weights, buffers, momentum, the plan and the epochs so far in one safetensors file, atomically."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    metadata = {"plan": json.dumps(plan, sort_keys=True), "history": json.dumps([asdict(entry) for entry in history])}
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, metadata))


def read_progress(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Mapping[str, Any], entry: type[Entry]
) -> list[Entry]:
    """Restore what write_progress kept and return the epochs done; an empty list when there is no such file.

    Raises CheckpointError when the file is damaged or belongs to a run with another plan.
    """
    if not path.exists():
        return []
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kept, history = json.loads(metadata["plan"]), json.loads(metadata["history"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: expected the state of a training run, got a damaged file ({error})") from error
    if kept != plan:
        raise CheckpointError(
            f"{path}: expected the state of this run, got one of another run; the folder needs another name, or the "
            "file removing"
        )
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in model.named_parameters():
        if f"momentum.{name}" in tensors:
            momentum = torch.empty_like(parameter).copy_(tensors[f"momentum.{name}"])
            optimizer.state[parameter]["momentum_buffer"] = momentum
    return [entry(**values) for values in history]
