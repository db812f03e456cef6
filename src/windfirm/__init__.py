"""Windfirm: prune convolutional networks, prove the cut, and measure what it did to robustness.

The public names are below; each is loaded when it is first used, so importing windfirm is instant. Four of them
(``prune``, ``adjust``, ``attack``, ``evaluate``) share their name with the room they live in: ``windfirm.prune`` is the
function, and what the room's modules hold is imported with ``from windfirm.prune.x import …``.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name → (module, attribute).
PUBLIC = {
    "structures": ("windfirm.prune.structure", "structures"),
    "criterion": ("windfirm.prune.criteria.base", "criterion"),
    "score": ("windfirm.prune.criteria", "score"),
    "scores": ("windfirm.prune.criteria", "scores"),
    "select": ("windfirm.prune.select", "select"),
    "cut": ("windfirm.prune.cut", "cut"),
    "prune": ("windfirm.prune.schedule", "prune"),
    "adjust": ("windfirm.adjust.adjustments", "adjust"),
    "attack": ("windfirm.evaluate.api", "attack"),
    "perturb": ("windfirm.evaluate.api", "perturb"),
    "evaluate": ("windfirm.evaluate.loop", "evaluate"),
    "compare": ("windfirm.study.api", "compare"),
    "build": ("windfirm.models.registry", "build"),
    "cost": ("windfirm.models.cost", "cost"),
    "expand": ("windfirm.models.expand", "expand"),
    "save": ("windfirm.models.checkpoint", "save"),
    "load": ("windfirm.models.checkpoint", "load"),
    "load_weights": ("windfirm.models.foreign", "load_weights"),
    "WindfirmError": ("windfirm.errors", "WindfirmError"),
}

__all__ = sorted([*PUBLIC, "__version__"])

if TYPE_CHECKING:  # each under its name, so that type checkers take it for public
    from windfirm.adjust.adjustments import adjust as adjust
    from windfirm.errors import WindfirmError as WindfirmError
    from windfirm.evaluate.api import attack as attack
    from windfirm.evaluate.api import perturb as perturb
    from windfirm.evaluate.loop import evaluate as evaluate
    from windfirm.models.checkpoint import load as load
    from windfirm.models.checkpoint import save as save
    from windfirm.models.cost import cost as cost
    from windfirm.models.expand import expand as expand
    from windfirm.models.foreign import load_weights as load_weights
    from windfirm.models.registry import build as build
    from windfirm.prune.criteria import score as score
    from windfirm.prune.criteria import scores as scores
    from windfirm.prune.criteria.base import criterion as criterion
    from windfirm.prune.cut import cut as cut
    from windfirm.prune.schedule import prune as prune
    from windfirm.prune.select import select as select
    from windfirm.prune.structure import structures as structures
    from windfirm.study.api import compare as compare


class _Windfirm(ModuleType):
    """The package itself, with public names that win over the rooms of the same name."""

    def __getattribute__(self, name: str) -> Any:
        if name in PUBLIC:
            module, attribute = PUBLIC[name]
            return getattr(importlib.import_module(module), attribute)
        return super().__getattribute__(name)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _Windfirm
