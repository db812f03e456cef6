"""Snow, frost and fog."""

import torch
from torch import Tensor

from windfirm.attack.corruptions.resample import motion, zoom
from windfirm.attack.corruptions.scene import Scene

#: The share of red, green and blue in the brightness of a colour (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def snow(
    scene: Scene,
    mean: float,
    spread: float,
    flake: float,
    threshold: float,
    radius: int,
    sigma: float,
    clear: float,
) -> Tensor:
    """Flakes that fall, and a paler picture behind them.

    Normal noise enlarged by ``flake``, with all below ``threshold`` taken away, is blurred along the way of the fall,
    and added once upright and once upside down; the picture keeps a share of ``clear`` of its own colours.
    """
    noise = mean + spread * scene.normal("flakes", 1, *scene.size)
    flakes = zoom(noise, max(1.0, flake * scene.scale))
    flakes = torch.where(flakes < threshold, 0, flakes).clamp(0, 1)
    angle = 90 * scene.uniform("angle", 1)[:, 0] - 135
    flakes = motion(flakes, scene.pixels(radius), sigma * scene.scale, angle)
    luma = (scene.images * scene.images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    pale = torch.maximum(scene.images, 1.5 * luma + 0.5)
    return clear * scene.images + (1 - clear) * pale + flakes + flakes.flip(2, 3)


def frost(scene: Scene, keep: float, add: float) -> Tensor:
    """Ice on the pane: ``keep`` times the image and ``add`` times a texture of bright branches.

    The official files use photographs of frost. They are not ours to give away, so the texture is drawn: the crests of
    a fractal, bluish white on grey, as rough as makes frost about as hard as snow. Do not compare it with published
    figures.
    """
    height, width = scene.size
    crests = 1 - (2 * _fractal(scene, decay=1.5) - 1).abs()
    ice = (0.2 + 0.8 * crests[:, None, :height, :width] ** 3) * scene.images.new_tensor([0.85, 0.93, 1.0])[
        :, None, None
    ]
    return keep * scene.images + add * ice


def fog(scene: Scene, density: float, decay: float) -> Tensor:
    """A fractal haze of this ``density``, with the image darkened so that its brightest value stays."""
    height, width = scene.size
    haze = _fractal(scene, decay)[:, None, :height, :width]
    brightest = scene.images.amax((1, 2, 3), keepdim=True)
    return (scene.images + density * haze) * brightest / (brightest + density)


def _fractal(scene: Scene, decay: float) -> Tensor:
    side = 1 << (max(scene.size) - 1).bit_length()
    noise = 2 * scene.uniform("fractal", side, side) - 1
    return plasma(noise, decay).to(scene.images)


def plasma(noise: Tensor, decay: float) -> Tensor:
    """Heights in [0, 1] of a fractal landscape that joins itself at its edges, (b, n, n) for n a power of two.

    Diamond-square (Fournier, Fussell & Carpenter, CACM 1982): a new point is the mean of its four neighbours, plus its
    own ``noise`` in [-1, 1), ``decay`` squared times less of it each time that the grid becomes twice as fine.
    """
    heights = torch.zeros_like(noise)
    step, size = noise.shape[-1], 1.0
    while step > 1:
        half = step // 2
        corners = heights[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        centres = (pairs + pairs.roll(-1, 2)) / 4 + size * noise[:, half::step, half::step]
        beside = (corners + corners.roll(-1, 2) + centres + centres.roll(1, 1)) / 4
        below = (corners + corners.roll(-1, 1) + centres + centres.roll(1, 2)) / 4
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = beside + size * noise[:, ::step, half::step]
        heights[:, half::step, ::step] = below + size * noise[:, half::step, ::step]
        step, size = half, size / decay**2
    heights = heights - heights.amin((1, 2), keepdim=True)
    return heights / heights.amax((1, 2), keepdim=True).clamp(min=torch.finfo(noise.dtype).tiny)
