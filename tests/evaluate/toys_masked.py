"""A linear network that is right about nearly all of its images, and networks that hide its gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.data.images import Images

CLASSES, SIDE = 4, 8


def templates() -> Tensor:
    """One pattern of -1 and 1 for each class, (classes, 3·side²)."""
    return torch.randint(0, 2, (CLASSES, 3 * SIDE**2), generator=torch.Generator().manual_seed(0)).float() * 2 - 1


def patterns(count: int = 120) -> Images:
    """Grey images with the pattern of their class, 3/255 strong, under noise of 20/255."""
    labels = torch.arange(count) % CLASSES
    noise = torch.randn(count, 3 * SIDE**2, generator=torch.Generator().manual_seed(1))
    pixels = (127 + 3 * templates()[labels] + 20 * noise).round().clamp(0, 255)
    return Images(pixels.to(torch.uint8).view(-1, 3, SIDE, SIDE), labels, ("a", "b", "c", "d"), "patterns/test")


def plain() -> nn.Module:
    """The matched filter; margins of a few nats."""
    linear = nn.Linear(3 * SIDE**2, CLASSES)
    with torch.no_grad():
        linear.weight.copy_(2 * templates())
        linear.bias.copy_(-templates().sum(1))  # grey is the zero of every filter
    return nn.Sequential(nn.Flatten(), linear).eval()


class Then(nn.Module):
    """A network and something done to its outputs, or to its images."""

    def __init__(self, before: nn.Module | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.before, self.network, self.after = before or nn.Identity(), plain(), after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.after(self.network(self.before(x)))
        return result


class Quantised(nn.Module):
    """Rounds to quarters; the gradient is zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 4).round() / 4


class Scaled(nn.Module):
    """Times a thousand: softmax rounds to zero and one."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1_000


class Ripple(nn.Module):
    """A wave, too low to be seen, that turns the gradient this way and that."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.01 * torch.sin(200 * x)


class Pretended(nn.Module):
    """Gives back what comes in, and backwards the gradient times ``sign``, or times noise where that is 0."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
        pretended = self.sign * x + (noise * x if self.sign == 0 else 0)
        return x.detach() + pretended - pretended.detach()


class AlwaysDropout(nn.Module):
    """Dropout that eval() does not reach."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.1, training=True)


class OfItsBatch(nn.Module):
    """Normalised by the images that share the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Stubborn(nn.Dropout):
    """Stays in training mode."""

    def train(self, mode: bool = True) -> "Stubborn":
        super().train(True)
        return self
