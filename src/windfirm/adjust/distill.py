"""F teaches F′: the network before its cut says how sure it is of every class (Hinton et al., 2015, section 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.adjust.objective import Objective, cross_entropy
from windfirm.adjust.resume import weights_digest
from windfirm.data.augment import to_float
from windfirm.errors import InputError, expected
from windfirm.models.copies import copied
from windfirm.models.layout import arrange
from windfirm.models.mode import switched

#: By how much logits are divided before the softmax, and the share of the teacher in the loss.
TEMPERATURE = 4.0
WEIGHT = 0.9


def distillation(
    teacher: nn.Module,
    device: torch.device,
    images: Tensor,
    *,
    temperature: float = TEMPERATURE,
    weight: float = WEIGHT,
) -> Objective:
    """weight · temperature² · KL(teacher ‖ network) of the softened outputs + (1 − weight) · cross-entropy.

    The KL divergence is the mean over images; temperature² keeps the size of its gradients. The teacher is a copy of
    ``teacher`` on ``device`` in eval mode, sees the same augmented images, and is never trained. ``images`` (n, c, h,
    w) uint8: those that are trained on.
    """
    master = switched(copied(teacher).float().to(device), training=False).requires_grad_(False)
    arrange(master, to_float(images[:2].to(device)), torch.contiguous_format)

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            theirs = F.log_softmax(master(images).float() / temperature, 1)
        plain, logits = cross_entropy(model, images, labels, generator)
        if theirs.shape != logits.shape:  # some of which would be taken for one another
            wanted = f"an original with outputs of shape {tuple(logits.shape)}"
            raise InputError(expected("distill", wanted, tuple(theirs.shape)))
        ours = F.log_softmax(logits / temperature, 1)
        far = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return weight * temperature**2 * far + (1 - weight) * plain, logits

    options: dict[str, float | int | str] = {"temperature": temperature, "weight": weight}
    return Objective("distill", loss, options | {"teacher": weights_digest(teacher)}, once=True)
