"""What a network wants to be fed: the size of its images and their normalisation, from its own configuration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from torch import nn

from windfirm.errors import InputError, expected
from windfirm.models.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalized, normalizes


@dataclass(frozen=True)
class Intake:
    """``shape`` (c, h, w) of an image; ``mean`` and ``std`` of each channel, or one for all, in [0, 1] units.

    None is what is not known; ``mean`` and ``std`` are given together. Without them images go in as they are.
    """

    shape: tuple[int, int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise InputError(expected("normalisation", "mean and std together", "one of them"))
        if self.shape is not None and (len(self.shape) != 3 or min(self.shape) < 1):
            raise InputError(expected("input", "a size (c, h, w)", self.shape))
        if self.mean is None or self.std is None:
            return
        mean, std = self.mean, self.std
        channels = {1, self.shape[0]} if self.shape else {1, 3, len(mean)}
        known = mean and std and all(map(isfinite, mean + std)) and 0 <= min(mean) <= max(mean) <= 1 and min(std) > 0
        if len(mean) != len(std) or len(mean) not in channels or not known:
            wanted = "a mean in [0, 1], as pixels are, and a finite std above 0 for each channel"
            raise InputError(expected("normalisation", wanted, f"{mean} and {std}"))

    def to_json(self) -> dict[str, Any]:
        """Plain values; see from_json."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Intake":
        """What to_json wrote, or a configuration as timm keeps it (``input_size``, ``mean``, ``std``).

        Raises InputError for values that make no sense.
        """
        try:
            shape = values.get("shape", values.get("input_size"))
            mean, std = values.get("mean"), values.get("std")
            sizes = None if shape is None else tuple(map(int, shape))
            numbers = [None if part is None else tuple(map(float, part)) for part in (mean, std)]
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(
                expected("configuration", "input_size (c, h, w), mean and std", repr(values)[:80])
            ) from error
        return cls(sizes, *numbers)  # type: ignore[arg-type]


UNKNOWN = Intake()

#: What the networks of torchvision are made for, nearly all of them.
IMAGENET = Intake((3, 224, 224), IMAGENET_MEAN, IMAGENET_STD)

#: What the networks inside the package are made for; they normalise themselves.
CIFAR = Intake((3, 32, 32))


def own_intake(model: nn.Module) -> Intake:
    """What ``model.pretrained_cfg`` or ``model.default_cfg`` says, where timm's networks and their users keep it.

    Raises InputError for a configuration that makes no sense.
    """
    for name in ("pretrained_cfg", "default_cfg"):
        values = getattr(model, name, None)
        if isinstance(values, Mapping):
            return Intake.from_json(values)
    return UNKNOWN


def fed(model: nn.Module, asked: Intake, stated: Intake | None, usual: Intake) -> tuple[nn.Module, Intake]:
    """``model`` as a network that takes images in [0, 1], and what it wants to be fed.

    What the user ``asked`` for goes before the model's own configuration, and that before what is ``usual`` for
    networks like it. ``stated`` is what its checkpoint says: its normalisation belongs to the weights, and asking for
    another one is an error, as it is for a network that normalises by a layer of its own. Raises InputError.
    """
    own = stated or own_intake(model)
    if stated or normalizes(model):
        chosen = stated or UNKNOWN
        if asked.mean and (asked.mean, asked.std) != (chosen.mean, chosen.std):
            has = words(chosen) if chosen.mean else "its first layer's" if normalizes(model) else "none"
            raise InputError(expected("normalisation", f"the network's own ({has})", words(asked)))
    else:
        chosen = next((known for known in (asked, own, usual) if known.mean), UNKNOWN)
    intake = Intake(asked.shape or own.shape or usual.shape, chosen.mean, chosen.std)
    if intake.mean is None or intake.std is None:
        return model, intake
    return Normalized(model, intake.mean, intake.std).train(model.training), intake


def words(intake: Intake) -> str:
    """The normalisation as people read it."""
    if intake.mean is None:
        return "none of its own"
    mean, std = (",".join(f"{value:g}" for value in values or ()) for values in (intake.mean, intake.std))
    return f"mean {mean}, std {std}"
