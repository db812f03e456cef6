import pytest
import torch
from torch import nn

from windfirm.models import device
from windfirm.models.device import slow_in_bfloat16


def test_a_strided_depthwise_convolution_leaves_autocast_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bfloat16", lambda _: True)
    model = nn.Conv2d(4, 4, 3, stride=2, groups=4)
    images = torch.rand(1, 4, 8, 8)
    with slow_in_bfloat16(model, torch.device("cpu")):
        for enabled in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                assert model(images).dtype == torch.float32
                assert torch.is_autocast_enabled("cpu") == enabled
