"""The calls of a forward pass as a program that can be run again, from the middle, on as many images as one likes.

Two traces, of two and of three images, tell which sizes in the code count images. Calls that see parameters alone are
made once, the others are made cheaper (see prune.steps). Nothing is believed that was not tried on real images.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from windfirm.errors import CutError, InputError, TraceError, expected, first_line
from windfirm.models.copies import copied
from windfirm.models.inputs import Inputs
from windfirm.prune.constants import LIFT, constants
from windfirm.prune.steps import Step, Times, Values, dropping, folded
from windfirm.prune.trace import Call, Ref, Trace, trace
from windfirm.prune.watch import Place, arguments

aten = torch.ops.aten

#: Views, and what makes a copy instead where a view is not possible.
VIEWS = {aten.view.default: aten.reshape.default}

#: Half precision has too few digits for differences between variants: such a network runs in single precision.
HALF = (torch.float16, torch.bfloat16)

#: How many images a program is tried on, and how far off it may be, relative to the largest value.
FEW, CLOSE = 3, 1e-3

REPLAYED = "a forward pass that can be replayed"


class Program:
    """The forward pass of ``model`` as steps, as it takes a few images, ``inputs``.

    ``fixed`` holds the values of parameters, of constants (see prune.constants) and of what is computed from them
    alone. ``rows`` tells for every other tensor how many rows along its first axis an image has, 0 where it does not
    depend on the number of images, and -1 where rows are not those of one image after the other. ``index`` numbers the
    steps by place, ``storage`` tells which memory a tensor lies in. Raises TraceError where the calls alone do not say
    what the network computes.
    """

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        model = _in_single(model)
        two, three = (trace(model, _images(inputs, count)) for count in (2, 3))
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.where = type(model).__name__
        self.inputs, self.outputs = two.inputs, two.outputs
        if two.opaque:
            raise TraceError(expected(self.where, REPLAYED, f"recurrent layers in {min(two.opaque)}"))
        if list(map(_form, two.calls)) != list(map(_form, three.calls)):
            raise TraceError(expected(self.where, REPLAYED, "one that is another for 2 images than for 3"))
        self.rows = self._count(two, three)
        tensors = dict((*model.named_parameters(), *model.named_buffers()))
        self.fixed: Values = {ref.key: tensors[name].detach() for name, ref in two.parameters.items()}
        self.fixed.update(constants(model, tree_map_only(Tensor, _single, inputs), two, three))
        steps = []
        for call, other in zip(two.calls, three.calls, strict=True):
            if call.op is LIFT:
                continue  # what it makes is known where it is read
            args, kwargs = self._sized((call.args, dict(call.kwargs)), (other.args, dict(other.kwargs)), call)
            step = Step(call.op, tuple(args), kwargs, call.outputs, (call.place,))
            alone = all(ref.key in self.fixed for ref in call.inputs) and not any(
                self.rows[r.key] for r in call.outputs
            )
            if call.op._schema.is_mutable and any(ref.key in self.fixed for ref in call.inputs[:1]):
                raise TraceError(expected(call.where, "constants that a forward pass leaves alone", str(call.op)))
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
        self.steps = tuple(dropping(folded(steps, self.fixed, self.outputs), self.outputs))
        self.index = {place: i for i, step in enumerate(self.steps) for place in step.places}
        self.trace = two
        made = [ref for call in two.calls for ref in call.outputs]
        self.storage = {ref.key: ref.storage for ref in (*two.inputs, *made)}

    def begin(self, inputs: Inputs) -> Values:
        """The values before the first step, copies. Raises InputError unless images are as large as those traced."""
        args, kwargs = arguments(self.where, inputs)
        form = torch.channels_last if self._together else torch.contiguous_format
        values: Values = {}
        for ref, tensor in zip(self.inputs, (*args, *kwargs.values()), strict=True):
            if tensor.shape[1:] != ref.shape[1:]:
                wanted = f"images of one shape, as the first {tuple(ref.shape[1:])}"
                raise InputError(expected("batches", wanted, tuple(tensor.shape[1:])))
            # The forward pass may write over its input.
            values[ref.key] = tensor.to(ref.dtype).clone(memory_format=form if tensor.ndim == 4 else None)
        return values

    def try_out(self, inputs: Inputs, images: int) -> Tensor:
        """Run it forwards, and again with images in reverse: where rows are not theirs, ``rows`` is -1 from then on.

        Gives the first output.
        """
        back = torch.arange(images - 1, -1, -1, device=self._device)
        values, reverse = self.begin(inputs), self.begin(tree_map_only(Tensor, lambda tensor: tensor.flip(0), inputs))
        for step in self.steps:
            self.make(step, values, images)
            self.make(step, reverse, images)
            for key in {ref.key for ref in step.outputs} & values.keys():
                each, tensor = self.rows[key], values[key]
                if each >= 0 and not _alike(rows_of(tensor, back, each) if each else tensor, reverse[key]):
                    self.rows[key] = -1
        return self.value(values, self.outputs[0])

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
        used = {ref.key for step in self.steps[start:] for ref in step.reads}
        used.update(ref.key for ref in self.outputs)
        return sorted(used - made - self.fixed.keys())

    def idle(self, place: Place) -> bool:
        """Whether the call there is left out because nobody needs what it makes of the images."""
        call = self.trace.at.get(place)
        return (
            call is not None and place not in self.index and self.fixed.keys().isdisjoint(r.key for r in call.outputs)
        )

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
        if isinstance(arg, Ref) or arg == other:
            return arg
        if type(arg) is not int or arg % 2 or 3 * arg != 2 * other:
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
        return torch.empty(count, *tensor.shape[1:], dtype=_single(tensor).dtype, device="meta")

    return tree_map_only(Tensor, like, inputs)  # type: ignore[no-any-return]


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in HALF else tensor


def _in_single(model: nn.Module) -> nn.Module:
    half = any(tensor.dtype in HALF for tensor in (*model.parameters(), *model.buffers()))
    return copied(model).float() if half else model


def _form(call: Call) -> tuple[Any, int, int]:
    return call.op, len(call.inputs), len(call.outputs)


def _alike(one: Tensor, other: Tensor) -> bool:
    one, other = (tensor.abs() if tensor.is_complex() else tensor for tensor in (one, other))
    one, other = one.double(), other.double()
    size = float(one.nan_to_num(posinf=0, neginf=0).abs().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=CLOSE * size, equal_nan=True)


def replayed(model: nn.Module, inputs: Inputs, logits: Tensor) -> Program:
    """The program of ``model``, tried on a few of ``inputs``: its first output must be what ``logits`` has of them.

    It is tried beside an image of zeros: in a network that sees other images of the batch as well, the output changes.
    Raises TraceError if so, CutError for ``logits`` that are not finite.
    """
    where, few = type(model).__name__, min(len(logits), FEW)
    if not bool(logits.isfinite().all()):
        raise CutError(expected(where, "finite outputs", "infinite or undefined ones"))
    tried = tree_map_only(Tensor, lambda tensor: torch.cat([tensor[:few], torch.zeros_like(tensor[:1])]), inputs)
    program = Program(model, tried)
    try:
        found = program.try_out(tried, few + 1)
    except Exception as error:
        raise TraceError(expected(where, REPLAYED, first_line(error))) from error
    if program.rows.get(program.outputs[0].key) != 1:
        raise TraceError(expected(where, REPLAYED, "outputs that are not one row for each image"))
    wanted = logits[:few].to(found.dtype)
    off = float((found[:few] - wanted).abs().max())
    close = max(CLOSE, torch.finfo(logits.dtype).eps ** 0.5)
    if not off <= close * max(1.0, float(wanted.abs().max())):
        raise TraceError(expected(where, f"{REPLAYED}, image by image", f"outputs {off:.2g} off"))
    return program
