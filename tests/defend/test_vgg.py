from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.defend.nets import generator
from windfirm.defend.vgg import with_vgg
from windfirm.errors import CheckpointError
from windfirm.models.normalize import IMAGENET_MEAN, IMAGENET_STD

#: The convolutions of torchvision's VGG-19 up to relu4_1: their numbers and channels.
CONVS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 16: 256, 19: 512}


def weights(upto: int = 19) -> dict[str, Tensor]:
    tensors, channels = {}, 3
    for number, wide in CONVS.items():
        if number <= upto:
            tensors[f"features.{number}.weight"] = torch.randn(wide, channels, 3, 3, generator=generator(number)) / 20
            tensors[f"features.{number}.bias"] = torch.randn(wide, generator=generator(number))
            channels = wide
    return tensors | {"classifier.0.weight": torch.zeros(2, 2)}


def test_the_encoder_is_the_network_up_to_its_third_resolution(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "vgg.pth")
    images = torch.rand(2, 3, 32, 32, generator=generator())
    stylizer = with_vgg(tmp_path / "vgg.pth", 32)
    given = weights()
    x = (images - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    for number in (0, 2, 5, 7, 10):
        if number in (5, 10):
            x = F.max_pool2d(x, 2)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), given[f"features.{number}.weight"],
                     given[f"features.{number}.bias"]).relu()  # fmt: skip
    torch.testing.assert_close(stylizer.code(images), x)
    assert not any(parameter.requires_grad for parameter in stylizer.encoder.parameters())
    assert all(parameter.requires_grad for parameter in stylizer.decoder.parameters())


def test_larger_images_are_coded_by_one_resolution_more(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "vgg.pth")
    assert with_vgg(tmp_path / "vgg.pth", 64).code(torch.rand(1, 3, 64, 64)).shape == (1, 512, 8, 8)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(weights(5), path)
    with pytest.raises(CheckpointError) as error:
        with_vgg(path, 32)
    wanted = "the weights of a VGG-19 in torchvision's form"
    assert str(error.value) == f"{path}: expected {wanted}, got 3 of the convolutions features.N.weight"
    torch.save(weights() | {"features.5.bias": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError) as error:
        with_vgg(path, 32)
    assert str(error.value) == f"{path}: expected features.5.bias of shape (128,), got (3,)"
