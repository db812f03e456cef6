import torch
import torch.nn.functional as F
from torch import Tensor

from tests.attack.nets import Watched, curved, middling
from windfirm.attack.climb import look, mostly


def shifted() -> tuple[Watched, Tensor, Tensor]:
    """A network, images, and labels of which every third is wrong."""
    images, model = middling(30), curved()
    labels = model(images).argmax(1)
    labels[::3] = (labels[::3] + 1) % 5
    return Watched(model), images, labels


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def test_a_look_tells_where_the_network_is_wrong_and_the_way_up() -> None:
    model, images, labels = shifted()
    at = look("toy", model, images, labels[:, None], cross_entropy, batch=7)
    assert at.wrong.nonzero()[:, 0].tolist() == list(range(0, 30, 3))
    pixels = images.clone().requires_grad_()
    losses = cross_entropy(model(pixels), labels)
    torch.testing.assert_close(at.loss, losses)
    torch.testing.assert_close(at.gradient, torch.autograd.grad(losses.sum(), pixels)[0])


def test_a_glance_leaves_out_the_gradients_of_what_is_wrong_alone() -> None:
    model, images, labels = shifted()
    full, glance = (look("toy", model, images, labels[:, None], cross_entropy, 16, glance=g) for g in (False, True))
    assert model.counts == [16, 14, 16, 14, 16, 4]
    assert torch.equal(glance.wrong, full.wrong)
    torch.testing.assert_close(glance.loss, full.loss)
    torch.testing.assert_close(glance.gradient[~full.wrong], full.gradient[~full.wrong])
    assert (glance.gradient[full.wrong] == 0).all()


def test_most_are_fooled_where_the_gradient_says_so_for_more_than_half() -> None:
    loss, gradient = torch.tensor([-1.0, -1.0, -3.0]), torch.ones(3, 1, 1, 2)
    assert mostly(loss, gradient, torch.full((3, 1, 1, 2), 0.6))
    assert not mostly(loss, gradient, torch.full((3, 1, 1, 2), 0.4))
    assert not mostly(loss[1:], gradient[1:], torch.full((2, 1, 1, 2), 0.6))
