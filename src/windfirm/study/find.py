"""Which study file a word means: a file of the user's, or one that comes with the package."""

import tomllib
from pathlib import Path

from windfirm.errors import InputError, expected, nearest

#: The files of the built-in studies, named as the studies are.
BUILTIN = Path(__file__).parent / "builtin"


def builtin() -> list[str]:
    """The names of the studies that come with the package."""
    return sorted(path.stem for path in BUILTIN.glob("*.toml"))


def inside(study: str) -> Path:
    """The file of the built-in study of that name."""
    return BUILTIN / f"{study}.toml"


def subject(study: str) -> str:
    """What the built-in study of that name is about, in words; the name where it does not say, and of any other."""
    if study not in builtin():
        return study
    said: str = tomllib.loads(inside(study).read_text()).get("about", study)
    return said


def find(study: str) -> Path:
    """The file ``study``, or, where there is none, the built-in study of that name. Raises InputError for neither."""
    path, names = Path(study), builtin()
    if study in names and not path.is_file():
        return inside(study)
    if not path.exists():
        wanted = f"a study file, or one of {', '.join(names)}"
        raise InputError(expected("STUDY", wanted, study) + nearest(path.stem, names))
    return path
