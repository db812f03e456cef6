"""A folder of class folders as a data set: ``DIR/cat/1.png``, or ``DIR/train/cat/1.png`` and ``DIR/val/cat/2.png``."""

from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path

import torch

from windfirm.data.gather import gather
from windfirm.data.images import Images
from windfirm.errors import DataError, expected

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".ppm"})

#: Images that are not read, which people should hear of; other files are none.
OTHERS = frozenset({".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl"})

#: Split → the folders that may hold it, the first that is there.
HALVES = {"train": ("train",), "test": ("test", "val")}

#: What people call halves as well, in small letters; folders of these names alone are no classes.
LIKE_HALVES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


def load_folder(
    folder: Path,
    split: str,
    *,
    shape: tuple[int, int, int] | None = None,
    resize: str = "crop",
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Images:
    """The images of one split, ordered by class name and file name; files of the other split are not opened.

    Classes are the folder names, sorted. With ``train`` and ``test`` (or ``val``) below that hold class folders, those
    found in any of them, so that both splits number them alike; a folder that has no such halves serves as it is for
    both splits. ``shape`` and ``resize`` are those of gather: without a shape all images must have one size. ``limit``
    takes that many files, the first of each class in turn. Files that cannot be read are left out and named in
    ``skipped``. Raises DataError when no image can be read, and what gather raises.
    """
    halves = [folder / name for name in ("train", "test", "val") if _holds_classes(folder / name)]
    base = folder
    if halves:
        names = HALVES[split]
        base = next((folder / name for name in names if folder / name in halves), folder / names[0])
        if base not in halves:
            wanted = f"a folder {' or '.join(names)} with class folders beside {halves[0].name}"
            raise DataError(expected(str(folder), wanted, "none"))
    classes = sorted({path.name for half in halves or [folder] for path in half.iterdir() if _is_class(path)})
    called = [name for name in classes if name.lower() in LIKE_HALVES]
    like = [name for name in called if _holds_classes(folder / name)]
    if called == classes and len(classes) > 1:
        like = called
    if not halves and like and (len(like) > 1 or like == classes):
        wanted = "halves called train and test, or val, with the class folders in them"
        raise DataError(expected(str(folder), wanted, " and ".join(like)))
    if len(classes) == 1 and _holds_classes(within := (halves or [folder])[0] / classes[0]) and not _direct(within):
        got = f"{classes[0]} alone, with folders in it"
        raise DataError(expected(str(within.parent), "class folders, or halves called train and test, or val", got))
    files = [(path, label) for label, name in enumerate(classes) for path in _files(base / name, SUFFIXES)]
    if not files:
        raise DataError(expected(str(base), "class folders with images", "none"))
    everything, files = files, files if limit is None else spread(files, limit)
    found = gather([path for path, _ in files], shape, resize, progress=progress)
    while limit is not None and len(found.read) < limit and len(files) < len(everything):  # others for the unreadable
        files = spread(everything, limit + len(found.unread))
        found = gather([path for path, _ in files], shape, resize, progress=progress)
    skipped = tuple(f"{files[i][0].relative_to(base)} ({reason})" for i, reason in found.unread.items())
    others = [path.relative_to(base) for name in classes for path in _files(base / name, OTHERS)]
    skipped += tuple(f"{path} (a format that is not read)" for path in others)
    if not found.read:
        raise DataError(expected(str(base), "images that can be read", f"none of {len(files):,}, such as {skipped[0]}"))
    labels = torch.tensor([files[i][1] for i in found.read])
    name = f"{folder.resolve().name}/{base.name}" if halves else folder.resolve().name
    return Images(torch.from_numpy(found.images), labels, tuple(classes), name, skipped)


def spread(files: list[tuple[Path, int]], limit: int) -> list[tuple[Path, int]]:
    """``limit`` of ``files`` (path, label): the first of each class, then the second of each …, in their old order."""
    before: Counter[int] = Counter()
    ranks = []
    for number, (_, label) in enumerate(files):
        ranks.append((before[label], label, number))
        before[label] += 1
    return [files[number] for number in sorted(number for *_, number in sorted(ranks)[:limit])]


def _holds_classes(path: Path) -> bool:
    """Whether ``path`` is half of a data set rather than a class that happens to be called train."""
    return path.is_dir() and any(_is_class(inner) for inner in path.iterdir())


def _is_class(path: Path) -> bool:
    """Whether it is a folder that is meant; archives made on a Mac leave another one beside it."""
    return path.is_dir() and not path.name.startswith(".") and path.name != "__MACOSX"


def _direct(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def _files(folder: Path, suffixes: Set[str]) -> list[Path]:
    """Those of a class, also in folders below it, by name; hidden ones are left alone."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
