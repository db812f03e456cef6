"""How a stylizer learns, in two trainings of the one loop: first to see and to redraw, then to redraw in any style.

In the first the code is learnt: the decoder gives the image back, and a linear layer tells the classes, so that the
maps hold what an image shows and not its pixels alone. In the second the encoder stays as it is, and the decoder learns
that its images have the style's statistics at every resolution and the wanted code (Huang & Belongie, ICCV 2017,
section 6.1; here each term is measured against the size of the maps, so that weights do not depend on the encoder).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from windfirm import seeds
from windfirm.adjust.objective import Objective
from windfirm.adjust.train import Epoch, Progress, Recipe, train
from windfirm.data.images import Images
from windfirm.defend.adain import adain, moments
from windfirm.defend.stylizer import Stylizer

#: The highest learning rates of the two trainings.
SEE_LR, STYLE_LR = 0.05, 0.01

#: Images a step.
BATCH = 64

#: How much giving the image back counts beside telling the classes, in the first training.
GIVING_BACK = 1.0

#: How much style and giving an image back count beside the code, in the second.
STYLE, BACK = 2.0, 1.0


class Drawing(nn.Module):
    """A stylizer in training, with a linear layer that tells ``classes`` from the mean of the code."""

    def __init__(self, stylizer: Stylizer, classes: int) -> None:
        super().__init__()
        self.stylizer = stylizer
        self.head = nn.Linear(stylizer.channels, classes)

    def logits(self, code: Tensor) -> Tensor:
        """(b, classes) in float32."""
        found: Tensor = self.head(code.mean((2, 3)))
        return found.float()


def learn(
    stylizer: Stylizer,
    images: Images,
    *,
    epochs: int,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> list[Epoch]:
    """Train ``stylizer`` in place, ``epochs`` passes over ``images`` in each of the two trainings; it ends frozen.

    An encoder that asks for no gradient has learnt to see before: then there is the second training alone. ``progress``
    is called as in train, anew for each training. Raises what train raises.
    """
    fresh = any(parameter.requires_grad for parameter in stylizer.encoder.parameters())
    with seeds.default_stream(seed, "stylizer"):
        model = Drawing(stylizer, len(images.classes))
    stages: list[nn.Sequential] = [*stylizer.encoder.resolutions(), stylizer.decoder]

    def run(objective: Objective, lr: float, weight_decay: float) -> list[Epoch]:
        recipe = Recipe(epochs, lr, BATCH, weight_decay=weight_decay)
        own = seeds.number(seed, objective.name)
        data = images.images, images.labels
        return train(model, *data, recipe, seed=own, device=device, objective=objective, progress=progress)

    history: list[Epoch] = []
    for layers in stages if fresh else stages[-1:]:
        with_norms(layers)
    if fresh:
        history += run(SEE, SEE_LR, 1e-4)
        for layers in stages[:-1]:
            without_norms(layers)
        model.requires_grad_(False)
        stylizer.decoder.requires_grad_(True)
    history += run(RESTYLE, STYLE_LR, 0.0)
    without_norms(stylizer.decoder)
    stylizer.eval().requires_grad_(False)
    return history


def to_see(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cross-entropy, and the error of the images given back, in units of their variance."""
    assert isinstance(model, Drawing)
    stylizer = model.stylizer
    code = stylizer.code(images)
    logits = model.logits(code)
    drawn = stylizer.draw(code, *images.shape[-2:])
    return F.cross_entropy(logits, labels) + GIVING_BACK * _error(stylizer, drawn, images), logits


def to_style(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The code, the style at every resolution, and the error of the images given back."""
    assert isinstance(model, Drawing)
    stylizer = model.stylizer
    order = torch.randperm(len(images), generator=generator).to(images.device)
    with torch.no_grad():
        maps = stylizer.encoder(images)
        wanted = adain(maps[-1], maps[-1][order]).to(maps[-1].dtype)
    height, width = images.shape[-2:]
    found = stylizer.encoder(stylizer.draw(wanted, height, width))
    loss = _far(found[-1], wanted)
    for own, others in zip(found, maps, strict=True):
        loss = loss + STYLE * _style(own, others[order])
    loss = loss + BACK * _error(stylizer, stylizer.draw(maps[-1], height, width), images)
    return loss, model.logits(maps[-1])


def with_norms(layers: nn.Sequential) -> None:
    """Put a batch normalisation behind every convolution but one at the end, in place: SGD is slow without."""
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d) and layer.out_channels > 3:
            layers[i] = nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels))


def without_norms(layers: nn.Sequential) -> None:
    """Fold the normalisations into their convolutions, in place; in eval mode the layers compute what they did."""
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Sequential):
            layers[i] = fuse_conv_bn_eval(*layer.eval())


#: The two trainings in order.
SEE, RESTYLE = Objective("see", to_see), Objective("restyle", to_style)


def _error(stylizer: Stylizer, drawn: Tensor, images: Tensor) -> Tensor:
    return F.mse_loss(stylizer.encoder.normalize(drawn).float(), stylizer.encoder.normalize(images).float())


def _far(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared error, in units of the mean square of what is wanted."""
    wanted = wanted.float()
    return (found.float() - wanted).square().mean() / wanted.square().mean()


def _style(found: Tensor, style: Tensor) -> Tensor:
    """How far means and spreads of the channels are from the style's."""
    (mean, spread), (wanted_mean, wanted_spread) = moments(found), moments(style)
    size = wanted_mean.square().mean() + wanted_spread.square().mean()
    return ((mean - wanted_mean).square().mean() + (spread - wanted_spread).square().mean()) / size
