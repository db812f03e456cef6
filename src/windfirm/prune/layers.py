"""Layers of plain chains that can be removed: convolutions whose result has the shape of what they read.

No addition carries the signal past such a layer; its input takes the place of its output. So it is a bolder cut than
that of a residual branch, and made on request alone. A normalisation right behind the convolution leaves with it.
"""

from collections import Counter
from collections.abc import Iterator

from torch import nn

from windfirm.models.inputs import Inputs
from windfirm.prune.blocks import filters_inside, tried
from windfirm.prune.criteria.points import CONVOLUTION, normalisation
from windfirm.prune.structure import Anatomy, Structure, inside
from windfirm.prune.trace import Call, Trace


def plain_layers(model: nn.Module, example_inputs: Inputs, body: Anatomy) -> list[Structure]:
    """The shape-preserving convolutions outside of residual branches, each a block; frozen ones with their reason."""
    branches = [path for s in body.structures for path in s.replaced]
    found = []
    for first, last in _layers(body.traced):
        replaced = {call.module: "skip" for call in (first, last)}
        if not inside(first.module, branches):
            slices = tuple(filters_inside(body, replaced))
            between, stage = (first.place, last.place), first.outputs[0].shape[1:]
            layer = Structure(first.module, "block", 1, slices, None, replaced, bypassed=between, stage=stage)
            found.append(tried(model, example_inputs, layer, body.traced))
    return found


def _layers(traced: Trace) -> Iterator[tuple[Call, Call]]:
    """Every convolution of a module of its own that keeps the shape, and the normalisation behind it or itself."""
    runs = Counter((call.module, call.op) for call in traced.calls)
    for call in traced.calls:
        if call.op is CONVOLUTION and call.module and call.outputs[0].shape == call.args[0].shape:
            norm = normalisation(traced, call)
            last = norm if norm is not None and norm.module else call
            if runs[call.module, call.op] == runs[last.module, last.op] == 1:
                yield call, last
