import copy
import math

import torch
from torch import nn

from tests.defend.nets import generator
from tests.defend.test_stylizer import fresh
from windfirm import seeds
from windfirm.data.images import Images
from windfirm.defend.learn_style import learn, with_norms, without_norms
from windfirm.defend.stylizer import Stylizer


def coloured(count: int = 48) -> Images:
    """Two classes, dark on bright and bright on dark, in random colours."""
    labels = torch.arange(count) % 2
    colours = torch.rand(count, 3, 2, generator=generator()).sort(2).values
    images = torch.empty(count, 3, 8, 8)
    for image, colour, label in zip(images, colours, labels, strict=True):
        image[:] = colour[:, label][:, None, None]
        image[:, 2:6, 2:6] = colour[:, 1 - label][:, None, None]
    return Images((images * 255).to(torch.uint8), labels, ("dark", "bright"), "toy")


def test_both_trainings_make_their_loss_smaller_and_end_in_a_plain_network() -> None:
    with seeds.default_stream(0, "test"):
        stylizer = Stylizer((8, "down", 12))
    history = learn(stylizer, coloured(), epochs=6)
    assert len(history) == 12
    assert history[5].loss < history[0].loss
    assert history[11].loss < history[6].loss
    assert not any(isinstance(module, nn.BatchNorm2d) for module in stylizer.modules())
    assert not stylizer.training
    assert not any(parameter.requires_grad for parameter in stylizer.parameters())


def test_images_whose_side_cannot_be_halved_are_learnt_from_too() -> None:
    images = coloured(16)
    odd = Images(images.images[..., :7, :5], images.labels, images.classes, images.name)
    history = learn(fresh().requires_grad_(True), odd, epochs=1)
    assert all(math.isfinite(entry.loss) for entry in history)


def test_the_same_seed_gives_the_same_stylizer() -> None:
    one, same, other = fresh(), fresh(), fresh()
    for stylizer, seed in ((one, 0), (same, 0), (other, 1)):
        stylizer.requires_grad_(True)
        learn(stylizer, coloured(16), epochs=1, seed=seed)
    weights = [stylizer.decoder.get_parameter("0.weight") for stylizer in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_encoder_that_can_see_already_stays_as_it_is() -> None:
    stylizer = fresh()
    before = copy.deepcopy(stylizer)
    stylizer.decoder.requires_grad_(True)
    assert len(learn(stylizer, coloured(16), epochs=1)) == 1
    for name, value in before.encoder.state_dict().items():
        assert torch.equal(stylizer.encoder.state_dict()[name], value)
    assert not torch.equal(*(one.decoder.get_parameter("0.weight") for one in (before, stylizer)))


def test_folded_normalisations_leave_what_the_layers_compute() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 3, 3), nn.Sigmoid())
    with_norms(layers)
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Sequential", "ReLU", "Conv2d", "Sigmoid"]
    x = torch.rand(4, 3, 8, 8, generator=generator())
    layers.train()
    for _ in range(3):
        layers(3 * x)
    expected = layers.eval()(x)
    without_norms(layers)
    assert isinstance(layers[0], nn.Conv2d)
    torch.testing.assert_close(layers(x), expected)
