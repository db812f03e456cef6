"""Changes of light and colour, stretching, coarse pixels and JPEG."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from windfirm.attack.colour import hsv_to_rgb, rgb_to_hsv
from windfirm.attack.corruptions.resample import blur, sample
from windfirm.attack.corruptions.scene import Scene


def brightness(scene: Scene, more: float) -> Tensor:
    """``more`` is added to the value of each colour (the V of HSV)."""
    hue, saturation, value = rgb_to_hsv(scene.images).unbind(1)
    return hsv_to_rgb(torch.stack((hue, saturation, (value + more).clamp(0, 1)), 1))


def saturate(scene: Scene, factor: float, more: float) -> Tensor:
    """The saturation of each colour times ``factor``, and ``more``."""
    hue, saturation, value = rgb_to_hsv(scene.images).unbind(1)
    return hsv_to_rgb(torch.stack((hue, (factor * saturation + more).clamp(0, 1), value), 1))


def contrast(scene: Scene, factor: float) -> Tensor:
    """Each channel drawn towards its mean: a share of ``factor`` of its differences is left."""
    means = scene.images.mean((2, 3), keepdim=True)
    return means + factor * (scene.images - means)


def elastic(scene: Scene, strength: float, sigma: float, affine: float) -> Tensor:
    """A random affine map, then a smooth random field of displacements; lengths are shares of the side.

    ``affine`` moves three corners of the middle by up to that much. The field is uniform noise in [-1, 1), blurred by
    ``sigma`` and times ``strength``.
    """
    side = 32 * scene.scale
    height, width = scene.size
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    x, y = width // 2, height // 2
    arm = min(height, width) // 3
    before = torch.tensor([[x + arm, y + arm, 1], [x + arm, y - arm, 1], [x - arm, y - arm, 1]], dtype=torch.float64)
    after = before.repeat(len(scene.images), 1, 1)
    after[:, :, :2] += affine * side * (2 * scene.uniform("affine", 3, 2) - 1)
    back = torch.linalg.solve(after, before.expand_as(after))  # takes each place to where its pixel comes from
    places = torch.stack((columns, rows, torch.ones_like(rows)), -1).flatten(0, 1) @ back
    from_x, from_y = places[..., :2].view(-1, height, width, 2).unbind(-1)
    images = sample(scene.images, from_y, from_x, "mirror")
    if strength == 0:
        return images
    noise = 2 * scene.uniform("field", 2, height, width) - 1
    right, down = (strength * side * blur(noise, sigma * side, truncate=3.0, border="edge")).unbind(1)
    return sample(images, rows + down, columns + right, "edge")


def pixelate(scene: Scene, share: float) -> Tensor:
    """Reduced to ``share`` of the side and enlarged again, both by Pillow's box filter."""
    height, width = scene.size
    coarse = max(1, int(width * share)), max(1, int(height * share))
    box = Image.Resampling.BOX
    return _each(scene.images, lambda image: image.resize(coarse, box).resize((width, height), box))


def jpeg(scene: Scene, quality: int) -> Tensor:
    """Written as a JPEG file of this ``quality`` and read back, by Pillow."""

    def through_a_file(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(scene.images, through_a_file)


def _each(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """``change`` on every image, with values rounded to the 256 of a pixel."""
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in pixels])
    return torch.from_numpy(changed).to(images).permute(0, 3, 1, 2) / 255
