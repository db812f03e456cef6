"""MobileNetV2 for 32×32 images (Sandler et al., CVPR 2018, table 2, in the form that is customary for CIFAR).

Five halvings suit 224×224 pixels; at 32×32 the stem and the 24-channel stage keep stride 1, which leaves three. Two
more customs of the CIFAR form, both visible in its 2,296,922 parameters: the first block has an expansion convolution
although its factor is 1, and a block of stride 1 that changes the number of channels adds a 1×1 projection of its
input. The identity is added where the paper adds it: at stride 1 between equal numbers of channels.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.models.normalize import Normalize

#: Expansion factor, channels, blocks, stride of the first block.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Expand to many channels, filter each of them, project to few; no activation at the end."""

    def __init__(self, channels_in: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = nn.Conv2d(channels_in, wide, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(wide)
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(wide)
        self.project = nn.Conv2d(wide, channels, 1, bias=False)
        self.project_bn = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module | None = None
        if stride == 1:
            self.shortcut = nn.Identity() if channels_in == channels else _projection(channels_in, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(b, i, h, w)`` to ``(b, o, h/stride, w/stride)``."""
        branch = F.relu6(self.expand_bn(self.expand(x)))
        branch = F.relu6(self.depthwise_bn(self.depthwise(branch)))
        branch = self.project_bn(self.project(branch))
        out: Tensor = branch if self.shortcut is None else branch + self.shortcut(x)
        return out


class MobileNetV2(nn.Module):
    """17 inverted residuals between two convolutions, then an average and a linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.stem = nn.Conv2d(3, 32, 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(32)
        self.features = nn.Sequential(*_blocks(32))
        self.head = nn.Conv2d(320, 1280, 1, bias=False)
        self.head_bn = nn.BatchNorm2d(1280)
        self.linear = nn.Linear(1280, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights of the convolutions, as He et al. (ICCV 2015); the rest is as layers make it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(b, 3, 32, 32)`` in [0, 1] to logits ``(b, classes)``."""
        x = F.relu6(self.stem_bn(self.stem(self.normalize(x))))
        x = F.relu6(self.head_bn(self.head(self.features(x))))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def _blocks(channels_in: int) -> list[InvertedResidual]:
    blocks = []
    for expansion, channels, count, stride in STAGES:
        for i in range(count):
            blocks.append(InvertedResidual(channels_in, channels, expansion, stride if i == 0 else 1))
            channels_in = channels
    return blocks


def _projection(channels_in: int, channels: int) -> nn.Sequential:
    parts = OrderedDict[str, nn.Module]()
    parts["conv"] = nn.Conv2d(channels_in, channels, 1, bias=False)
    parts["bn"] = nn.BatchNorm2d(channels)
    return nn.Sequential(parts)


def mobilenet_v2(classes: int = 10) -> MobileNetV2:
    """2.30 M parameters, 91.15 M MACs at 32×32."""
    return MobileNetV2(classes)
