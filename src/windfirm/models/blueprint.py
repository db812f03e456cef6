"""What turns a fresh network from its factory into the pruned one, in plain values that a checkpoint can store."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from windfirm.errors import CutError, expected, first_line
from windfirm.models.meta import named_tensors, on_meta
from windfirm.models.shrink import Kept, compose, restate, shrink

#: A number, or several, that a module holds because its tensors have that size.
Sizes = int | list[int]

V = TypeVar("V")

_BLUEPRINT = "_windfirm_blueprint"
_ORIGIN = "_windfirm_origin"


class Skip(nn.Module):
    """Stands where a layer was that left: hands on its first argument."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The first of all arguments: as it came, or, where a gradient goes back through it, a copy.

        What follows may be in place, and would overwrite what the layer before needs for its own gradient.
        """
        first = _first(args, kwargs)
        wanted = torch.is_grad_enabled() and isinstance(first, Tensor) and first.requires_grad
        return first.clone() if wanted else first


class Silence(nn.Module):
    """Stands where a residual branch ended: zeros shaped like its input."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Zeros of the shape of the first of all arguments."""
        return torch.zeros_like(_first(args, kwargs))  # in memory of its own: what follows may be in place


class Zero(nn.Module):
    """Stands where a residual branch ended that brings its input to another shape: one zero, for every value."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """A zero without axes, of the type of the first of all arguments."""
        return _first(args, kwargs).new_zeros(())


def _first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    first: Tensor = next(iter((*args, *kwargs.values())))
    return first


#: What may stand in for a module, by the word that a blueprint uses for it.
STAND_INS: dict[str, type[nn.Module]] = {"skip": Skip, "silence": Silence, "zero": Zero}


@dataclass(frozen=True)
class Blueprint:
    """``replaced``: path of a module → its stand-in; ``kept``: what stays of each tensor; ``attributes``: path of a
    module's attribute → its new value. They are applied in this order."""

    kept: Kept = field(default_factory=dict)
    attributes: dict[str, Sizes] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; see from_json."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Blueprint":
        """The inverse of to_json, also of what JSON makes of it.

        Raises KeyError, TypeError, ValueError or AttributeError for others.
        """
        kept = {
            name: {int(axis): [_whole(i) for i in indices] for axis, indices in axes.items()}
            for name, axes in values["kept"].items()
        }
        attributes: dict[str, Sizes] = {
            path: [_whole(v) for v in value] if isinstance(value, list) else _whole(value)
            for path, value in values["attributes"].items()
        }
        replaced = {path: str(word) for path, word in values["replaced"].items()}
        return cls(kept, attributes, replaced)

    def __bool__(self) -> bool:
        return bool(self.kept or self.attributes or self.replaced)


def apply(model: nn.Module, blueprint: Blueprint) -> None:
    """Make ``model`` smaller in place and remember how (see blueprint_of, origin_of).

    Raises CutError, before anything is changed, for a module, tensor, axis, index or attribute that the network does
    not have.
    """
    if not blueprint:
        return
    origin = _origin(model)
    for path, word in blueprint.replaced.items():
        if not _has(model, path):
            raise CutError(expected(path, "a module of the network", "none of that name"))
        if word not in STAND_INS:
            raise CutError(expected(path, f"{' or '.join(STAND_INS)} in its place", word))
    for path, value in blueprint.attributes.items():
        _read(model, path, value)
    before = blueprint_of(model)
    leaving = _replaced_under_every_name(model, blueprint.replaced)
    kept = _outside(_under_every_name(model, blueprint.kept), leaving)
    replaced = _outside(leaving, leaving)
    attributes = _outside(blueprint.attributes, leaving)
    shrink(model, kept)
    stand_in(model, replaced)
    for path, value in attributes.items():
        set_sizes(model, path, value)
    gone = {**before.replaced, **replaced}
    total = Blueprint(
        _outside(compose(before.kept, kept), gone),
        _outside({**before.attributes, **attributes}, gone),
        _outside(gone, gone),
    )
    # Not through Module.__setattr__, so that the memory of the whole network does not become a part of the small one.
    object.__setattr__(model, _BLUEPRINT, total)
    object.__setattr__(model, _ORIGIN, origin)


def stand_in(model: nn.Module, replaced: Mapping[str, str]) -> None:
    """Put stand-ins in the place of modules, under all their names: path → word."""
    for path, word in _replaced_under_every_name(model, replaced).items():
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, STAND_INS[word]())


def blueprint_of(model: nn.Module) -> Blueprint:
    """How ``model`` differs from what its factory made; empty for a network that was never cut."""
    blueprint: Blueprint = model.__dict__.get(_BLUEPRINT) or Blueprint()
    return blueprint


def origin_of(model: nn.Module) -> nn.Module | None:
    """A copy of the network before its first cut, on the meta device; None for a network that was never cut."""
    origin: nn.Module | None = model.__dict__.get(_ORIGIN)
    return origin


def is_size(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, also one of numpy's, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def set_sizes(model: nn.Module, path: str, value: Sizes) -> None:
    """Give the attribute at ``path`` a new value, a number, or as many in what holds the old ones (list, tuple …)."""
    owner, name, old = _read(model, path, value)
    setattr(owner, name, type(old)(value) if isinstance(value, list) else value)
    if name == "groups":
        restate(owner)  # the widths of a convolution depend on how many it has


def _origin(model: nn.Module) -> nn.Module:
    """What is remembered of the whole network, or, before its first cut, a fresh memory of it."""
    if (origin := origin_of(model)) is not None:
        return origin
    try:
        return on_meta(model)
    except Exception as error:
        raise CutError(expected(type(model).__name__, "a network that can be copied", first_line(error))) from error


def _read(model: nn.Module, path: str, value: Sizes) -> tuple[Any, str, Any]:
    parent, _, name = path.rpartition(".")
    try:
        owner = model.get_submodule(parent)
        old = getattr(owner, name)
    except AttributeError:
        raise CutError(expected(path, "an attribute of the network", "none of that name")) from None
    if isinstance(inspect.getattr_static(owner, name, None), property):
        raise CutError(expected(path, "an attribute that can be set", "a property"))
    if isinstance(value, list):
        fits = type(old) in (list, tuple, torch.Size) and len(old) == len(value) and all(map(is_size, old))
    else:  # or None, where the first forward pass will take it down
        fits = is_size(old) or inspect.getattr_static(owner, name, 0) is None
    if not fits:
        raise CutError(expected(path, f"a size like {value}", repr(old)[:60]))
    return owner, name, old


def _under_every_name(model: nn.Module, kept: Mapping[str, Mapping[int, list[int]]]) -> Kept:
    """``kept`` with an entry for each name of a shared tensor: the module under one of them may leave later."""
    aliases = _aliases(named_tensors(model))
    total: Kept = {}
    for name, axes in kept.items():
        for alias in aliases.get(name, [name]):  # a name that the network does not have is for shrink to refuse
            known = total.setdefault(alias, {})
            for axis, indices in axes.items():
                if known.setdefault(axis, list(indices)) != list(indices):
                    raise CutError(expected(alias, f"the same indices under all its names, {known[axis]}", indices))
    return total


def _replaced_under_every_name(model: nn.Module, replaced: Mapping[str, str]) -> dict[str, str]:
    """``replaced`` with an entry for each name of a shared module, which else would stay under the others."""
    aliases = _aliases(model.named_modules(remove_duplicate=False))
    total: dict[str, str] = {}
    for path, word in replaced.items():
        for alias in aliases.get(path, [path]):
            if total.setdefault(alias, word) != word:
                raise CutError(expected(path, f"{total[alias]} in its place, as under its other names", word))
    return total


def _aliases(named: Iterable[tuple[str, object]]) -> dict[str, list[str]]:
    """For every name all those of the same thing."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, entry in named:
        names[id(entry)].append(name)
    return {name: same for same in names.values() for name in same}


def _has(model: nn.Module, path: str) -> bool:
    try:
        return bool(path) and model.get_submodule(path) is not None
    except AttributeError:
        return False


def _inside(path: str, replaced: Mapping[str, str]) -> bool:
    """Whether ``path`` lies below a module that is gone."""
    return any(path.startswith(f"{gone}.") for gone in replaced)


def _outside(values: Mapping[str, V], replaced: Mapping[str, str]) -> dict[str, V]:
    return {path: value for path, value in values.items() if not _inside(path, replaced)}


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, got {value!r}")
    return value
