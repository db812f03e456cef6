"""A cheaper network that computes the same: batch normalisation folded into the convolutions that it follows.

For searching only. What counts as fooled is decided by the network as it is.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from windfirm.evaluate.network import as_judged

#: Outputs of the folded network differ by no more than this share of the largest one.
TOLERANCE = 1e-5


@torch.no_grad()
def folded(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of ``network`` (in evaluation mode) without the normalisations that a convolution can do itself.

    Each follows one convolution whose results nobody else reads, as is seen on ``images`` (b, c, h, w). Where the copy
    does not give them the same outputs, in float32, nothing is folded.
    """
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        try:
            with as_judged(images.device):
                theirs, found = watched(network, images)
                # What the copy already holds for a module is not copied.
                copy = deepcopy(network, {id(module): other for pair in found for module, other in merged(*pair)})
                ours = copy(images)
            if (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max():
                return copy
        except Exception:  # whatever a stranger's network does when its layers are others, or to one who watches
            pass
    return deepcopy(network)


def merged(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[tuple[nn.Module, nn.Module], ...]:
    """What takes the place of a convolution and of the normalisation that follows it."""
    return (conv, fuse_conv_bn_eval(conv, norm)), (norm, nn.Identity())


def watched(network: nn.Module, images: Tensor) -> tuple[Any, list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """What ``network`` makes of ``images``, and the convolutions whose only reader is a normalisation, with it.

    The normalisation is by fixed statistics, and each of the two is called once.
    """
    watcher = _Watcher()
    hooks = []
    for module in network.modules():
        if type(module) is nn.Conv2d or (type(module) is nn.BatchNorm2d and module.running_mean is not None):
            hooks.append(module.register_forward_hook(watcher.saw))
    try:
        with watcher:
            outputs = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, watcher.pairs()


class _Watcher(TorchFunctionMode):
    """Who reads what in one forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[nn.Module, Tensor, Tensor]] = []  # kept, so that no id is given twice
        self.reads: Counter[int] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):  # sizes and the like read no values
            self.reads.update({id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)})
        return result

    def saw(self, module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        self.calls.append((module, args[0], output))
        self.reads[id(output)] = 0  # what was read under this number before was another tensor

    def pairs(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        times = Counter(id(module) for module, _, _ in self.calls)
        makers = {id(output): module for module, _, output in self.calls}
        found = []
        for norm, read, _ in self.calls:
            maker = makers.get(id(read))
            if (
                isinstance(norm, nn.BatchNorm2d)
                and isinstance(maker, nn.Conv2d)
                and times[id(norm)] == times[id(maker)] == self.reads[id(read)] == 1
            ):
                found.append((maker, norm))
        return found
