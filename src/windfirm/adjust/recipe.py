"""How a network is trained, and what is told of it: plain values that a record can hold."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from windfirm.adjust.schedule import SCHEDULES
from windfirm.errors import InputError, expected

#: Which weights a training ends with: the last, or those of the epoch with most held-out images right.
KEEPS = ("last", "clean", "fgsm")

#: The modes of torch.compile; reduce-overhead replays a step as one CUDA graph.
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD with Nesterov momentum. ``lr`` is the peak rate; ``schedule`` names its course."""

    epochs: int = 50
    lr: float = 0.1
    batch: int = 128
    schedule: str = "onecycle"
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if not all(hasattr(number, "__index__") and number >= 1 for number in (self.epochs, self.batch)):
            raise InputError(
                expected("recipe", "epochs and batch, whole numbers of at least 1", f"{self.epochs} and {self.batch}")
            )
        if not (hasattr(self.lr, "__float__") and 0 < self.lr < math.inf):  # a text has none
            raise InputError(expected("recipe", "a learning rate above 0", self.lr))
        if not 0 <= self.momentum < 1:
            raise InputError(expected("recipe", "a momentum in [0, 1)", self.momentum))
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(expected("recipe", "a finite weight decay of at least 0", self.weight_decay))
        if self.schedule not in SCHEDULES:
            raise InputError(expected("recipe", f"a schedule out of {', '.join(SCHEDULES)}", self.schedule))


@dataclass(frozen=True)
class Extras:
    """What a training may do beside its recipe; as it is here, nothing.

    ``probe``: so many of the training images are held out, never trained on, and judged after every epoch (probe.py).
    ``keep``: a name out of KEEPS. ``ema``: the decay of the average of the weights that the training ends with
    (average.py), None for the weights themselves. ``compile``: a name out of MODES, None for none (compiling.py).
    """

    probe: int = 0
    keep: str = "last"
    ema: float | None = None
    compile: str | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.probe, "__index__") or self.probe < 0:
            raise InputError(expected("probe", "a number of images of at least 0", self.probe))
        if self.keep not in KEEPS:
            raise InputError(expected("keep", f"one of {', '.join(KEEPS)}", self.keep))
        if self.keep != "last" and not self.probe:
            raise InputError(expected(f"keep {self.keep}", "held-out images to choose by, a probe of some", 0))
        if self.ema is not None and not 0 < self.ema < 1:
            raise InputError(expected("ema", "a decay in (0, 1), such as 0.999", self.ema))
        if self.compile is not None and self.compile not in MODES:
            raise InputError(expected("compile", f"a mode out of {', '.join(MODES)}", self.compile))


NO_EXTRAS = Extras()


@dataclass(frozen=True)
class Epoch:
    """What one epoch was: its number from 1, mean loss, share of training images right, images a second, seconds.

    ``clean`` and ``fgsm``: how many of the held-out images were right after it, as they are and attacked; None without.
    """

    epoch: int
    loss: float
    accuracy: float
    images_per_second: float
    seconds: float
    clean: int | None = None
    fgsm: int | None = None


def kept_epoch(epochs: Sequence[Epoch], keep: str) -> Epoch:
    """The one whose weights are kept by ``keep`` out of KEEPS: the last, or the first of those with most right."""
    return epochs[-1] if keep == "last" else max(epochs, key=lambda epoch: getattr(epoch, keep))


#: Called after every step with (images seen in this run, images in all, images a second, loss of the last epoch).
Progress = Callable[[int, int, float, float], None]
