"""Images and labels, by name: CIFAR-10 from the store, the subset inside the package, folders, a function of one's own.

The modules are imported when they are needed, so that the processes that decode images start without torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from windfirm.errors import DataError, InputError, expected, nearest

if TYPE_CHECKING:
    from windfirm.data.images import Images

__all__ = ["Available", "Images", "Split", "available", "check", "fetch", "load", "verify"]

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Available:
    """A data set that goes by a name: where it is, its state in a few words, and how many images it has in all."""

    name: str
    where: Path
    state: str
    images: int


def load(
    name: str | Path,
    split: Split,
    *,
    shape: tuple[int, int, int] | None = None,
    resize: str = "crop",
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "Images":
    """A data set by name: ``cifar10`` (fetched before), ``embedded`` (in the package), the path of a folder of class
    folders (see folder.load_folder), or ``package.module:factory`` (see factory.load_factory).

    ``limit`` takes only that many images: the first, of a folder the first of each class. ``shape`` (c, h, w) and
    ``resize`` (crop, squash or pad; see picture.resized) say what the images of a folder are brought to; those of
    others are taken as they are. Loading one split opens no file of the other. Raises DataError when the data set is
    missing or damaged, InputError when the name is not known or a function of that name does not give images.
    """
    if split not in ("train", "test"):
        raise InputError(expected("split", "train or test", split))
    from windfirm.data.picture import check_resize

    check_resize(resize)
    if limit is not None and limit < 1:
        raise InputError(expected("limit", "a number of images of at least 1", limit))
    name = str(name)
    if name == "cifar10":
        from windfirm.data import store
        from windfirm.data.cifar10 import CIFAR10

        return store.load_stored(CIFAR10, split, store.root())[:limit]
    if name == "embedded":
        from windfirm.data.embedded import load_embedded

        return load_embedded(split)[:limit]
    if Path(name).is_dir():
        from windfirm.data.folder import load_folder

        return load_folder(Path(name), split, shape=shape, resize=resize, limit=limit, progress=progress)
    if ":" in name:
        from windfirm.data.factory import load_factory

        return load_factory(name, split)[:limit]
    raise _unknown(name)


def check(name: str) -> None:
    """Raise what load would for a data set that is not here: DataError for one that was not fetched, InputError for a
    name that leads nowhere. Reads no image, and imports no function.
    """
    if name == "cifar10":
        from windfirm.data import store
        from windfirm.data.cifar10 import ARRAYS, CIFAR10

        for array in ARRAYS:
            store.open_array(CIFAR10, array, store.root())
    elif name != "embedded" and ":" not in name and not Path(name).is_dir():
        raise _unknown(name)


def _unknown(name: str) -> InputError:
    known = "cifar10, embedded, a folder of class folders or package.module:factory"
    return InputError(expected("data", known, name) + nearest(name, ("cifar10", "embedded")))


def fetch(name: str, source: Path | None = None, report: Callable[[str], None] = lambda line: None) -> Path:
    """Get a data set, from ``source`` (an archive or a folder) or from the first place that answers; its folder.

    See ``fetching.fetch_into`` for what is promised and raised. Raises InputError for a name that cannot be fetched.
    """
    from windfirm.data import store
    from windfirm.data.cifar10 import CIFAR10
    from windfirm.data.fetching import fetch_into

    if name != CIFAR10.name:
        raise InputError(expected("data fetch", CIFAR10.name, name))
    return fetch_into(CIFAR10, store.root(), source, report)


def verify(name: str) -> None:
    """Hash the arrays of a data set again. Raises DataError that names the first one that is missing or different."""
    from windfirm.data import embedded, store
    from windfirm.data.cifar10 import CIFAR10

    if name == CIFAR10.name:
        store.verify_stored(CIFAR10, store.root())
    elif name == "embedded":
        embedded.load_embedded("train")
        embedded.load_embedded("test")
    else:
        raise InputError(expected("data verify", f"{CIFAR10.name} or embedded", name))


def available() -> list[Available]:
    """Every data set that has a name, fetched or not. Looks at sizes only; ``verify`` looks at every byte."""
    from windfirm.data import embedded, store
    from windfirm.data.cifar10 import CIFAR10

    where = store.root() / CIFAR10.name
    state = "ready"
    try:
        check(CIFAR10.name)
    except DataError:
        state = "incomplete" if where.exists() else "not fetched"
    return [
        Available(CIFAR10.name, where, state, CIFAR10.train + CIFAR10.test),
        Available("embedded", embedded.FOLDER, "in the package", 5_000),
    ]


def __getattr__(name: str) -> Any:
    if name == "Images":
        from windfirm.data.images import Images

        return Images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
