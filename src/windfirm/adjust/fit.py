"""Whether a network and training images belong together, before time is spent on them."""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import CutError, InputError, expected
from windfirm.models.asking import taking
from windfirm.models.copies import copied


def check_fit(model: nn.Module, images: Images, device: torch.device) -> None:
    """Raise InputError for images that ``model`` does not take, and labels that none of its logits stands for.

    A copy of it is asked once; of what cannot be copied nothing is known here. What has other outputs than logits
    (n, classes) is left to the objective.
    """
    some = to_float(images.images[:2].to(device))
    if not len(some):
        return
    try:
        network = copied(model)
    except CutError:
        return
    with taking(some.shape), seeds.default_stream(0, "fit"), torch.no_grad():
        outputs = network.to(device).train()(some)
    most = int(images.labels.max())
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] <= most:
        wanted = f"labels below {outputs.shape[1]}, the number of the network's outputs"
        raise InputError(expected("training data", wanted, most))
