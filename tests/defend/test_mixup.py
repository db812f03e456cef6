import torch
import torch.nn.functional as F
from torch import Tensor

from tests.defend.nets import batch, generator, shown, small
from windfirm.adjust.objective import cross_entropy, mixed
from windfirm.defend.mixup import blend, mixup


def test_nothing_of_another_image_is_plain_training_bit_for_bit() -> None:
    images, labels = batch()

    def nothing(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        order = torch.randperm(len(images), generator=generator)
        return blend(images, images[order], 0.0), labels[order], 0.0

    loss, logits = mixed(nothing)(small(), images, labels, generator())
    plain, plain_logits = cross_entropy(small(), images, labels, generator())
    assert torch.equal(loss, plain)
    assert torch.equal(logits, plain_logits)


def test_images_and_losses_are_blended_alike() -> None:
    images, labels = batch()
    model = small()
    loss, logits, (seen,) = shown(mixup(8), model, images, labels)
    draws = generator()
    share = torch.rand((), generator=draws)
    order = torch.randperm(6, generator=draws)
    assert 0.1 < share < 0.9
    assert not torch.equal(order, torch.arange(6))
    torch.testing.assert_close(seen, (1 - share) * images + share * images[order])
    # The same loss from soft labels: mixing the labels is mixing the losses.
    soft = (1 - share) * F.one_hot(labels, 4) + share * F.one_hot(labels[order], 4)
    torch.testing.assert_close(loss, F.cross_entropy(logits, soft))


def test_the_share_is_uniform() -> None:
    """Beta(1, 1): what black images blended with white ones weigh, by quarters."""
    images, labels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2), torch.tensor([0, 1])
    whites = []
    for seed in range(400):
        _, _, (seen,) = shown(mixup(2), torch.nn.Flatten(), images, labels, seed)
        if seen[0, 0, 0, 0] > 0:  # blended with the other, not with itself
            whites.append(float(seen[0, 0, 0, 0]))
    counts = torch.histc(torch.tensor(whites), 4, 0, 1)
    assert 160 < len(whites) < 240
    assert (counts - len(whites) / 4).abs().max() < 25  # four standard deviations
