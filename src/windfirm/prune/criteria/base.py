"""What a criterion is: a function that knows its scores from the weights, or an observer who is shown every batch.

A criterion gives every unit of a structure a score, higher = keep; it never ranks and never cuts. All observers that
are asked at once watch one pass over the data (see prune.observe).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from windfirm.errors import InputError, expected
from windfirm.models.inputs import Inputs
from windfirm.models.mode import mode
from windfirm.prune.structure import Anatomy, Structure, anatomy
from windfirm.prune.trace import Trace, trace
from windfirm.prune.watch import Place

#: For every structure that a criterion can score a float64 tensor of shape ``(size,)``.
Scores = dict[Structure, Tensor]

#: Which images: all (None), those with an even (0) or with an odd number (1).
Half = int | None


@dataclass(frozen=True)
class Subject:
    """The network that is scored. It is traced and coupled when a criterion first asks for it, unless it was before."""

    model: nn.Module
    example: Inputs | None = None
    known: Anatomy | None = None

    @cached_property
    def body(self) -> Anatomy:
        """Its structures, trace and coupling. Raises TraceError as anatomy does."""
        return self.known or anatomy(self.model, self._example)

    @cached_property
    def traced(self) -> Trace:
        """Its forward pass."""
        return self.known.traced if self.known else trace(self.model, self._example)

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every parameter and buffer by name, detached; a fixed filter may be a buffer."""
        named = (*self.model.named_parameters(), *self.model.named_buffers())
        return {name: tensor.detach() for name, tensor in named}

    def weight(self, name: str) -> Tensor:
        """A parameter as its layer applies it: under a mask of torch.nn.utils.prune, or parametrized in its shape."""
        path, _, own = name.rpartition(".")
        stored, mask = self.tensors[name], self.tensors.get(f"{name.removesuffix('_orig')}_mask")
        if own.endswith("_orig") and mask is not None:
            return stored * mask
        owner = self.model.get_submodule(path)
        if isinstance(owner, ParametrizationList):
            with mode(owner, training=False), torch.no_grad():
                applied = owner()
            return applied if applied.shape == stored.shape else stored
        return stored

    @property
    def _example(self) -> Inputs:
        if self.example is None:
            wanted = "the network's anatomy as body, for a criterion without data that follows the forward pass"
            raise InputError(expected("score", wanted, "none"))
        return self.example


@dataclass(frozen=True)
class Seen:
    """One batch as an observer sees it when the forward pass has ended.

    ``inputs`` are the network's, ``labels`` (b,), ``logits`` its first output, ``images`` the numbers of its images,
    from 0 in the first batch; ``gradients`` are those of the mean cross-entropy by parameter name, where asked for.
    """

    inputs: Inputs
    labels: Tensor
    logits: Tensor
    images: range
    gradients: Mapping[str, Tensor] = field(default_factory=dict)


def class_scores(logits: Tensor, images: int) -> Tensor:
    """The logits as they are. Raises InputError unless they are (images, classes)."""
    if logits.ndim != 2 or len(logits) != images:
        wanted = f"class scores of shape ({images}, classes) from the network"
        raise InputError(expected("batches", wanted, tuple(logits.shape)))
    return logits


@dataclass(frozen=True)
class Observer:
    """Someone who is shown every batch and gives the scores at the end.

    ``points``: at each place the result of the call there is shown while it is fresh, with the numbers of the images;
    it must not be changed, nor kept without a copy. ``batch`` is called when a batch is done. ``scores(half)``
    gives the scores from all images or from one half of them.
    """

    scores: Callable[[Half], Scores]
    points: Mapping[Place, Callable[[Tensor, range], None]] = field(default_factory=dict)
    batch: Callable[[Seen], None] | None = None
    gradients: bool = False


Begin = Callable[[Subject, Sequence[Structure], int], Scores | Observer]


@dataclass(frozen=True)
class Criterion:
    """A way to score. ``begin(subject, structures, seed)`` gives scores, or an observer where ``data`` is True."""

    name: str
    begin: Begin
    data: bool = False


def criterion(name: str, *, data: bool = False) -> Callable[[Begin], Criterion]:
    """Make a criterion of a function ``(subject, structures, seed)``; ``data`` says that it returns an Observer.

    ``structures`` are filter groups and blocks that can go. What the function leaves out of its result is not scored,
    and stays whole. ``name`` stands in complaints; the criterion itself is what score and scores take::

        @criterion("l0")
        def l0(subject, structures, seed):
            return mean_over_members(structures, lambda piece: filters(subject, piece).ne(0).sum(1))
    """

    def make(begin: Begin) -> Criterion:
        return Criterion(name, begin, data)

    return make
