"""The exceptions of Windfirm, one small tree.

    WindfirmError                 everything below; the command line turns it into one line and exit code 2
    ├── InputError                an argument, a file or a name that cannot be used as given
    ├── DataError                 a data set that is missing, incomplete or not the one it claims to be
    ├── CheckpointError           a weight file that is damaged or does not fit the network
    ├── TrainingError             training that cannot go on (the loss is not finite)
    ├── StoreError                the store of a study that is damaged, in use or of a newer version, or that is full
    │   └── UnreachableError      where a store keeps its files cannot be asked now, which says nothing about them
    ├── TraceError                a network whose forward pass could not be followed
    └── CutError                  a cut that cannot be made, or could not be proved right

Every message says where, what was expected, and what was found:
``layer2.0.conv1: expected a ratio in [0, 1), got 1.2``.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WindfirmError(Exception):
    """Base of all errors that Windfirm raises on purpose."""


class InputError(WindfirmError):
    """An argument, a file or a name that cannot be used as given."""


class DataError(WindfirmError):
    """A data set that is missing, incomplete or not the one it claims to be."""


class CheckpointError(WindfirmError):
    """A weight file that is damaged or does not fit the network."""


class TrainingError(WindfirmError):
    """Training that cannot go on."""


class StoreError(WindfirmError):
    """The store of a study that cannot be used as it is."""


class UnreachableError(StoreError):
    """Where a store keeps its files cannot be asked now."""


class TraceError(WindfirmError):
    """A network whose forward pass could not be followed."""


class CutError(WindfirmError):
    """A cut that cannot be made, or could not be proved right."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean resnet56?`` when one of ``known`` is spelled much like ``name``, else nothing."""
    near = get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for a complaint of one line; with its kind where that says too little."""
    said, kind = str(error).strip().partition("\n")[0], type(error).__name__
    if not said:
        return kind
    return f"{kind}: {said}" if isinstance(error, KeyError) else said


def brief(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    kind, said = type(error).__name__, first_line(error)
    return said if said.startswith(kind) else f"{kind}: {said}"


def expected(where: str, wanted: str, got: object) -> str:
    """The one wording of a complaint: ``where: expected wanted, got got``."""
    return f"{where}: expected {wanted}, got {got}"
