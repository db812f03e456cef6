"""The network that redraws an image in the style of another: an encoder, AdaIN, and a decoder.

The encoder's maps are what AdaIN changes; the decoder makes an image of them again. Both are convolutions, so that any
size of image goes through; textures have the size of those that the pair was trained on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from windfirm.adjust.resume import weights_digest
from windfirm.defend.adain import adain
from windfirm.errors import CheckpointError, InputError, expected, first_line
from windfirm.files import atomic
from windfirm.models.normalize import CIFAR10_MEAN, CIFAR10_STD, Normalize

#: A coder's convolutions by their numbers of channels, in order; "down" halves the resolution.
Plan = Sequence[int | Literal["down"]]

#: The pair that the package brings, for images of 32×32: 128 channels of 8×8.
SMALL: Plan = (32, 32, "down", 64, 64, "down", 128)

#: Its weights.
SHIPPED = Path(__file__).parent / "weights" / "stylizer.safetensors"

#: The key of a file's metadata that makes it one of these.
KEY = "windfirm-stylizer"


class Encoder(nn.Module):
    """Images (b, 3, h, w) in [0, 1] to one tensor of maps a resolution.

    They are those after its first ReLU, where style is told; the last of all maps, the code, is the last of them. Sides
    that cannot be halved evenly are made longer first.
    """

    def __init__(self, plan: Plan, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.whole = 2 ** list(plan).count("down")
        self.normalize = Normalize(mean, std)
        self.stages = nn.ModuleList()
        channels = 3
        stage: list[nn.Module] = []
        for item in plan:
            if item == "down":
                self.stages.append(nn.Sequential(*stage))
                stage = [nn.MaxPool2d(2)]
            else:
                stage += [_conv(channels, item), nn.ReLU()]
                channels = item
        self.stages.append(nn.Sequential(*stage))

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps, the finest first."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.whole, 0, -height % self.whole), mode="replicate")
        x, maps = self.normalize(padded), []
        for stage in self.resolutions():
            first = next(i for i, layer in enumerate(stage) if isinstance(layer, nn.ReLU)) + 1
            maps.append(stage[:first](x))
            x = stage[first:](maps[-1])
        return [*maps[:-1], x]

    def resolutions(self) -> list[nn.Sequential]:
        """Its layers, those of one resolution together, the finest first."""
        return [stage for stage in self.stages if isinstance(stage, nn.Sequential)]


class Decoder(nn.Sequential):
    """The encoder's way back: a code to images (b, 3, h, w) in [0, 1]."""

    def __init__(self, plan: Plan) -> None:
        sizes: list[int] = [3, *(item for item in plan if item != "down")]
        layers: list[nn.Module] = []
        place = len(sizes) - 1
        for item in reversed(plan):
            if item == "down":
                layers.append(nn.Upsample(scale_factor=2))
            else:
                layers += [_conv(sizes[place], sizes[place - 1]), nn.ReLU()]
                place -= 1
        super().__init__(*layers[:-1], nn.Sigmoid())


class Stylizer(nn.Module):
    """Encoder and decoder. ``plan`` says how they are built; see SMALL."""

    def __init__(
        self, plan: Plan = SMALL, mean: Sequence[float] = CIFAR10_MEAN, std: Sequence[float] = CIFAR10_STD
    ) -> None:
        super().__init__()
        self.plan = tuple(plan)
        self.encoder = Encoder(plan, mean, std)
        self.decoder = Decoder(plan)

    @property
    def channels(self) -> int:
        """Of the code."""
        return [item for item in self.plan if item != "down"][-1]

    def code(self, images: Tensor) -> Tensor:
        """The code of ``images`` (b, 3, h, w) in [0, 1]."""
        require_rgb(images.shape[1])
        maps: list[Tensor] = self.encoder(images)
        return maps[-1]

    def draw(self, code: Tensor, height: int, width: int) -> Tensor:
        """The images (b, 3, height, width) in [0, 1] of a code."""
        images: Tensor = self.decoder(code)
        return images[..., :height, :width]

    def forward(self, images: Tensor, styles: Tensor, alpha: float = 1.0) -> Tensor:
        """``images`` (b, 3, h, w) in [0, 1] in the style of ``styles``, another batch of as many; the same shape.

        ``alpha`` in [0, 1] is how much of the style there is: 0 gives what the decoder makes of the images themselves.
        """
        content = self.code(images)
        return self._blend(content, self.code(styles), alpha, images)

    def within(self, images: Tensor, order: Tensor, alpha: float = 1.0) -> Tensor:
        """``images`` in the style of ``images[order]``: the same as forward, with half of the encoding."""
        content = self.code(images)
        return self._blend(content, content[order], alpha, images)

    def _blend(self, content: Tensor, style: Tensor, alpha: float, images: Tensor) -> Tensor:
        code = content.float().lerp(adain(content, style), alpha) if alpha else content
        drawn = self.draw(code.to(content.dtype), *images.shape[-2:])
        return drawn.float().contiguous(memory_format=torch.channels_last)


def require_rgb(channels: int) -> None:
    """Raise InputError for images of another number of channels: styles are those of colours."""
    if channels != 3:
        raise InputError(expected("stylizer", "RGB images", f"images of {channels} channel{'s' * (channels != 1)}"))


def _conv(channels_in: int, channels: int) -> nn.Conv2d:
    """3×3; the border is continued, so that no frame is drawn around the image."""
    return nn.Conv2d(channels_in, channels, 3, padding=1, padding_mode="replicate")


def save_stylizer(stylizer: Stylizer, path: Path, record: object) -> None:
    """Write weights (float16), plan, and ``record``, plain values that say how it was trained; whole or not at all."""
    tensors = {name: value.half().contiguous() for name, value in stylizer.state_dict().items()}
    about = json.dumps({"plan": stylizer.plan, "record": record}, sort_keys=True)
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, {KEY: about}))


def load_stylizer(path: Path | str | None = None) -> Stylizer:
    """The pair in ``path``, the package's own when None, frozen and in eval mode.

    Raises CheckpointError for a file that is missing, damaged, or not one that save_stylizer wrote.
    """
    path = SHIPPED if path is None else Path(path)
    wanted = "a file that `windfirm train-stylizer` wrote"
    if not path.is_file():
        raise CheckpointError(expected(str(path), wanted, "no such file"))
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        with torch.device("meta"):  # no fresh weights, which would draw random numbers
            stylizer = Stylizer(about["plan"])
        stylizer.load_state_dict(tensors, assign=True)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        got = f"another one ({first_line(error)})"
        raise CheckpointError(expected(str(path), wanted, got)) from error
    return stylizer.eval().requires_grad_(False)


def told(path: Path | str | None, stylizer: Stylizer) -> dict[str, str]:
    """What a record needs to name the pair: the file, and what was in it."""
    return {"stylizer": "package"} if path is None else {"stylizer": str(path), "weights": weights_digest(stylizer)}


def check_alpha(name: str, alpha: float) -> None:
    """Raise InputError, which starts with ``name``, unless ``alpha``, the share of the style, is in [0, 1]."""
    if not 0 <= alpha <= 1:
        raise InputError(expected(name, "an alpha in [0, 1]", alpha))
