"""What a checkpoint says about its tensors, in JSON, with a digest over both."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from windfirm.errors import CheckpointError, expected
from windfirm.models.blueprint import Blueprint

FORMAT = "windfirm-2"

#: Files of this format state kept indices in place of a blueprint, and no digest.
FIRST = "windfirm-1"

#: The metadata entry. There is one alone, as safetensors writes several in an order that changes from run to run.
KEY = "windfirm"


@dataclass(frozen=True)
class Manifest:
    """What a file says about its tensors; everything empty for a state dict that was written elsewhere.

    ``arch``: a built-in name, timm/NAME or torchvision/NAME; ``classes``: the number of its logits, None for as many as
    the name stands for; ``blueprint``: how the network differs from what the factory makes; ``notes``: a JSON object.
    """

    arch: str | None = None
    classes: int | None = None
    blueprint: Blueprint = field(default_factory=Blueprint)
    notes: dict[str, object] = field(default_factory=dict)


def write(manifest: Manifest, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The metadata of a file that holds ``tensors``. Raises TypeError or ValueError for notes that JSON cannot hold."""
    values = {
        "format": FORMAT,
        "arch": manifest.arch,
        "classes": manifest.classes,
        "blueprint": manifest.blueprint.to_json(),
        "notes": manifest.notes,
    }
    text = json.dumps(values, allow_nan=False)
    values["digest"] = _digest(json.loads(text), tensors)
    return {KEY: json.dumps(values, allow_nan=False)}


def read(path: Path, metadata: Mapping[str, str]) -> Manifest:
    """What ``metadata`` says. Raises CheckpointError for a newer format or a description that makes no sense."""
    if KEY not in metadata:
        if any(FORMAT in text for text in metadata.values()):  # ours, under a name that was damaged
            raise CheckpointError(expected(str(path), f"a description under {KEY}", f"one under {min(metadata)!r}"))
        return Manifest()
    try:
        values = json.loads(metadata[KEY])
        if values["format"] not in (FORMAT, FIRST):
            got = f"{values['format']}; a newer Windfirm may read it"
            raise CheckpointError(expected(str(path), f"the format {FORMAT}", got))
        first = values["format"] == FIRST
        blueprint = {"kept": values["kept"], "attributes": {}, "replaced": {}} if first else values["blueprint"]
        if not isinstance(values["arch"], str | None):
            raise TypeError("arch is not a name")
        if type(values["classes"]) not in (int, type(None)):
            raise TypeError("classes is not a whole number")
        return Manifest(values["arch"], values["classes"], Blueprint.from_json(blueprint), dict(values["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(expected(str(path), "a readable description of the network", repr(error))) from error


def check(path: Path, metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless ``tensors`` and a readable description are those that were written."""
    values = json.loads(metadata.get(KEY, "{}"))
    if values.get("format") != FORMAT:
        return  # such files state no digest
    stated = values.pop("digest", None)
    try:
        found = _digest(values, tensors)
    except ValueError:  # a number that JSON does not have, so that it was not written by us
        found = None
    if stated is None or stated != found:
        got = f"others, {found}: the file was damaged or changed"
        raise CheckpointError(expected(str(path), f"tensors and a description of digest {stated}", got))


def _digest(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the canonical JSON of ``values`` and over name, type, shape and bytes of the tensors, by name."""
    digest = hashlib.sha256(_canonical(values))
    for name, tensor in sorted(tensors.items()):
        digest.update(_canonical([name, str(tensor.dtype), list(tensor.shape)]))
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _canonical(values: object) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
