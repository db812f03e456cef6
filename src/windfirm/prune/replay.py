"""The calls of a forward pass as a program that can be run again, from the middle, on as many images as one likes.

Two traces, of two and of three images, tell which sizes in the code count images. Calls that see parameters alone are
made once, batch normalisation is folded into the convolution before it, and what nobody reads again is overwritten.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from windfirm.errors import TraceError, expected, first_line
from windfirm.prune.trace import Call, Inputs, Place, Ref, Trace, arguments, trace

aten = torch.ops.aten

#: The value of every tensor that is still needed, by the key of its Ref.
Values = dict[int, Tensor]

#: Operations whose result may be written over an operand, and what does so.
IN_PLACE = {aten.relu.default: aten.relu_.default, aten.add.Tensor: aten.add_.Tensor}


#: Views, and what makes a copy instead where a view is not possible.
VIEWS = {aten.view.default: aten.reshape.default}


@dataclass(frozen=True)
class Times:
    """A size: this many for every image."""

    each: int


@dataclass(frozen=True)
class Step:
    """One call, or two in one: Refs stand for tensors, Times for sizes; nobody needs ``drops`` afterwards."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Ref, ...]
    places: tuple[Place, ...]
    drops: tuple[int, ...] = ()


class Program:
    """The forward pass of ``model`` as steps.

    ``fixed`` holds the values of parameters and of what is computed from them alone. ``rows`` tells for every other
    tensor how many rows along its first axis an image has, 0 where it does not depend on the number of images, and -1
    where images lie along another axis. ``index`` numbers the steps by place, ``calls`` are those of ``trace``.
    Raises TraceError where the calls alone do not say what the network computes.
    """

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        two, three = (trace(model, _images(inputs, count)) for count in (2, 3))
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.where = type(model).__name__
        self.inputs, self.outputs = two.inputs, two.outputs
        if [call.op for call in two.calls] != [call.op for call in three.calls] or two.opaque:
            raise TraceError(expected(self.where, "a forward pass that can be replayed", "one that is never the same"))
        self.rows = self._count(two, three)
        tensors = dict((*model.named_parameters(), *model.named_buffers()))
        self.fixed: Values = {ref.key: tensors[name].detach() for name, ref in two.parameters.items()}
        steps = []
        for call, other in zip(two.calls, three.calls, strict=True):
            args, kwargs = self._sized((call.args, dict(call.kwargs)), (other.args, dict(other.kwargs)), call)
            step = Step(call.op, tuple(args), kwargs, call.outputs, (call.place,))
            alone = all(ref.key in self.fixed for ref in call.inputs) and not any(
                self.rows[r.key] for r in call.outputs
            )
            if call.op._schema.is_mutable and any(ref.key in self.fixed for ref in call.inputs[:1]):
                raise TraceError(expected(call.where, "parameters that a forward pass leaves alone", str(call.op)))
            if alone and call.inputs:
                self.fixed.update(self.made(step, self.fixed, 0))
            else:
                steps.append(step)
        # Convolutions are faster on channels that lie together. A view of such a tensor may be a copy, so that what is
        # written into the one would be missing in the other: networks that do so run as they are.
        self._together = not _written_through_views(two)
        if self._together:
            steps = [replace(step, op=VIEWS.get(step.op, step.op)) for step in steps]
        for step in steps:
            weight = step.args[1].key if step.op is aten.convolution.default else None
            if weight in self.fixed and self._together and self.fixed[weight].ndim == 4:
                self.fixed[weight] = self.fixed[weight].contiguous(memory_format=torch.channels_last)
        self.steps = tuple(_dropping(_folded(steps, self), self.outputs))
        self.index = {place: i for i, step in enumerate(self.steps) for place in step.places}
        self.trace = two
        self.calls = {call.place: call for call in two.calls}

    def begin(self, inputs: Inputs) -> Values:
        """The values before the first step."""
        args, kwargs = arguments(self.where, inputs)
        form = torch.channels_last if self._together else torch.contiguous_format
        tensors = [t.contiguous(memory_format=form) if t.ndim == 4 else t for t in args]
        return dict(zip((ref.key for ref in self.inputs), (*tensors, *kwargs.values()), strict=True))

    def value(self, values: Values, ref: Ref) -> Tensor:
        """A tensor, fixed or not."""
        return self.fixed[ref.key] if ref.key in self.fixed else values[ref.key]

    def run(self, values: Values, start: int, stop: int, images: int) -> None:
        """Make the steps from ``start`` up to ``stop``, for that many images; changes ``values``."""
        for step in self.steps[start:stop]:
            self.make(step, values, images)

    def make(self, step: Step, values: Values, images: int, args: Sequence[Any] | None = None) -> None:
        """Make one step, with other arguments than its own if ``args`` are given."""
        values.update(self.made(step, values, images, args))
        for key in step.drops:
            values.pop(key, None)

    def args(self, step: Step, values: Values, images: int) -> list[Any]:
        """The arguments of a step, tensors and sizes filled in."""
        return [self._filled(arg, values, images) for arg in step.args]

    def live(self, start: int) -> list[int]:
        """The keys that the steps from ``start`` on and the outputs need of what was made before."""
        made = {ref.key for step in self.steps[start:] for ref in step.outputs}
        used = {ref.key for step in self.steps[start:] for ref in _refs((step.args, dict(step.kwargs)))}
        used.update(ref.key for ref in self.outputs)
        return sorted(used - made - self.fixed.keys())

    def made(self, step: Step, values: Values, images: int, args: Sequence[Any] | None = None) -> Values:
        """What a step makes, by key."""
        filled = self.args(step, values, images) if args is None else args
        kwargs = {name: self._filled(value, values, images) for name, value in step.kwargs.items()}
        result = step.op(*filled, **kwargs)
        if isinstance(result, Tensor):
            return {step.outputs[0].key: result}
        flat = [leaf for leaf in result if isinstance(leaf, Tensor)] if result is not None else []
        return {ref.key: tensor for ref, tensor in zip(step.outputs, flat, strict=True)}

    def _filled(self, arg: Any, values: Values, images: int) -> Any:
        if isinstance(arg, Ref):
            return self.value(values, arg)
        if isinstance(arg, Times):
            return arg.each * images
        if isinstance(arg, list | tuple):
            return [self._filled(entry, values, images) for entry in arg]
        return arg

    def _count(self, two: Trace, three: Trace) -> dict[int, int]:
        rows = {}
        made = [(ref, other) for pair in zip(two.calls, three.calls, strict=True)
                for ref, other in zip(pair[0].outputs, pair[1].outputs, strict=True)]  # fmt: skip
        for ref, other in (*zip(two.inputs, three.inputs, strict=True), *made):
            same = ref.shape == other.shape
            if not same and (ref.shape[1:] != other.shape[1:] or 3 * ref.shape[0] != 2 * other.shape[0]):
                rows[ref.key] = -1  # images lie along another axis
            else:
                rows[ref.key] = 0 if same else ref.shape[0] // 2
        return rows

    def _sized(self, arg: Any, other: Any, call: Call) -> Any:
        """An argument with Times for what counts images, and the network's device for the one without data."""
        if isinstance(arg, list | tuple):
            return type(arg)(self._sized(a, b, call) for a, b in zip(arg, other, strict=True))
        if isinstance(arg, dict):
            return {name: self._sized(value, other[name], call) for name, value in arg.items()}
        if isinstance(arg, torch.device):
            return self._device
        if isinstance(arg, Ref) and arg.key not in self.rows and arg.key not in self.fixed:
            raise TraceError(expected(call.where, "a forward pass that can be replayed", "a tensor made on the way"))
        if isinstance(arg, Ref) or type(arg) is not int or arg == other:
            return arg
        if arg % 2 or 3 * arg != 2 * other:
            raise TraceError(expected(call.where, "sizes that grow with the number of images", f"{arg} and {other}"))
        return Times(arg // 2)


def _written_through_views(traced: Trace) -> bool:
    """Whether the forward pass writes into memory that it looks at as a tensor and as a view of it."""
    written = {ref.storage for call in traced.calls if call.op._schema.is_mutable for ref in call.inputs[:1]}
    looked = [ref.storage for call in traced.calls if not call.op._schema.is_mutable for ref in call.outputs]
    return any(looked.count(storage) > 1 for storage in written)


def rows_of(tensor: Tensor, images: Tensor, each: int) -> Tensor:
    """A copy of the rows of those images, ``each`` of them an image; in the same memory format."""
    if each != 1:
        return tensor.view(-1, each, *tensor.shape[1:]).index_select(0, images).flatten(0, 1)
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).index_select(0, images).permute(0, 3, 1, 2)
    return tensor.index_select(0, images)


def _images(inputs: Inputs, count: int) -> Inputs:
    """Inputs without data, of so many images."""

    def like(tensor: Tensor) -> Tensor:
        return torch.empty(count, *tensor.shape[1:], dtype=tensor.dtype, device="meta")

    return tree_map_only(Tensor, like, inputs)  # type: ignore[no-any-return]


def _refs(arg: Any) -> list[Ref]:
    if isinstance(arg, Ref):
        return [arg]
    if isinstance(arg, dict):
        arg = list(arg.values())
    return [ref for entry in arg for ref in _refs(entry)] if isinstance(arg, list | tuple) else []


def _folded(steps: Sequence[Step], program: Program) -> list[Step]:
    """Each convolution that a batch normalisation alone reads, with it: y · γ/σ + (β − μ γ/σ) for its output y."""
    readers: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        for ref in _refs((step.args, dict(step.kwargs))):
            readers.setdefault(ref.key, []).append(i)
    ends = {ref.key for ref in program.outputs}
    result, gone = list(steps), set()
    for i, step in enumerate(steps):
        if step.op is not aten.convolution.default or step.args[6]:
            continue
        out, weight = step.outputs[0], step.args[1]
        after = readers.get(out.key, [])
        norm = steps[after[0]] if len(after) == 1 and out.key not in ends else None
        fixed = [ref.key in program.fixed for ref in _refs(step.args[1:3])]
        if norm is None or norm.op is not aten.native_batch_norm.default or norm.args[5] or not all(fixed):
            continue
        _, gamma, beta, mean, variance, _, _, eps = norm.args
        if not all(ref is None or ref.key in program.fixed for ref in (gamma, beta, mean, variance)):
            continue
        tensor = program.fixed[weight.key]
        zero = tensor.new_zeros(1)
        bias, beta = (zero if ref is None else program.fixed[ref.key] for ref in (step.args[2], beta))
        scale = (program.fixed[variance.key] + eps).rsqrt() * (zero + 1 if gamma is None else program.fixed[gamma.key])
        shift = (bias - program.fixed[mean.key]) * scale + beta
        new = Ref(-2 * i - 2, weight.shape, weight.dtype), Ref(-2 * i - 3, tuple(shift.shape), weight.dtype)
        program.fixed[new[0].key] = tensor * scale.view(-1, *[1] * (tensor.ndim - 1))
        program.fixed[new[1].key] = shift
        result[i] = Step(
            step.op, (step.args[0], *new, *step.args[3:]), step.kwargs, norm.outputs[:1], (*step.places, *norm.places)
        )
        gone.add(after[0])
    return [step for i, step in enumerate(result) if i not in gone]


def _dropping(steps: Sequence[Step], outputs: Sequence[Ref]) -> list[Step]:
    """The steps with what nobody needs after each, and written over an operand that was new and is needed no more."""
    needed = {ref.key for ref in outputs}
    shared = Counter(ref.storage for step in steps for ref in step.outputs)
    made = [step.outputs[0] for step in steps if step.op is aten.convolution.default or step.op in IN_PLACE]
    fresh = {ref.key for ref in made if shared[ref.storage] == 1}
    done: list[Step] = []
    for step in reversed(steps):
        if not step.op._schema.is_mutable and needed.isdisjoint(ref.key for ref in step.outputs):
            continue
        used = _refs((step.args, dict(step.kwargs)))
        last = {ref.key for ref in (*used, *step.outputs)} - needed
        needed |= {ref.key for ref in used}
        op, args = step.op, step.args
        spare = [ref for ref in used if ref.key in last & fresh and ref.shape == step.outputs[0].shape]
        if op in IN_PLACE and spare and not step.kwargs and len(args) == len(used) == len({ref.key for ref in used}):
            op, args = IN_PLACE[op], (spare[0], *(ref for ref in used if ref is not spare[0]))
        done.append(Step(op, args, step.kwargs, step.outputs, step.places, tuple(last)))
    return done[::-1]


def replayed(model: nn.Module, inputs: Inputs, logits: Tensor) -> Program:
    """The program of ``model``, tried on ``inputs``: its first output must be ``logits``. Raises TraceError if not."""
    where = type(model).__name__
    program = Program(model, inputs)
    values = program.begin(inputs)
    try:
        program.run(values, 0, len(program.steps), len(logits))
    except Exception as error:
        raise TraceError(expected(where, "a forward pass that can be replayed", first_line(error))) from error
    off = float((program.value(values, program.outputs[0]) - logits).abs().max())
    if not off <= 1e-3 * max(1.0, float(logits.abs().max())):
        raise TraceError(expected(where, "a forward pass that can be replayed", f"outputs {off:.2g} off"))
    return program
