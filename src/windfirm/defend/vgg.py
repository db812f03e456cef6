"""VGG-19 (Simonyan & Zisserman, ICLR 2015) as the encoder of a stylizer, from weights that the user has.

Style transfer is mostly done with it, because its maps tell textures apart as people do. Its weights are too large to
come with the package; any state dict in torchvision's form will do.
"""

import re
from pathlib import Path

from windfirm.defend.stylizer import Plan, Stylizer
from windfirm.errors import CheckpointError, expected
from windfirm.models.foreign import read_weights
from windfirm.models.normalize import IMAGENET_MEAN, IMAGENET_STD

#: Up to relu3_1, for small images, and to relu4_1, the paper's choice: a code of an eighth of the side.
TO_RELU3: Plan = (64, 64, "down", 128, 128, "down", 256)
TO_RELU4: Plan = (*TO_RELU3, 256, 256, 256, "down", 512)

#: From this side on images are coded at an eighth of their side.
LARGE = 64


def with_vgg(path: Path | str, side: int) -> Stylizer:
    """A stylizer for images of this side whose encoder has the weights in ``path``, frozen; the decoder is fresh.

    Raises CheckpointError for a file that cannot be read or has no convolutions of VGG-19.
    """
    stylizer = Stylizer(TO_RELU4 if side >= LARGE else TO_RELU3, IMAGENET_MEAN, IMAGENET_STD)
    tensors = read_weights(path)
    numbers = sorted(int(found[1]) for name in tensors if (found := re.fullmatch(r"features\.(\d+)\.weight", name)))
    own = stylizer.encoder.state_dict()
    names = [name.removesuffix(".weight") for name in own if name.endswith(".weight")]
    if len(numbers) < len(names):
        got = f"{len(numbers)} of the convolutions features.N.weight"
        raise CheckpointError(expected(str(path), "the weights of a VGG-19 in torchvision's form", got))
    for name, number in zip(names, numbers, strict=False):
        for kind in ("weight", "bias"):
            given = tensors.get(f"features.{number}.{kind}")
            if given is None or given.shape != own[f"{name}.{kind}"].shape:
                wanted = f"features.{number}.{kind} of shape {tuple(own[f'{name}.{kind}'].shape)}"
                got = "none" if given is None else str(tuple(given.shape))
                raise CheckpointError(expected(str(path), wanted, got))
            own[f"{name}.{kind}"] = given.float()
    stylizer.encoder.load_state_dict(own)
    stylizer.encoder.requires_grad_(False)
    return stylizer
