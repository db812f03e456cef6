"""The network that is searched, recorded as CUDA graphs: an iterative attack asks a GPU thousands of short questions.

Batches are filled up to one of a few sizes, each of which is recorded once it turns out to be met often; what is asked
in_float32 has recordings of its own. To whoever calls it, it is a network like any other, which may be called again
before a gradient is asked for.
"""

from collections import Counter
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from windfirm.models.device import is_exact
from windfirm.models.layout import filters, layout
from windfirm.models.recording import recorded

#: Each size of batch is so many times the one before.
STEP = 4

#: So many batches of a size go through the network as it is first: few do not repay the recording.
FIRST = 24

#: Outputs of what was recorded differ from the network's by no more than this share of the largest one.
TOLERANCE = 1e-2

#: A size of batch, and whether it is asked in_float32.
_Kind = tuple[int, bool]


class Replayed(nn.Module):
    """``network`` (in evaluation mode), for batches of at most ``most`` images like ``images`` (b, c, h, w), recorded.

    Whatever else comes, and all where recording fails or gives other outputs, goes through the network as it is.
    """

    def __init__(self, network: nn.Module, images: Tensor, most: int) -> None:
        super().__init__()
        self.network, self.images = network, images
        #: The same, with filters laid out as they are fastest in float32.
        self.twin = deepcopy(network)
        filters(self.twin, layout(images.device))
        self.sizes = sorted({most, *(STEP**power for power in range(2, 8) if STEP**power < most)})
        self.met: Counter[_Kind] = Counter()
        self.recordings: dict[_Kind, _Recording | None] = {}
        self.pool = torch.cuda.graph_pool_handle()
        #: The call whose intermediate values are in the memory of the recordings.
        self.latest: object = None

    def forward(self, images: Tensor) -> Any:
        recording = None if self.training else self._recording(images)
        if recording is not None:
            return _Call.apply(images, self, recording)  # type: ignore[no-untyped-call]
        if is_exact():
            return self.twin(images.contiguous(memory_format=layout(images.device)))
        return self.network(images)

    def _recording(self, images: Tensor) -> "_Recording | None":
        known = self.images
        if (images.shape[1:], images.dtype, images.device) != (known.shape[1:], known.dtype, known.device):
            return None
        size = next((size for size in self.sizes if size >= len(images)), None)
        if size is None:
            return None
        kind = size, is_exact()
        self.met[kind] += 1
        if self.met[kind] <= FIRST:
            return None
        if kind not in self.recordings:
            self.recordings[kind] = self._record(*kind)
        return self.recordings[kind]

    @torch.no_grad()
    def _record(self, size: int, exact: bool) -> "_Recording | None":
        self.latest = None
        network, form = (self.twin, layout(self.images.device)) if exact else (self.network, torch.channels_last)
        rows = torch.arange(size, device=self.images.device) % len(self.images)
        example = self.images[rows].contiguous(memory_format=form)
        made = recorded(network, example.clone().requires_grad_(), short=False, pool=self.pool)
        if made is None:
            return None
        recording = _Recording(made, size, form)
        wanted, found = network(example), recording(example)[1]
        same = (
            isinstance(found, Tensor)
            and found.requires_grad
            and found.shape == wanted.shape
            and bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())
        )
        return recording if same else None


class _Recording:
    """What was recorded for batches of ``size`` that lie in memory as ``form`` says."""

    def __init__(self, made: nn.Module, size: int, form: torch.memory_format) -> None:
        self.made, self.size, self.form = made, size, form

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``images`` with as many empty ones as it takes, and the logits of all, which know their way back to them."""
        full = images.new_zeros(self.size, *images.shape[1:]).contiguous(memory_format=self.form)
        full[: len(images)] = images
        full.requires_grad_()
        with torch.enable_grad():
            return full, self.made(full)


class _Call(torch.autograd.Function):
    """One call, whose results are copies: the next call overwrites what was recorded."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, replayed: Replayed, recording: _Recording) -> Tensor:
        ctx.save_for_backward(images)
        ctx.replayed, ctx.recording = replayed, recording
        ctx.made = replayed.latest = recording(images)
        logits: Tensor = ctx.made[1].detach()
        return logits[: len(images)].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        (images,) = ctx.saved_tensors
        if ctx.replayed.latest is not ctx.made:  # there was another call since
            ctx.made = ctx.replayed.latest = ctx.recording(images)
        full, logits = ctx.made
        given = torch.zeros_like(logits)
        given[: len(images)] = slopes
        (gradient,) = torch.autograd.grad(logits, full, given, retain_graph=True)
        return gradient[: len(images)].clone(), None, None
