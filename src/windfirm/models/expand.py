"""A pruned network in its original shape again, for tools and weights that expect that shape."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from windfirm.errors import CutError, expected, first_line
from windfirm.models.agree import disagreement
from windfirm.models.blueprint import blueprint_of, origin_of
from windfirm.models.copies import copied, to_train
from windfirm.models.device import default_modes
from windfirm.models.inputs import Inputs
from windfirm.models.meta import every_tensor, named_tensors, require_network, with_tensors
from windfirm.models.mode import bring
from windfirm.models.shrink import put_back

TOLERANCE = 1e-9


@default_modes()
def expand(model: nn.Module, example_inputs: Inputs | None = None) -> nn.Module:
    """A new network of the shape that ``model`` had before its first cut, with zeros where structures left.

    Its outputs equal the smaller one's: the filters that left make zeros, which nothing reads, and the branches that
    left add zeros. That cannot be where a layer looks at all channels at once (layer or group normalisation), or where
    zero parameters do not make a branch silent; so give ``example_inputs``, and the equality is proved in float64 on
    random inputs like them. A network that was never cut is copied. The model itself stays as it is.

    What pruning did not touch, also buffers and tensors that are plain attributes, comes from ``model``. Raises
    InputError for what is no network, CutError when the outputs differ, or when tensors came or changed their shape by
    other means than a cut.
    """
    require_network(model)
    origin = origin_of(model)
    if origin is None:
        return copied(model)
    _refuse_strangers(model, origin)
    whole = _filled(to_train(model), to_train(origin), blueprint_of(model).kept)
    modules = dict(whole.named_modules())
    whole.train(model.training)
    bring([(modules[path], module.training) for path, module in model.named_modules() if path in modules])
    if example_inputs is not None:
        _prove(model, whole, example_inputs)
    return whole


def _filled(model: nn.Module, origin: nn.Module, kept: Mapping[str, Mapping[int, Sequence[int]]]) -> nn.Module:
    """A copy of ``origin`` with data: that of ``model`` at the indices it kept, zeros elsewhere."""
    small = dict(every_tensor(model))
    names: dict[int, list[str]] = defaultdict(list)
    for name, tensor in every_tensor(origin):
        names[id(tensor)].append(name)
    # Where nothing is left to copy from: on the model's device, and of the type that its other tensors have by now.
    types = {old.dtype: small[name].dtype for name, old in named_tensors(origin) if name in small}
    device = next((tensor.device for tensor in small.values()), torch.device("cpu"))

    def value(name: str, old: Tensor) -> Tensor:
        same = names[id(old)]
        left = next((alias for alias in same if alias in small), None)
        if left is None:
            return torch.zeros(old.shape, dtype=types.get(old.dtype, old.dtype), device=device)
        axes = next((kept[alias] for alias in same if alias in kept), {})
        new = small[left].detach().clone()
        for axis, indices in axes.items():
            new = _grown(name, new, axis, indices, old.shape[axis])
        if isinstance(old, nn.Parameter) and new.shape != old.shape:
            raise CutError(expected(name, f"shape {tuple(old.shape)} once it is filled up", tuple(new.shape)))
        return new

    whole = with_tensors(origin, value)
    for name, parameter in whole.named_parameters():
        if name in small:
            parameter.requires_grad_(small[name].requires_grad)
    return whole


def _grown(name: str, tensor: Tensor, axis: int, indices: Sequence[int], size: int) -> Tensor:
    """As put_back does. Raises CutError, saying ``name``, for a tensor of another size."""
    if axis >= tensor.ndim or tensor.shape[axis] != len(indices):
        raise CutError(expected(name, f"{len(indices)} entries along axis {axis}", f"shape {tuple(tensor.shape)}"))
    return put_back(tensor, axis, torch.tensor(indices, dtype=torch.long, device=tensor.device), size)


def _refuse_strangers(model: nn.Module, origin: nn.Module) -> None:
    known = {name for name, _ in named_tensors(origin)}
    for name, _ in named_tensors(model):
        if name not in known:
            raise CutError(expected(name, "no parameter or buffer that the uncut network did not have", "one"))


def _prove(model: nn.Module, whole: nn.Module, example_inputs: Inputs) -> None:
    try:
        worst = disagreement(model, whole, example_inputs)
    except CutError:
        raise
    except Exception as error:  # whatever a stranger's forward pass may raise
        wanted = "networks that run in float64 on the example inputs"
        raise CutError(expected("expand", wanted, f"an error in a forward pass: {first_line(error)}")) from error
    if worst >= TOLERANCE:
        got = f"a relative difference of {worst:.2g}"
        if over := _normalises_over_channels(whole, blueprint_of(model).kept):
            got += f"; {over} takes its statistics over channels that left, which zeros change"
        raise CutError(expected("expand", f"the outputs of the smaller network within {TOLERANCE:g}", got))


def _normalises_over_channels(whole: nn.Module, kept: Mapping[str, object]) -> str:
    """The path of the first layer or group normalisation that lost channels, or nothing."""
    return next(
        (
            path
            for path, module in whole.named_modules()
            if f"{path}.weight" in kept and (hasattr(module, "normalized_shape") or hasattr(module, "num_groups"))
        ),
        "",
    )
