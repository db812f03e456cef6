"""Whether a network and training images belong together, before time is spent on them."""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import CutError, InputError, expected, first_line
from windfirm.models.copies import copied
from windfirm.models.device import out_of_memory


def check_fit(model: nn.Module, images: Images, device: torch.device) -> None:
    """Raise InputError for images that ``model`` does not take, and labels that none of its logits stands for.

    A copy of it is asked once; of what cannot be copied nothing is known here. What has other outputs than logits
    (n, classes) is left to the objective.
    """
    some = to_float(images.images[:2].to(device))
    if not len(some):
        return
    try:
        network = copied(model).to(device).train()
        with seeds.default_stream(0, "fit"), torch.no_grad():
            outputs = network(some)
    except CutError:
        return
    except Exception as error:  # a network may raise anything
        if out_of_memory(error):
            raise
        wanted = f"a network that takes images of shape {tuple(some.shape)}"
        raise InputError(expected("model", wanted, f"an error: {first_line(error)}")) from error
    most = int(images.labels.max())
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] <= most:
        wanted = f"labels below {outputs.shape[1]}, the number of the network's outputs"
        raise InputError(expected("training data", wanted, most))
