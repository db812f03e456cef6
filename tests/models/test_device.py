import pytest
import torch
from torch import nn

from windfirm.errors import InputError
from windfirm.models import device
from windfirm.models.device import placed, slow_in_bfloat16, type_of


def test_a_strided_depthwise_convolution_leaves_autocast_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bfloat16", lambda _: True)
    model = nn.Conv2d(4, 4, 3, stride=2, groups=4)
    images = torch.rand(1, 4, 8, 8)
    with slow_in_bfloat16(model, torch.device("cpu")):
        for enabled in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                assert model(images).dtype == torch.float32
                assert torch.is_autocast_enabled("cpu") == enabled


def test_a_device_that_is_not_here_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [placed(known) for known in (None, "cpu", torch.device("cpu"))] == [torch.device("cpu")] * 3
    for name in ("meta", "xpu", "hpu"):
        with pytest.raises(InputError) as error:
            placed(name)
        assert str(error.value) == f"device: expected one that PyTorch can use on this machine, got {name}"
    with pytest.raises(InputError) as error:
        placed("gpu")
    assert str(error.value) == "device: expected a device of PyTorch such as cpu or cuda:0, got 'gpu'"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError) as error:
        placed("cuda:9")
    assert str(error.value) == "device: expected a GPU that PyTorch can use, got none on this machine"


def test_the_type_of_images_is_that_of_the_weights_or_else_of_the_buffers() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1).double())
    model.register_buffer("mean", torch.zeros(1, 1, 1))
    model.scale = nn.Parameter(torch.ones((), dtype=torch.float16))
    assert type_of(model) == torch.float64
    assert type_of(nn.BatchNorm2d(1, affine=False).double()) == torch.float64
    assert type_of(nn.Flatten()) == torch.float32
