"""VGG-16 with batch normalisation for 32×32 images (Simonyan & Zisserman, ICLR 2015, configuration D).

Five halvings take 32×32 to 1×1, so the three large linear layers of the ImageNet form give way to a single one.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from windfirm.models.normalize import Normalize

#: Channels of the convolutions in each of the five stages; a stage ends in a 2×2 maximum.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """13 convolutions and a linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.features = nn.Sequential(_layers())
        self.linear = nn.Linear(STAGES[-1][-1], classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights of the convolutions, as He et al. (ICCV 2015); the rest is as layers make it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(b, 3, 32, 32)`` in [0, 1] to logits ``(b, classes)``."""
        x = self.features(self.normalize(x))
        logits: Tensor = self.linear(torch.flatten(x, 1))
        return logits


def _layers() -> OrderedDict[str, nn.Module]:
    """Named as in the paper's own files: stage first, then the place within the stage (``conv3_1``)."""
    layers = OrderedDict[str, nn.Module]()
    channels_in = 3
    for i, stage in enumerate(STAGES, 1):
        for j, channels in enumerate(stage, 1):
            layers[f"conv{i}_{j}"] = nn.Conv2d(channels_in, channels, 3, 1, 1, bias=False)
            layers[f"bn{i}_{j}"] = nn.BatchNorm2d(channels)
            layers[f"relu{i}_{j}"] = nn.ReLU()
            channels_in = channels
        layers[f"pool{i}"] = nn.MaxPool2d(2)
    return layers


def vgg16_bn(classes: int = 10) -> VGG:
    """14.72 M parameters, 313.20 M MACs at 32×32."""
    return VGG(classes)
