"""A network recorded as CUDA graphs, one forward and one backward, each of which a GPU starts as a whole.

Kernel by kernel, a small network keeps a GPU waiting: a step of ResNet-56 with 128 images starts about two thousand.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from windfirm.models.device import autocast


class _Whole(nn.Module):
    """A network under another roof: what is recorded gets another ``forward``, and the network keeps its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images)


def recorded(network: nn.Module, images: Tensor, *, short: bool, pool: Any = None) -> nn.Module | None:
    """``network``, in the mode that it is in, for batches exactly like ``images`` (b, c, h, w); None where that fails.

    It has gradients for the weights that ask for one, and for images if ``images`` do. ``short``: under autocast. What
    it returns, and its gradients, are overwritten by its next call. Recording runs the network a few times, in training
    mode with what that does to its statistics. ``pool``: memory that is shared with other recordings, see
    torch.cuda.graph_pool_handle.
    """
    # Gradients reach their ends from another stream than that of the recording, as they should.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    try:
        with torch.enable_grad(), autocast(images.device, short=short, cache=False):
            made: Any = torch.cuda.make_graphed_callables(_Whole(network), (images,), pool=pool)
    except Exception:  # whatever a network does that cannot be recorded, such as to look at a value
        return None
    return cast(nn.Module, made)
