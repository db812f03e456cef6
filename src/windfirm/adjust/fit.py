"""Whether a network and training images belong together, before time is spent on them."""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.adjust.compiling import untouched
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError, expected, first_line
from windfirm.models.device import out_of_memory
from windfirm.models.mode import mode


def check_fit(model: nn.Module, images: Images, device: torch.device) -> None:
    """Raise InputError for images that ``model`` does not take, and labels that none of its logits stands for.

    It is moved to ``device`` and asked once, and is otherwise as it was. What has other outputs than logits
    (n, classes) is left to the objective.
    """
    model.to(device)
    some = to_float(images.images[:2].to(device))
    try:
        with untouched(model), seeds.default_stream(0, "fit"), mode(model, training=False), torch.no_grad():
            outputs = model(some)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        wanted = f"a network that takes images of shape {tuple(some.shape)}"
        raise InputError(expected("model", wanted, f"an error: {first_line(error)}")) from error
    most = int(images.labels.max())
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] <= most:
        wanted = f"labels below {outputs.shape[1]}, the number of the network's outputs"
        raise InputError(expected("training data", wanted, most))
