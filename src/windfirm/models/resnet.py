"""ResNet-20/32/44/56/110 for 32×32 images (He et al., CVPR 2016, section 4.2).

Three stages of n blocks with 16, 32 and 64 channels; depth = 6n + 2. The shortcut has no parameters (option A): where
the stage changes, every second pixel is taken and the missing channels are zeros, half of them on each side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.models.normalize import Normalize


class Shortcut(nn.Module):
    """Every ``stride``-th pixel, and channels of zeros around. Shape ``(b, i, h, w)`` to ``(b, o, h/s, w/s)``.

    The zeros are buffers, so that pruning can shrink them like any other tensor; a number in a call to ``pad`` could
    not be changed from outside. They are not part of the state dict.
    """

    before: Tensor
    after: Tensor

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("before", torch.zeros(1, before, 1, 1), persistent=False)
        self.register_buffer("after", torch.zeros(1, after, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        b, _, h, w = x.shape
        return torch.cat(
            (self.before.to(x.dtype).expand(b, -1, h, w), x, self.after.to(x.dtype).expand(b, -1, h, w)), 1
        )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: ``relu(f(x) + x)``. Shape ``(b, i, h, w)`` to ``(b, o, h/s, w/s)``."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            before = (channels - channels_in) // 2
            self.shortcut = Shortcut(before, channels - channels_in - before, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return F.relu(branch + self.shortcut(x))


class ResNet(nn.Module):
    """A CIFAR ResNet of ``6 * blocks + 2`` layers. Shape ``(b, 3, 32, 32)`` in [0, 1] to logits ``(b, classes)``."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights of all layers, as He et al. (ICCV 2015); the rest is as layers make it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.normalize(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels_in, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


def resnet20(classes: int = 10) -> ResNet:
    """0.27 M parameters, 40.55 M MACs at 32×32."""
    return ResNet(3, classes)


def resnet32(classes: int = 10) -> ResNet:
    """0.46 M parameters."""
    return ResNet(5, classes)


def resnet44(classes: int = 10) -> ResNet:
    """0.66 M parameters."""
    return ResNet(7, classes)


def resnet56(classes: int = 10) -> ResNet:
    """0.85 M parameters, 125.49 M MACs at 32×32."""
    return ResNet(9, classes)


def resnet110(classes: int = 10) -> ResNet:
    """1.73 M parameters."""
    return ResNet(18, classes)
