"""A network in one file: its tensors, and in plain words what they belong to. Never pickle.

The file is safetensors. Tensors carry their state-dict names; one metadata entry, ``windfirm``, holds JSON:

    {"format": "windfirm-1", "arch": "resnet56" or null, "classes": 10, "kept": {...}, "notes": {...}}

``kept`` turns a fresh network from the same factory into the pruned one (see shrink). Loading runs no code from the
file: ``arch`` is only looked up among the built-in names. Any other safetensors state dict can be loaded as well.
"""

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from windfirm.errors import CheckpointError, CutError, InputError, expected
from windfirm.files import atomic
from windfirm.models.registry import ARCHITECTURES, build
from windfirm.models.shrink import Kept, kept_of, shrink

FORMAT = "windfirm-1"

#: The share of a filter's largest weight by which float16 may move any of its weights (its own step is half of this).
HALF_ERROR = 2.0**-10


@dataclass(frozen=True)
class Manifest:
    """What a file says about its tensors; everything empty for a state dict that was written elsewhere."""

    arch: str | None = None
    classes: int | None = None
    kept: Kept = field(default_factory=dict)
    notes: dict[str, object] = field(default_factory=dict)


def save(
    model: nn.Module,
    path: Path | str,
    *,
    kept: Kept | None = None,
    arch: str | None = None,
    classes: int = 10,
    notes: Mapping[str, object] | None = None,
    half: bool = False,
) -> None:
    """Write ``model`` to ``path``, whole or not at all.

    ``kept`` is what shrink needs to fit a fresh network to these tensors; by default what the model itself remembers of
    its cuts. ``arch`` names a built-in network, so that the file loads without a factory. ``notes`` is any JSON object.
    ``half`` stores the weights of convolutions and linear layers as float16, about half the size; vectors (biases,
    statistics) and weights that float16 cannot hold (too large, too small, too far apart) stay as they are.

    Raises InputError for an unknown ``arch``, notes that JSON cannot hold, or a place that cannot be written, and
    CheckpointError for NaN tensors.
    """
    path = Path(path)
    if arch is not None and arch not in ARCHITECTURES:
        raise InputError(expected(str(path), f"one of {', '.join(ARCHITECTURES)}, or no arch", repr(arch)))
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()}
    _refuse_nan(path, tensors)
    if half:
        matrices = {name for name, parameter in model.named_parameters() if parameter.ndim >= 2}
        tensors |= {name: _halved(tensors[name]) for name in matrices}
    values = {
        "format": FORMAT,
        "arch": arch,
        "classes": classes,
        "kept": kept_of(model) if kept is None else kept,
        "notes": dict(notes or {}),
    }
    try:
        metadata = {"windfirm": json.dumps(values, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise InputError(expected(str(path), "notes that JSON can hold", error)) from error
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, metadata))


def load(
    path: Path | str,
    factory: Callable[[], nn.Module] | None = None,
    *,
    arch: str | None = None,
    classes: int | None = None,
) -> nn.Module:
    """Read a network, in eval mode, on the CPU, with the types that the factory gives its tensors (float32 as a rule).

    The fresh network comes from ``factory``, else from the built-in ``arch``, else from the name in the file. It is cut
    down to the indices that the file kept, and then every one of its tensors must be in the file, and no other.

    Raises CheckpointError for a file that is missing, damaged, of a newer format, without a known network, or with
    tensors that do not fit or hold NaN; InputError for an unknown ``arch``.
    """
    path = Path(path)
    manifest, tensors = _read(path)
    model = factory() if factory else _built_in(path, manifest, arch, classes)
    try:
        shrink(model, manifest.kept)
    except CutError as error:
        raise CheckpointError(f"{path}: {error}") from error
    _refuse_misfit(path, model.state_dict(), tensors)
    model.load_state_dict(tensors)
    return model.eval()


def read_manifest(path: Path | str) -> Manifest:
    """What the file says about its tensors, without reading them. Raises CheckpointError as ``load`` does."""
    return _read(Path(path), with_tensors=False)[0]


def read_notes(path: Path | str) -> dict[str, object]:
    """The notes that ``save`` was given; empty for files written elsewhere. Raises CheckpointError as ``load`` does."""
    return read_manifest(path).notes


def _read(path: Path, with_tensors: bool = True) -> tuple[Manifest, dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(expected(str(path), "a safetensors file", "no such file"))
    try:
        with safe_open(path, "pt") as file:
            manifest = _manifest(path, file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys() if with_tensors}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(expected(str(path), "a whole safetensors file", error)) from error
    _refuse_nan(path, tensors)
    return manifest, tensors


def _manifest(path: Path, metadata: Mapping[str, str]) -> Manifest:
    if "windfirm" not in metadata:
        return Manifest()
    try:
        values = json.loads(metadata["windfirm"])
        if values["format"] != FORMAT:
            got = f"{values['format']}; a newer Windfirm may read it"
            raise CheckpointError(expected(str(path), f"the format {FORMAT}", got))
        kept = {
            name: {int(axis): [operator.index(i) for i in indices] for axis, indices in axes.items()}
            for name, axes in values["kept"].items()
        }
        if not isinstance(values["arch"], str | None):
            raise TypeError("arch is not a name")
        return Manifest(values["arch"], operator.index(values["classes"]), kept, dict(values["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(expected(str(path), "a readable description of the network", repr(error))) from error


def _built_in(path: Path, manifest: Manifest, arch: str | None, classes: int | None) -> nn.Module:
    if classes is None:
        classes = 10 if manifest.classes is None else manifest.classes
    if arch is not None:
        return build(arch, classes)
    if manifest.arch is None:
        raise CheckpointError(expected(str(path), "the name of an architecture or a factory", "neither"))
    try:
        return build(manifest.arch, classes)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _refuse_misfit(path: Path, wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        found = f"shape {tuple(tensors[name].shape)}" if name in tensors else "no such tensor"
        shape = f"shape {tuple(tensor.shape)}"
        if found != shape:
            raise CheckpointError(f"{path}: {expected(name, shape, found)}")
    for name, tensor in tensors.items():
        if name not in wanted:
            raise CheckpointError(f"{path}: {expected(name, 'no such tensor', f'shape {tuple(tensor.shape)}')}")


def _refuse_nan(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.isnan().any():
            raise CheckpointError(f"{path}: {expected(name, 'numbers', 'NaN')}")


def _halved(weight: Tensor) -> Tensor:
    """The weight as float16 if no filter (row) loses more than HALF_ERROR of its largest value, else as it was."""
    if weight.dtype not in (torch.float32, torch.float64) or weight.numel() == 0:
        return weight
    half = weight.to(torch.float16)
    error = (half.to(weight.dtype) - weight).abs().flatten(1).amax(1)
    return half if (error <= HALF_ERROR * weight.abs().flatten(1).amax(1)).all() else weight
