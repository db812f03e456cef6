"""What code keeps from call to call outside of a network, and should not keep of a run that only looks at it."""

import functools
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

#: What functools.cache and functools.lru_cache make.
CACHE = type(functools.cache(lambda: None))

#: The folders of packages that are not the user's own.
INSTALLED = frozenset({"site-packages", "dist-packages"})

#: PyTorch and Python, whose classes hold nothing of a network's.
OTHERS = frozenset({"torch", *sys.stdlib_module_names})


@contextmanager
def dry_run(model: nn.Module) -> Iterator[None]:
    """Inside, what ``model``'s code makes has no data; afterwards nothing is left of it, see untouched."""
    with torch.device("meta"), untouched(model):
        yield


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Afterwards no tensor from inside is left in the classes of ``model``'s modules, nor in the files that hold them.

    Names, dicts and lists there that were given one have what they had. A cache (functools.cache, functools.lru_cache)
    that was added to is emptied, as nobody can tell by what: it fills again.
    """
    owners = _owners(model)
    names = [dict(vars(owner)) for owner in owners]
    own = [value for known in names for name, value in known.items() if not name.startswith("__")]
    containers = [(entry, entry.copy()) for entry in _containers(own, set())]
    functions: list[Any] = [value.__func__ if isinstance(value, staticmethod | classmethod) else value for value in own]
    caches = [(entry, entry.cache_info().misses) for entry in functions if type(entry) is CACHE]
    try:
        yield
    finally:
        for entry, before in containers:
            if _gained(_pairs(entry), _pairs(before)):
                entry.clear()
                (entry.update if isinstance(entry, dict) else entry.extend)(before)
        for cache, misses in caches:
            if cache.cache_info().misses != misses:
                cache.cache_clear()
        for owner, known in zip(owners, names, strict=True):
            for name in _gained(dict(vars(owner)), known):
                setattr(owner, name, known[name]) if name in known else delattr(owner, name)


def _owners(model: nn.Module) -> list[type | ModuleType]:
    """The classes of its modules, but for those of PyTorch and Python, and the files that they are made from."""
    kinds = {kind for module in model.modules() for kind in type(module).__mro__}
    kinds = {kind for kind in kinds if kind.__module__.partition(".")[0] not in OTHERS}
    return [*kinds, *_files(kind.__module__ for kind in kinds)]


def _files(names: Iterable[str]) -> list[ModuleType]:
    """The modules of these names, and of the user's own those in the same folder that they bring something from."""
    found: dict[str, ModuleType] = {}
    wanted = [*names]
    while wanted:
        name = wanted.pop()
        if name in found or name not in sys.modules:
            continue
        module = found[name] = sys.modules[name]
        place = _own_file(name)
        if place is None:
            continue
        for value in [*vars(module).values()]:
            other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            file = _own_file(other) if isinstance(other, str) else None
            if file and file.is_relative_to(place.parent):
                wanted.append(str(other))
    return [*found.values()]


def _own_file(name: str) -> Path | None:
    """Where a module of the user's own lies, None for those of Python and of packages that were installed."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str) or name.partition(".")[0] in OTHERS or INSTALLED & {*Path(file).parts}:
        return None
    return Path(file)


def _containers(values: Iterable[Any], seen: set[int]) -> Iterator[Any]:
    """The dicts and lists among values and in one another; none of other kinds, which may do more than hold."""
    for value in values:
        if type(value) in (dict, list, OrderedDict, defaultdict) and id(value) not in seen:
            seen.add(id(value))
            yield value
            yield from _containers(_pairs(value).values(), seen)


def _pairs(container: Any) -> dict[Any, Any]:
    return container if isinstance(container, dict) else dict(enumerate(container))


def _gained(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> list[Any]:
    """The keys whose value is another than before, and a tensor or one that holds tensors."""
    new = [key for key, value in now.items() if value is not before.get(key)]
    return [key for key in new if any(isinstance(leaf, Tensor) for leaf in tree_leaves(now[key]))]
