"""One pass over the data for everyone who wants to see something of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map_only

from windfirm.errors import InputError, TraceError, WindfirmError, expected, first_line
from windfirm.models.device import type_of
from windfirm.models.inputs import Inputs
from windfirm.models.layout import takes
from windfirm.models.mode import mode
from windfirm.prune.criteria.base import Observer, Seen, class_scores
from windfirm.prune.watch import Place, Watcher, arguments, plainly, run, tensors_in

#: Images as the network takes them, and their labels.
Batches = Iterable[tuple[Inputs, Tensor]]

Show = Callable[[Tensor, range], None]

#: A GPU has kernels of its own under other names than those of the trace.
SAME = {"aten.cudnn_batch_norm.default": "aten.native_batch_norm.default"}


class _Listener(Watcher):  # type: ignore[no-untyped-call]
    """Hands the results at some places on while they are fresh: an operation in place may change them right after."""

    def __init__(self, model: nn.Module, points: Mapping[Place, Sequence[Show]]) -> None:
        super().__init__(model)
        self.points = points
        self.orderly = False  # whether convolutions' results are laid out in order, as in the trace
        self.images = range(0)
        self.missing: set[Place] = set()

    def next_batch(self, images: range) -> None:
        self.images = images
        self.missing = set(self.points)
        self._turns.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = run(func, args, kwargs or {}) if self.orderly else func(*args, **(kwargs or {}))
        place = self.place(func)
        shows = self.points.get(place)
        if shows:
            output = result[0] if isinstance(result, tuple | list) else result
            self.missing.discard(place)
            for show in shows:
                show(output, self.images)
        return result

    def place(self, func: Any) -> Place:
        return super().place(SAME.get(str(func), func))


def observe(model: nn.Module, observers: Sequence[Observer], batches: Batches) -> None:
    """Run ``model`` once over ``batches`` in eval mode and show all ``observers`` what they want.

    Gradients are had only where an observer wants them, and of all parameters, also of those that are not trained.
    ``model`` keeps its modes and hooks, but what its forward pass writes stays, so give a copy. Raises InputError when
    there is no image, when a batch does not fit the network, and when a forward pass is another than the one that was
    traced.
    """
    points: dict[Place, list[Show]] = {}
    for observer in observers:
        for place, show in observer.points.items():
            points.setdefault(place, []).append(show)
    gradients = any(observer.gradients for observer in observers)
    seen = 0
    listener = _Listener(model, points)
    try:
        with mode(model, training=False), _all_wanted(model) if gradients else nullcontext():
            for inputs, labels in checked(batches):
                inputs = fitting(model, inputs)
                if not seen:
                    plain = _needs_plain(model, inputs)
                inputs = inputs.contiguous() if plain and isinstance(inputs, Tensor) else inputs
                images = range(seen, seen + len(labels))
                if points and not seen:
                    listener.orderly = not _passes(model, points, inputs)
                listener.next_batch(images)
                with listener, plainly(), torch.set_grad_enabled(gradients):
                    # A copy, for a forward pass that writes over its input.
                    logits = _forward(model, tree_map_only(Tensor, torch.clone, inputs))
                labels = labels.to(logits.device)
                if listener.missing:
                    missed = f"one without {min(map(str, listener.missing))}"
                    raise InputError(expected("batches", "inputs with the forward pass that was traced", missed))
                slopes = _gradients(model, logits, labels) if gradients else {}
                for observer in observers:
                    if observer.batch is not None:
                        with torch.no_grad():
                            observer.batch(Seen(inputs, labels, logits.detach(), images, slopes))
                seen = images.stop
    finally:
        listener.release()
    if not seen:
        raise InputError(expected("batches", "at least one image", "none"))


def _needs_plain(model: nn.Module, inputs: Inputs) -> bool:
    """Whether images that lie channels-last must be laid channel after channel for this network."""
    return (
        isinstance(inputs, Tensor) and inputs.ndim == 4 and not inputs.is_contiguous() and not takes(model, inputs[:2])
    )


def _passes(model: nn.Module, points: Mapping[Place, Sequence[Show]], inputs: Inputs) -> bool:
    """Whether a forward pass of one image comes by all places as it is, without laying out convolutions' results."""
    scout = _Listener(model, {place: [lambda output, images: None] for place in points})
    scout.next_batch(range(1))
    try:
        with scout, plainly():
            _forward(model, tree_map_only(Tensor, lambda tensor: tensor[:1].clone(), inputs))
    except InputError:
        return True  # the whole batch says better what is wrong
    finally:
        scout.release()
    return not scout.missing


def checked(batches: Batches) -> Iterator[tuple[Inputs, Tensor]]:
    """The batches that hold images. Raises InputError for one that is not images with one label each."""
    if not isinstance(batches, Iterable):
        raise InputError(expected("batches", "pairs of images and labels", type(batches).__name__))
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise InputError(expected("batches", "pairs of images and labels", type(batch).__name__))
        inputs, labels = batch
        if not isinstance(labels, Tensor) or labels.ndim != 1:
            got = f"shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
            raise InputError(expected("batches", "labels as a tensor of shape (b,)", got))
        sizes = {len(tensor) for tensor in tree_leaves(inputs) if isinstance(tensor, Tensor) and tensor.ndim}
        if sizes and sizes != {len(labels)}:
            got = f"{len(labels)} for {' and '.join(map(str, sorted(sizes)))}"
            raise InputError(expected("batches", "one label for each image", got))
        if len(labels):
            yield inputs, labels


def fitting(model: nn.Module, inputs: Inputs) -> Inputs:
    """The inputs where the network is, floating-point numbers in its precision."""
    like = next((tensor for tensor in chain(model.parameters(), model.buffers()) if tensor.is_floating_point()), None)
    if like is None:
        return inputs
    dtype = type_of(model)

    def moved(tensor: Tensor) -> Tensor:
        tensor = tensor.to(like.device, dtype if tensor.is_floating_point() else None)
        return tensor.clone() if tensor.is_inference() else tensor  # those cannot be kept for gradients

    return tree_map_only(Tensor, moved, inputs)  # type: ignore[no-any-return]


@contextmanager
def _all_wanted(model: nn.Module) -> Iterator[None]:
    """Every parameter that can have a gradient asks for one; afterwards those alone that did before."""
    idle = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point() and not p.is_inference()]
    for parameter in idle:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in idle:
            parameter.requires_grad_(False)


def _forward(model: nn.Module, inputs: Inputs) -> Tensor:
    try:
        args, kwargs = arguments("batches", inputs)
    except TraceError as error:
        raise InputError(str(error)) from None
    try:
        return tensors_in(model(*args, **kwargs))[0]
    except WindfirmError:
        raise
    except Exception as error:  # whatever a stranger's forward pass may raise
        raise InputError(expected("batches", "inputs that the network takes", first_line(error))) from error


def _gradients(model: nn.Module, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Those of the mean cross-entropy, by parameter name; parameters without one are left out."""
    classes = class_scores(logits, len(labels)).shape[1]
    if labels.is_floating_point() or labels.is_complex() or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        got = f"{labels.dtype} from {labels.min().item()} to {labels.max().item()}"
        raise InputError(expected("batches", f"labels that are whole numbers below {classes}", got))
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    try:
        loss = F.cross_entropy(logits, labels.long().clone())
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    except (RuntimeError, ValueError) as error:
        raise InputError(expected("batches", "a network that can be differentiated", first_line(error))) from error
    return {name: slope for name, slope in zip(wanted, found, strict=True) if slope is not None}
