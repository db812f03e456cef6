"""What a network costs: multiply-adds per image, parameters, and the memory that they and the activations take."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from windfirm.errors import InputError, TraceError, expected, first_line
from windfirm.models.caches import dry_run
from windfirm.models.dataless import Dataless
from windfirm.models.inputs import Inputs, separated
from windfirm.models.meta import every_tensor, on_meta

aten: Any = torch.ops.aten


@dataclass(frozen=True)
class Cost:
    """``macs``: multiply-adds of one image's forward pass; ``params``: numbers in all parameters.

    ``param_bytes``: what the parameters take in memory and, but for a short header, in a file. ``peak_bytes``: the most
    that activations take at one time while one image passes.
    """

    macs: int
    params: int
    param_bytes: int
    peak_bytes: int


def cost(model: nn.Module, example: Inputs) -> Cost:
    """Count the multiply-adds of one image, the parameters of ``model`` and the memory it needs.

    ``example`` is a batch ``(b, c, h, w)``, or several inputs with a batch axis each; only the shapes and types of the
    first image matter. A copy of the network without weights runs once on the meta device in eval mode, and every
    convolution and matrix product that PyTorch really carries out is counted from the shapes it sees: a convolution as
    (output positions) × (output channels) × (input channels per group) × (kernel size), a product of (m, k) and (k, n)
    as m·k·n. So grouped, transposed and functional calls count, whatever module made them; attention's two products
    count too. Additions of a bias, normalisation, activations and pooling do not, as is the custom. The model itself is
    neither run nor changed.

    The peak is the largest sum, over the operations of that pass, of the memory of all activations that are alive
    right after one: image, arguments and results, each piece of memory once however many views there are of it, as
    Python holds them without gradients. Scratch space inside one operation, which depends on the machine, is not in it.

    Raises TraceError when the network cannot run on the meta device (its path depends on pixel values, or the example
    does not fit).
    """
    given = separated(example)
    tensors = tree_leaves(given)
    for tensor in tensors:
        if tensor.ndim == 0 or len(tensor) == 0:
            got = f"shape {tuple(tensor.shape)}"
            raise InputError(expected("cost", "an example batch with at least one image", got))
    args, named = tree_map(lambda tensor: torch.empty_like(tensor[:1], device="meta"), given)
    counter = FlopCounterMode(display=False, custom_mapping=UNCOUNTED)
    try:
        shell = on_meta(model).requires_grad_(False)  # or what counts would follow those that layers are given
        memory = _Memory((tensor for _, tensor in every_tensor(shell)), tree_leaves((args, named)))
        with dry_run(shell), torch.no_grad(), counter, memory:
            shell(*args, **named)
    except Exception as error:
        shapes = " and ".join(str((1, *tensor.shape[1:])) for tensor in tensors)
        wanted = f"a network that runs on a meta tensor of shape {shapes}"
        raise TraceError(expected("cost", wanted, first_line(error))) from error
    parameters = list(model.parameters())
    return Cost(
        counter.get_total_flops() // 2,
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        memory.peak,
    )


def multiply_adds(op: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
    """Those of one ATen operation, as cost counts them; shapes stand for tensors. 0 for one that multiplies nothing."""
    formula = FORMULAS.get(op._overloadpacket)
    return formula(*args, **kwargs, out_val=result) // 2 if formula else 0


def _linear(x: torch.Size, weight: torch.Size, *more: Any, out_val: Any = None, **options: Any) -> int:
    """Rows times a matrix, where they are not taken apart."""
    return 2 * math.prod(x) * weight[0]


def _vectors(a: torch.Size, *more: Any, out_val: Any = None, **options: Any) -> int:
    """A matrix or a vector times a vector."""
    return 2 * math.prod(a)


def _trilinear(*shapes: Any, out_val: Any = None, **options: Any) -> int:
    """Three tensors, each with axes of 1 put in where ``shapes[3:6]`` says, multiplied as they broadcast."""
    full: list[list[int]] = []
    for shape, axes in zip(shapes[:3], shapes[3:6], strict=True):
        sizes: list[int] = [*shape]
        for axis in axes:
            sizes.insert(axis, 1)
        full.append(sizes)
    broadcast: list[int] = [max(sizes) for sizes in zip(*full, strict=True)]
    return 2 * math.prod(broadcast)


def _added(added: torch.Size, a: torch.Size, b: torch.Size, *more: Any, out_val: Any = None, **options: Any) -> int:
    """A product that is added to something: of a matrix and a vector, or of batches of matrices, summed."""
    return 2 * math.prod(a) * (b[-1] if len(b) > 1 else 1)


#: Products that PyTorch's counter knows nothing of, as it wants them: two operations for each multiply-add.
UNCOUNTED = {
    aten.mv: _vectors,
    aten.dot: _vectors,
    aten.addmv: _added,
    aten.addbmm: _added,
    aten._trilinear: _trilinear,
    aten.linear: _linear,
}

#: Operation → what it takes, twice the multiply-adds.
FORMULAS: Mapping[Any, Any] = FlopCounterMode(display=False, custom_mapping=UNCOUNTED).flop_registry


class _Memory(Dataless):  # type: ignore[no-untyped-call]
    """Watches which pieces of memory are alive; ``peak`` is the most bytes there were."""

    def __init__(self, weights: Iterable[Tensor], images: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = {tensor.untyped_storage()._cdata for tensor in weights}
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0
        self._see(images)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self._see(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def _see(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self.weights:
                reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self.alive[storage._cdata] = reference, storage.nbytes()
        # A weak reference keeps the address of what is gone from being given to something new.
        gone = [key for key, (reference, _) in self.alive.items() if reference.expired()]  # type: ignore[no-untyped-call]
        for key in gone:
            del self.alive[key]
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
