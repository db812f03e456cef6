"""Images and labels, by name: CIFAR-10 from the store, the subset inside the package, folders of images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from windfirm.data import embedded, store
from windfirm.data.cifar10 import ARRAYS, CIFAR10
from windfirm.data.fetching import fetch_into
from windfirm.data.folder import load_folder
from windfirm.data.images import Images
from windfirm.errors import DataError, InputError, expected

__all__ = ["Available", "Images", "Split", "available", "fetch", "load", "verify"]

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Available:
    """A data set that goes by a name: where it is, its state in a few words, and how many images it has in all."""

    name: str
    where: Path
    state: str
    images: int


def load(name: str, split: Split) -> Images:
    """A data set by name: ``cifar10`` (fetched before), ``embedded`` (in the package), or the path of a folder.

    Loading one split opens no file of the other. Raises DataError when the data set is missing or damaged, InputError
    when the name is not known.
    """
    if split not in ("train", "test"):
        raise InputError(expected("split", "train or test", split))
    if name == CIFAR10.name:
        return store.load_stored(CIFAR10, split, store.root())
    if name == "embedded":
        return embedded.load_embedded(split)
    if Path(name).is_dir():
        return load_folder(Path(name), split)
    raise InputError(expected("data", "cifar10, embedded or a folder of class folders", name))


def fetch(name: str, source: Path | None = None, report: Callable[[str], None] = lambda line: None) -> Path:
    """Get a data set, from ``source`` (an archive or a folder) or from the first place that answers; its folder.

    See ``fetching.fetch_into`` for what is promised and raised. Raises InputError for a name that cannot be fetched.
    """
    if name != CIFAR10.name:
        raise InputError(expected("data fetch", CIFAR10.name, name))
    return fetch_into(CIFAR10, store.root(), source, report)


def verify(name: str) -> None:
    """Hash the arrays of a data set again. Raises DataError that names the first one that is missing or different."""
    if name == CIFAR10.name:
        store.verify_stored(CIFAR10, store.root())
    elif name == "embedded":
        embedded.load_embedded("train")
        embedded.load_embedded("test")
    else:
        raise InputError(expected("data verify", f"{CIFAR10.name} or embedded", name))


def available() -> list[Available]:
    """Every data set that has a name, fetched or not. Looks at sizes only; ``verify`` looks at every byte."""
    root = store.root()
    where = root / CIFAR10.name
    state = "ready"
    try:
        for array in ARRAYS:
            store.open_array(CIFAR10, array, root)
    except DataError:
        state = "incomplete" if where.exists() else "not fetched"
    return [
        Available(CIFAR10.name, where, state, CIFAR10.train + CIFAR10.test),
        Available("embedded", embedded.FOLDER, "in the package", 5_000),
    ]
