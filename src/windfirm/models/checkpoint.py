"""A network in one file: its tensors, and in plain words what they belong to. Never pickle.

The file is safetensors. Tensors carry their state-dict names, those that a state dict leaves out (persistent=False,
plain attributes) their names and ``:beside``; one metadata entry, ``windfirm``, holds JSON:

    {"format": "windfirm-2", "arch": "resnet56" or null, "classes": 10 or null, "blueprint": {...}, "notes": {...},
     "digest": SHA-256 over all of this and the tensors}

``blueprint`` turns a fresh network from the same factory into the pruned one. Loading runs no code from the file:
``arch`` is only looked up, among the built-in names and those of timm and torchvision. A file of which any byte was
changed gives an error or the same network, never another one. Files of the format ``windfirm-1`` (kept indices in place
of a blueprint, no digest) and any other safetensors state dict can be loaded as well.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import CheckpointError, CutError, InputError, expected, first_line
from windfirm.files import atomic
from windfirm.models import manifest as description
from windfirm.models.blueprint import Blueprint, apply, blueprint_of
from windfirm.models.copies import to_train
from windfirm.models.device import default_modes
from windfirm.models.factory import NAMES, NETWORK, UNNAMED, from_spec, is_name, named
from windfirm.models.manifest import Manifest
from windfirm.models.meta import beside, named_tensors, require_data, require_network
from windfirm.models.mode import minds, switched
from windfirm.models.registry import ARCHITECTURES
from windfirm.own import maker

#: How the name of a tensor ends that state dicts leave out, see beside. It is in the file all the same, as a factory
#: may make it at random; those of the networks inside are alike each time, and are not.
BESIDE = ":beside"

#: The share of a filter's largest weight by which float16 may move any of its weights (its own step is half of this).
HALF_ERROR = 2.0**-10


def save(
    model: nn.Module,
    path: Path | str,
    *,
    blueprint: Blueprint | None = None,
    arch: str | None = None,
    classes: int | None = None,
    notes: Mapping[str, object] | None = None,
    half: bool = False,
) -> None:
    """Write ``model`` to ``path``, whole or not at all.

    ``blueprint`` is what a fresh network needs to fit these tensors; by default what the model itself remembers of its
    cuts. ``arch`` names a built-in network, ``timm/NAME`` or ``torchvision/NAME``, and ``classes`` the number of its
    logits where that is not the usual one, so that the file loads without a factory. ``notes`` is any JSON object.
    ``half`` stores the weights of convolutions, linear layers and embeddings as float16, about half the size; vectors
    (biases, statistics) and weights that float16 cannot hold (too large, too small, too far apart) stay as they are.

    Raises InputError for what is no network, an unknown ``arch``, ``classes`` that are no whole number, notes that JSON
    cannot hold, a state that is no tensor (of a get_extra_state) or one that no file holds (sparse, complex128, without
    data), or a place that cannot be written, and CheckpointError for NaN tensors. Tensors that a ``train`` of the
    network's own makes others in training than in eval mode are stored as in training, from a copy: CutError where
    there can be none.
    """
    require_network(model)
    path = Path(path)
    if arch is not None and not is_name(arch):
        raise InputError(expected(str(path), f"{NAMES}, or no arch", repr(arch)))
    if classes is not None and type(classes) is not int:
        raise InputError(expected(str(path), "a whole number of classes, or none", repr(classes)))
    if blueprint is None:
        blueprint = blueprint_of(model)
    model = to_train(model)  # as load fills it
    state = held(str(path), model)
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}
    refuse_nan(path, tensors)
    if half:
        weights = {parameter.data_ptr() for parameter in model.parameters()}  # a hook may have given them other names
        matrices = [name for name, value in state.items() if value.ndim >= 2 and value.data_ptr() in weights]
        tensors |= {name: _halved(tensors[name]) for name in matrices}
    for name, tensor in beside(model):
        if arch not in ARCHITECTURES and unheld(tensor) is None and not _has_nan(tensor):
            tensors[name + BESIDE] = tensor.detach().to("cpu", copy=True).contiguous()
    try:
        metadata = description.write(Manifest(arch, classes, blueprint, dict(notes or {})), tensors)
    except (TypeError, ValueError) as error:
        raise InputError(expected(str(path), "notes that JSON can hold", error)) from error
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, metadata))


def held(where: str, model: nn.Module) -> dict[str, Tensor]:
    """The state of ``model``. Raises InputError that begins with ``where`` unless a file holds all of it."""
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(expected(where, f"tensors alone, also as {name}", type(value).__name__))
        if (got := unheld(value)) is not None:
            raise InputError(f"{where}: {expected(name, 'a dense tensor of a type that safetensors holds', got)}")
    return state


@default_modes()
def load(
    path: Path | str,
    factory: Callable[[], nn.Module] | str | None = None,
    *,
    arch: str | None = None,
    classes: int | None = None,
) -> nn.Module:
    """Read a network, in eval mode, on the CPU, with the types that the factory gives its tensors (float32 as a rule).

    The fresh network comes from ``factory`` (a function, or a name as on the command line: built-in, ``timm/NAME``,
    ``torchvision/NAME``, ``package.module:function``), else from the name ``arch``, else from the name in the file,
    which is only looked up. It is cut down by the file's blueprint, and then every tensor of its state dict must be in
    the file, and no other; tensors beside them are put back where they fit. ``classes`` is the number of logits of a
    name, by default what the file says. It is the network alone: windfirm.models.source.open_model puts the
    normalisation before it that a file tells of.

    Raises CheckpointError for a file that is missing, damaged, of a newer format, without a known network, or with
    tensors that do not fit or hold NaN, and for a factory that works on the meta device or makes what has no eval mode,
    as torch.export does; InputError for a ``factory`` or ``arch`` that leads to no network.
    """
    path = Path(path)
    manifest, tensors = read_file(path)
    with seeds.default_stream(0, "init"):  # its weights are those of the file, and the caller's draws stay as they were
        model = _fresh(path, manifest, factory, arch, classes)
    try:
        require_data(model)  # of which not all is in the file
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error
    own = minds(model)
    if own:
        switched(model, training=False)  # in which it was cut
    if known := blueprint_of(model):
        if known != manifest.blueprint:
            raise CheckpointError(expected(str(path), "a factory of networks before their first cut", "a cut one"))
    else:
        try:
            apply(model, manifest.blueprint)
        except CutError as error:
            raise CheckpointError(f"{path}: {error}") from error
    if own:
        switched(model, training=True)  # in which it was saved
    refuse_misfit(path, model.state_dict(), tensors)
    fill(path, model, tensors)
    try:
        return switched(model, training=False)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_manifest(path: Path | str) -> Manifest:
    """What the file says about its tensors, without reading them, hence without checking the digest.

    Raises CheckpointError as ``load`` does.
    """
    return _opened(Path(path), with_tensors=False)[0]


def read_notes(path: Path | str) -> dict[str, object]:
    """The notes that ``save`` was given; empty for files written elsewhere. Raises CheckpointError as ``load`` does."""
    return read_manifest(path).notes


def read_file(path: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """Manifest and tensors of a safetensors file, whose digest is right if it states one and which holds no NaN."""
    manifest, tensors = _opened(path, with_tensors=True)
    refuse_nan(path, tensors)
    return manifest, tensors


def refuse_misfit(path: Path, wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for the first of ``wanted`` that is missing or of another shape or kind, or a surplus."""
    for name, tensor in wanted.items():
        found = f"shape {tuple(tensors[name].shape)}" if name in tensors else "no such tensor"
        shape = f"shape {tuple(tensor.shape)}"
        if found != shape:
            raise CheckpointError(f"{path}: {expected(name, shape, found)}")
        whole = tensor.is_floating_point() and not tensors[name].is_floating_point()  # quantised numbers, say
        if whole or not torch.can_cast(tensors[name].dtype, tensor.dtype):
            raise CheckpointError(f"{path}: {expected(name, f'numbers like {tensor.dtype}', tensors[name].dtype)}")
    for name, tensor in tensors.items():
        if name not in wanted and not name.endswith(BESIDE):
            raise CheckpointError(f"{path}: {expected(name, 'no such tensor', f'shape {tuple(tensor.shape)}')}")


def refuse_nan(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for the first tensor that holds NaN."""
    for name, tensor in tensors.items():
        if _has_nan(tensor):
            raise CheckpointError(f"{path}: {expected(name, 'numbers', 'NaN')}")


def fill(path: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give every parameter and buffer its value by name; all of them have to be there, with their shapes.

    Some modules ask by which version of themselves the tensors were named: by this one. Raises CheckpointError where
    hooks of the network's own change the names that it writes, and not those that it reads. Tensors that state dicts
    leave out get those values that are there and fit; others a network makes when it first runs.
    """
    for _, tensor in (*named_tensors(model), *beside(model)):
        if tensor.layout is torch.strided and 0 in tensor.stride():  # expanded: its numbers are one in memory
            tensor.data = tensor.data.contiguous()
    state = OrderedDict((name, tensor) for name, tensor in tensors.items() if not name.endswith(BESIDE))
    state._metadata = getattr(model.state_dict(), "_metadata", None)  # type: ignore[attr-defined]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        got = " ".join(str(error).partition("\n")[2].split()) or first_line(error)
        raise CheckpointError(expected(str(path), "tensors that the network takes", got)) from error
    for name, tensor in beside(model):
        value = tensors.get(name + BESIDE)
        if value is not None and value.shape == tensor.shape:
            tensor.detach().copy_(value)


def _has_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.isnan().any())


def _opened(path: Path, with_tensors: bool) -> tuple[Manifest, dict[str, Tensor]]:
    if path.is_dir():
        raise CheckpointError(
            expected(str(path), f"a safetensors file, such as {path / 'model.safetensors'}", "a folder")
        )
    if not path.is_file():
        raise CheckpointError(expected(str(path), "a safetensors file", "no such file"))
    try:
        with path.open("rb"), safe_open(path, "pt") as file:  # which says of a file that it may not read: no such file
            metadata = file.metadata() or {}
            manifest = description.read(path, metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys() if with_tensors}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        got = getattr(error, "strerror", None) or error
        raise CheckpointError(expected(str(path), "a whole safetensors file", got)) from error
    if with_tensors:
        description.check(path, metadata, tensors)
    return manifest, tensors


def _fresh(
    path: Path,
    manifest: Manifest,
    factory: Callable[[], nn.Module] | str | None,
    arch: str | None,
    classes: int | None,
) -> nn.Module:
    """A network as before its first cut. Only a name that the caller gave may lead to an import of the user's code."""
    classes = manifest.classes if classes is None else classes
    if factory is not None:
        make = from_spec(factory, classes) if isinstance(factory, str) else maker("factory", factory, *NETWORK)
        return make()
    if arch is not None:
        return named(arch, classes)()
    if manifest.arch is None:
        raise CheckpointError(expected(str(path), UNNAMED, "neither"))
    try:
        return named(manifest.arch, classes)()
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def unheld(tensor: Tensor) -> str | None:
    """What keeps a tensor out of a safetensors file, in words; None for one that it holds."""
    if tensor.is_meta or tensor.layout is not torch.strided:
        return "one on the meta device" if tensor.is_meta else str(tensor.layout)
    try:
        to_bytes({"": tensor.new_empty(0, device="cpu")})
    except Exception:  # which types there are, and what is said of others, differs from version to version
        return str(tensor.dtype)
    return None


def _halved(weight: Tensor) -> Tensor:
    """The weight as float16 if no filter (row) loses more than HALF_ERROR of its largest value, else as it was."""
    if weight.dtype not in (torch.float32, torch.float64) or weight.numel() == 0:
        return weight
    half = weight.to(torch.float16)
    error = (half.to(weight.dtype) - weight).abs().flatten(1).amax(1)
    return half if (error <= HALF_ERROR * weight.abs().flatten(1).amax(1)).all() else weight
