"""What cells have at hand: a device, images, the networks of the cells before them, and a way to keep their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from windfirm import data
from windfirm.adjust.objective import PLAIN, Objective
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.defend.registry import defence
from windfirm.models.checkpoint import save
from windfirm.models.cost import cost
from windfirm.models.intake import Intake
from windfirm.models.normalize import taken_apart
from windfirm.models.source import MODEL, Source, open_model
from windfirm.study.work import Task


@dataclass
class Bench:
    """``device``: where cells run. The last few sets of images that were read are kept."""

    device: torch.device
    kept: dict[tuple[Any, ...], Images] = field(default_factory=dict)

    def images(self, wanted: Mapping[str, Any], split: data.Split, source: Source | None = None) -> Images:
        """The images that a cell's settings name, of the size that the network takes. Raises what data.load raises."""
        shape = source.intake.shape if source else None
        key = (*sorted(wanted.items()), split, shape)
        if key not in self.kept:
            while len(self.kept) >= 4:
                del self.kept[next(iter(self.kept))]
            self.kept[key] = loaded(wanted, split, shape)
        return self.kept[key]


def opened(task: Task, role: str, name: str = MODEL) -> Source:
    """The network of an input, on the CPU, which takes images in [0, 1]. Raises StoreError for a damaged file."""
    return open_model(str(task.input(role, name)), factory=task.settings.get("factory"))


def loaded(wanted: Mapping[str, Any], split: data.Split, shape: tuple[int, int, int] | None) -> Images:
    """The images that a cell's settings name, brought to ``shape``. Raises what data.load raises."""
    resize = wanted.get("resize", "crop")
    return data.load(wanted["name"], split, shape=shape, resize=resize, limit=wanted["images"])


def intake(settings: Mapping[str, Any]) -> Intake:
    """How the network of a cell is fed, as far as the study says."""
    return Intake.from_json(settings.get("intake", {}))


def bare(source: Source) -> tuple[nn.Module, Callable[[nn.Module], nn.Module]]:
    """The network without the normalisation before it, whose names are its factory's own; and what puts it back."""
    return taken_apart(source.model)


def keep(task: Task, network: nn.Module, source: Source, images: Images, name: str = MODEL) -> dict[str, Any]:
    """Write ``network`` (bare, made from ``source``) as the cell's; what it costs, as facts."""
    notes = {"intake": source.intake.to_json()}  # nothing of the cell: equal networks are to be equal files, see twin
    save(network.cpu(), task.new(name), arch=source.arch, classes=source.classes, notes=notes)
    return costs(network, images)


def costs(network: nn.Module, images: Images) -> dict[str, Any]:
    """MACs for an image, and parameters."""
    found = cost(network, example(images))
    return {"macs": found.macs, "params": found.params}


def told(images: Images) -> dict[str, Any]:
    """Which images a cell saw, and whether files were unreadable, as facts."""
    return {"data": f"{images.name} ({images.left_out})" if images.left_out else images.name}


def example(images: Images) -> Tensor:
    """A batch of one image, (1, c, h, w)."""
    return to_float(images.images[:1]).contiguous()


def objective(wanted: Mapping[str, Any] | None, images: Images) -> Objective:
    """What training makes small: the plain loss, or that of a defence."""
    if wanted is None:
        return PLAIN
    options = {key: value for key, value in wanted.items() if key != "name"}
    return defence(wanted["name"], images.side, **options)
