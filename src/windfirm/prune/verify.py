"""The proof of a cut: the smaller network computes what the original does with the removed parts silenced.

Silencing happens where consumers read: while the original runs, the input of every convolution or matrix product that
reads removed channels is zero there, and a normalisation or average over channels looks at those that stay. Nothing
about how the smaller network was made enters the comparison but the list of what was to go, so a channel that went
missing elsewhere, or an order that was mixed up, shows as a difference.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from windfirm.errors import CutError, TraceError, expected, first_line
from windfirm.models.agree import gaps, largest
from windfirm.models.caches import untouched
from windfirm.models.copies import exact
from windfirm.models.inputs import Arguments, Inputs, drawn
from windfirm.models.shrink import put_back
from windfirm.prune.coupling import Mixing, Reading
from windfirm.prune.precise import Precisely
from windfirm.prune.select import Cut
from windfirm.prune.structure import Anatomy, Mask, anatomy, gone
from windfirm.prune.trace import trace
from windfirm.prune.watch import Place, Watcher, arguments, growing, plainly, run, tensors_in

TOLERANCE = 1e-9

#: A difference this many times what the last digit of the inputs makes is no rounding.
ROUNDING = 100

#: Standard deviations of the random inputs; None stands for uniform ones in [0, 1).
SPREADS = (None, 1.0, 3.0, 10.0)


def verify(
    model: nn.Module,
    smaller: nn.Module,
    cut: Cut,
    example_inputs: Inputs,
    *,
    body: Anatomy | None = None,
) -> float:
    """The largest difference between the outputs, each relative to its largest value, in float64 on random inputs.

    The inputs are shaped like two images of ``example_inputs``, or like all where two take another way: uniform in
    [0, 1), where the outputs must be numbers, and normal ones of growing spread, which wake filters that see nothing
    in the first; see drawn. Each number must agree by itself, as far as rounding allows: next to masked outputs of -1e9
    others are small. Where the normal inputs are so wide that the outputs hang on the last digit of them, they prove
    nothing and do not count. ``body`` saves tracing ``model`` again. Raises CutError when a network does not run, or
    when the difference is not below TOLERANCE.
    """
    body = body or anatomy(model, example_inputs)
    silence = silencing(body, cut)
    *fewer, given = growing(arguments(type(model).__name__, example_inputs))
    for few in fewer:
        with suppress(CutError, TraceError):
            if body.traced.same_way(trace(model, few[0] or few[1])):
                return _proved(model, smaller, few, silence)
    return _proved(model, smaller, given, silence)


def _nudged(model: nn.Module) -> nn.Module:
    """A copy in which every parameter is the next number."""
    model = exact(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(_next(parameter))
    return model


def _next(tensor: Tensor) -> Tensor:
    """The next numbers in float64."""
    return torch.nextafter(tensor, torch.full_like(tensor, torch.inf)) if tensor.is_floating_point() else tensor


@dataclass(frozen=True)
class Silence:
    """What has to be silent, and where.

    Readings and mixings of removed nodes; arguments that are zero whole; and calls whose result gives way to the input
    of another (or the same) call, where a layer leaves.
    """

    mask: Mask
    readings: Mapping[Place, Sequence[Reading]]
    mixings: Mapping[Place, Sequence[Mixing]]
    whole: Mapping[Place, int]
    bypassed: Mapping[Place, Place]

    @property
    def places(self) -> set[Place]:
        """Every call that is changed."""
        return {*self.readings, *self.mixings, *self.whole, *self.bypassed, *self.bypassed.values()}

    @property
    def changes(self) -> list[Place]:
        """The calls whose result for the channels that stay is not what it was: statistics over fewer channels.

        There the smaller network is proved equal to the original with statistics over the channels that stay, not over
        all. Empty for networks with batch normalisation.
        """
        return [place for place, mixings in self.mixings.items() if any(mixing.changes for mixing in mixings)]


def silencing(body: Anatomy, cut: Cut) -> Silence:
    """Where the original has to be silent for ``cut``: in calls that its outputs need."""
    mask, traced = gone(body.coupling, cut.kept()), body.traced
    readings: dict[Place, list[Reading]] = {}
    mixings: dict[Place, list[Mixing]] = {}
    for reading in body.coupling.readings:
        if mask[reading.nodes].any() and traced.at[reading.place].number in traced.needed:
            readings.setdefault(reading.place, []).append(reading)
    for mixing in body.coupling.mixings:
        if mask[mixing.nodes].any() and traced.at[mixing.place].number in traced.needed:
            mixings.setdefault(mixing.place, []).append(mixing)
    whole = dict(s.silent for s, units in cut.removed.items() if s.silent is not None and units)
    bypassed = {s.bypassed[1]: s.bypassed[0] for s, units in cut.removed.items() if s.bypassed is not None and units}
    return Silence(mask, readings, mixings, whole, bypassed)


def _proved(model: nn.Module, smaller: nn.Module, given: Arguments, silence: Silence) -> float:
    """What verify gives and raises, on inputs like ``given``."""
    original, smaller = exact(model), exact(smaller)
    runs = "a network that runs in float64"
    worst = 0.0
    for spread in SPREADS:
        inputs = drawn(given, spread, "verify")
        wanted = _outputs(original, inputs, runs, silence)
        got = _outputs(smaller, inputs, "a smaller network that runs")
        if spread is not None and not _sound(wanted):
            continue  # such inputs are none that this network is made for
        difference = _difference(wanted, got)
        apart = max(difference, _apart(wanted, got, wanted))
        if not apart < TOLERANCE:
            shaken = _outputs(_nudged(original), tree_map_only(Tensor, _next, inputs), runs, silence)
            apart = max(difference, _apart(wanted, got, shaken))
        if not apart < TOLERANCE:
            if spread is not None and difference < ROUNDING * _difference(wanted, shaken):
                continue  # so wide of what it is made for, the network itself makes that much of a rounding
            if not all(map(torch.equal, wanted, _outputs(original, inputs, runs, silence))):
                same = "a network that gives the same inputs the same outputs"
                raise CutError(expected("cut", same, "others from pass to pass: it draws at random"))
            close = f"the outputs of the silenced original within {TOLERANCE:g}"
            raise CutError(expected("cut", close, f"a difference of {apart:.2g}"))
        worst = max(worst, difference)
    return worst


class _Silencer(Watcher):  # type: ignore[no-untyped-call]
    """Runs a network with parts of it silent, and remembers which places it came by."""

    def __init__(self, model: nn.Module, silence: Silence) -> None:
        super().__init__(model)
        self.silence = silence
        self.seen: set[Place] = set()
        self.kept: dict[Place, Tensor] = {}  # inputs of layers that leave

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        place = self.place(func)
        silence = self.silence
        self.seen.add(place)
        if place in silence.whole:
            argument = silence.whole[place]
            if func._schema.is_mutable and argument == 0:
                args[0].zero_()  # in its own memory, where the sum is looked for
            else:
                args = [torch.zeros_like(value) if i == argument else value for i, value in enumerate(args)]
        for reading in silence.readings.get(place, ()):
            if args[reading.argument].shape[reading.axis] != len(reading.nodes):
                raise CutError(expected(str(place), "the shapes of the trace", tuple(args[reading.argument].shape)))
            silent = torch.from_numpy(np.flatnonzero(silence.mask[reading.nodes]))
            value = args[reading.argument].index_fill(reading.axis, silent, 0)
            args = [value if i == reading.argument else other for i, other in enumerate(args)]
        if place in silence.bypassed.values():
            self.kept[place] = args[0]
        if place in silence.bypassed:
            leaves, shape = tree_flatten(run(func, args, kwargs))
            return tree_unflatten([self.kept[silence.bypassed[place]], *leaves[1:]], shape)
        mixings = silence.mixings.get(place, ())
        return _over_kept(func, args, kwargs, mixings, silence.mask) if mixings else run(func, args, kwargs)


def _over_kept(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], mixings: Sequence[Mixing], mask: Mask) -> Any:
    """The operation on what stays; where its result has the axis, zeros stand for what left."""
    x = args[0]
    args = list(args)
    stays = [(mixing, torch.from_numpy(np.flatnonzero(~mask[mixing.nodes]))) for mixing in mixings]
    for mixing, indices in stays:
        args[0] = args[0].index_select(mixing.axis, indices)
    name = func._schema.name.removeprefix("aten::")
    if name == "native_layer_norm":
        args[1] = list(args[0].shape[-len(args[1]) :])
        for mixing, indices in stays:
            own = mixing.axis - (x.ndim - len(args[1]))
            args[2:4] = [None if t is None else t.index_select(own, indices) for t in args[2:4]]
    elif name == "_fused_rms_norm":
        args[1] = list(args[0].shape[-len(args[1]) :])
        for mixing, indices in stays:
            args[2] = None if args[2] is None else args[2].index_select(mixing.axis - (x.ndim - len(args[1])), indices)
    elif name == "native_group_norm":
        indices = stays[0][1]
        groups, channels = args[6], args[4]
        args[1:3] = [None if t is None else t.index_select(0, indices) for t in args[1:3]]
        args[4] = len(indices)
        if not mixings[0].changes:  # whole groups left
            args[6] = groups * len(indices) // channels
    result = func(*args, **kwargs)
    leaves, shape = tree_flatten(result)
    for mixing, indices in reversed(stays):
        if mixing.keeps:
            leaves[0] = put_back(leaves[0], mixing.axis, indices, x.shape[mixing.axis])
        elif name in ("max", "min") and len(leaves) > 1:  # where it was among all
            leaves[1] = indices[leaves[1]]
    return tree_unflatten(leaves, shape)


def _outputs(model: nn.Module, inputs: Arguments, wanted: str, silence: Silence | None = None) -> list[Tensor]:
    args, kwargs = tree_map_only(Tensor, torch.clone, inputs)  # a network may change what it is given
    silencer = _Silencer(model, silence) if silence is not None else None
    try:
        with untouched(model), plainly(), Precisely(), silencer or nullcontext():  # type: ignore[no-untyped-call]
            result = model(*args, **kwargs)
        if silencer and (missed := silencer.silence.places - silencer.seen):
            got = f"a forward pass that differs from its trace: no {min(map(str, missed))}"
            raise CutError(expected("cut", wanted, got))
        leaves = tensors_in(result)
    except CutError:
        raise
    except Exception as error:  # whatever a stranger's forward pass may raise
        got = f"an error in its forward pass: {first_line(error)}"
        raise CutError(expected("cut", wanted, got)) from error
    finally:
        if silencer:
            silencer.release()
    return [leaf if leaf.is_complex() else leaf.double() for leaf in leaves]


def _difference(wanted: Sequence[Tensor], got: Sequence[Tensor]) -> float:
    """The largest difference relative to the largest value of the same output: none hides behind a larger one."""
    shapes = [tuple(tensor.shape) for tensor in wanted], [tuple(tensor.shape) for tensor in got]
    if shapes[0] != shapes[1]:
        raise CutError(expected("cut", f"outputs of shapes {shapes[0]}", shapes[1]))
    if not (_sound(wanted) and _sound(got)):
        raise CutError(expected("cut", "finite outputs on random inputs", "infinite or undefined ones"))
    pairs = [(a, b) for a, b in zip(wanted, got, strict=True) if a.numel()]
    return max((float(gaps(a, b).max()) / largest(a) for a, b in pairs), default=0.0)


def _apart(wanted: Sequence[Tensor], got: Sequence[Tensor], shaken: Sequence[Tensor]) -> float:
    """The largest difference of two numbers relative to what they are, and to what rounding makes of their output.

    ``shaken``: the outputs after a nudge to the last digit of everything.
    """
    worst = 0.0
    for a, b, c in zip(wanted, got, shaken, strict=True):
        apart, moved = gaps(a, b), gaps(a, c)
        differ = apart > 0
        if differ.any():
            rounding = float(moved.nan_to_num(0, 0, 0).max())
            worst = max(worst, float((apart / (a.abs() + ROUNDING / TOLERANCE * rounding))[differ].max()))
    return worst


def _sound(outputs: Sequence[Tensor]) -> bool:
    """Whether outputs say something: all are numbers, and not all of one output infinite."""
    return all(not bool(tensor.isnan().any()) and bool(tensor.isfinite().any()) for tensor in outputs if tensor.numel())
