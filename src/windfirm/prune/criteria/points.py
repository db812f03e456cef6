"""Where in the forward pass a filter's work can be seen: its layer's raw output, and the map that others read.

From a layer's output the way leads on through normalisations, additions and activations, up to and including the first
activation, or to where something else reads it: there stands the *feature map*. Who only logs it does not count.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from windfirm.prune.structure import Anatomy, Slice, Structure
from windfirm.prune.trace import Call, Ref, Trace
from windfirm.prune.watch import Place

aten = torch.ops.aten

CONVOLUTION = aten.convolution.default

#: Matrix products that a linear layer makes, and the number of the argument that is its weight.
LINEAR = {aten.addmm.default: 2, aten.mm.default: 1}

NORMALISATIONS = ("native_batch_norm", "native_group_norm", "native_layer_norm")
VIEWS = ("view", "_unsafe_view", "reshape")
ACTIVATIONS = ("relu", "hardtanh", "silu", "gelu", "hardswish", "leaky_relu", "elu", "celu", "mish", "sigmoid", "tanh",
               "hardsigmoid", "softplus", "clamp", "clamp_min", "threshold", "_prelu_kernel")  # fmt: skip


@dataclass(frozen=True)
class Point:
    """The result of the call at ``place``, channels along ``axis``."""

    place: Place
    axis: int


def makers(traced: Trace, piece: Slice) -> list[Call]:
    """The convolutions or linear layers that make channels from a weight, numbered along the output as in the slice.

    A layer that runs several times has several. The weight may be computed from its parameter, as long as it keeps its
    shape (or is transposed, in a linear layer). There is none where a channel of the weight is not one of the output.
    """
    weight = traced.parameters.get(piece.tensor)
    if weight is None:
        return []
    found = []
    for call in traced.calls:
        number = 1 if call.op is CONVOLUTION else LINEAR.get(call.op)
        if number is None or weight.key not in traced.origins.get(call.args[number].key, ()):
            continue
        shape = call.args[number].shape
        if call.op is CONVOLUTION:
            transposed = bool(call.argument("transposed"))
            whole = shape == weight.shape and (not transposed or call.argument("groups") == 1)
            if whole and piece.axis == int(transposed):
                found.append(call)
        elif shape == weight.shape[::-1] and piece.axis == 0:
            found.append(call)
    return found


def feature_map(traced: Trace, call: Call) -> Point:
    """Where the map of the channels that ``call`` makes can be seen; see above."""
    axis = -1 if call.op in LINEAR else 1
    while True:
        after = traced.readers.get(call.outputs[0].key, ())
        if len(after) != 1 or not _passes_on(traced, after[0], call.outputs[0], axis):
            return Point(call.place, axis)
        call = after[0]
        if _name(call) in ACTIVATIONS:
            return Point(call.place, axis)


def _passes_on(traced: Trace, call: Call, ref: Ref, axis: int) -> bool:
    """Whether a call normalises, adds to or activates this tensor, and so keeps its channels where they are.

    What is added to something of the images, and was made of constants, ends there.
    """
    name, shape = _name(call), call.outputs[0].shape
    if (ref.key in traced.fixed) != (call.outputs[0].key in traced.fixed):
        return False
    if name in VIEWS and axis == -1:  # a linear layer works on rows of tokens laid out again
        return len(shape) > 1 and shape[-1] == ref.shape[-1]
    known = name in NORMALISATIONS or name in ACTIVATIONS or name == "add"
    return known and shape == ref.shape and (name == "add" or call.inputs[0] == ref)


def in_order(traced: Trace, call: Call) -> bool:
    """Whether a layer's output is that of one image after the other, as far as the trace can tell.

    It is not where a layer runs on constants, such as a grid of coordinates: it has their rows. Nor where the rows of a
    linear layer are laid out from, or to, a tensor with the images along another axis than the first, as in a
    transformer with tokens first.
    """
    if call.outputs[0].key in traced.fixed:
        return False
    if call.op not in LINEAR:
        return True
    maker = traced.makers.get(call.args[LINEAR[call.op] - 1].key)
    around = [maker.inputs[0].shape] if maker is not None and _name(maker) in VIEWS else []
    around += [after.outputs[0].shape for after in traced.readers.get(call.outputs[0].key, ()) if _name(after) in VIEWS]
    images = _images(traced)
    return not any(shape[0] != images and images in shape[1:-1] for shape in around if len(shape) > 2)


def block_map(body: Anatomy, block: Structure) -> Point | None:
    """Where a block's output can be seen: the sum with what its branch is added to, activated if it is.

    None where its images do not lie along the first axis.
    """
    end = block.silent[0] if block.silent else block.bypassed[1] if block.bypassed else None
    call = body.traced.at.get(end) if end else None
    if call is None:
        return None
    output = call.outputs[0]
    if len(output.shape) > 2 and output.shape[0] != _images(body.traced):
        return None
    return Point(feature_map(body.traced, call).place, _channels(body, output))


def _channels(body: Anatomy, ref: Ref) -> int:
    """The axis of the channels, -1 for the last: the one whose units can leave; where none or several can, by shape."""
    coupling, labels = body.coupling, body.coupling.labels.get(ref.key, {})
    known = {axis: nodes[nodes >= 0] for axis, nodes in labels.items()}
    free = [axis for axis, n in known.items() if len(n) and not coupling.frozen.keys() & coupling.component[n].tolist()]
    axis = free[0] if len(free) == 1 else 1 if len(ref.shape) > 3 else -1  # (b, c, h, w), or (b, tokens, c)
    return -1 if axis == len(ref.shape) - 1 else axis


def _images(traced: Trace) -> int | None:
    """How many there were in the trace."""
    return traced.inputs[0].shape[0] if traced.inputs and traced.inputs[0].shape else None


def last_layer(traced: Trace) -> tuple[Call, int] | None:
    """The last layer before the first output, and which of its arguments it reads; None when there is none."""
    waiting, above = [traced.outputs[0].key], set[int]()
    while waiting:
        call = traced.makers.get(waiting.pop())
        if call is not None and call.number not in above:
            above.add(call.number)
            waiting += [ref.key for ref in call.inputs]
    known = (CONVOLUTION, *LINEAR)
    layers = [call for call in traced.calls if call.number in above and call.op in known]
    layers = [call for call in layers if call.outputs[0].key not in traced.origins]  # weights may be computed
    return (layers[-1], LINEAR.get(layers[-1].op, 1) - 1) if layers else None


def penultimate(traced: Trace) -> Place | None:
    """The place whose result the last layer reads; None when there is no such layer, or it reads an input."""
    last = last_layer(traced)
    if last is None:
        return None
    call, argument = last
    maker = traced.makers.get(call.args[argument].key)
    return maker.place if maker is not None else None


def normalisation(traced: Trace, call: Call) -> Call | None:
    """The normalisation that reads a layer's output, and alone does."""
    after = traced.readers.get(call.outputs[0].key, ())
    return after[0] if len(after) == 1 and _name(after[0]) in NORMALISATIONS else None


def spread_out(output: Tensor, axis: int, images: int) -> Tensor | None:
    """A result as ``(images, channels, positions)``, its channels along ``axis``; None when rows are not of one image.

    A linear layer's ``(images * positions, channels)`` counts as positions of images in order; see in_order.
    """
    if output.ndim == 2 and len(output) % images == 0:
        output = output.reshape(images, -1, output.shape[1])
        axis = -1
    if output.ndim < 3 or len(output) != images:
        return None
    return output.movedim(axis, 1).flatten(2)


def _name(call: Call) -> str:
    """What an operation does, in place or not."""
    name: str = call.op._schema.name
    return name.removeprefix("aten::").removesuffix("_")
