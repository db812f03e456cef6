"""When a cut cannot be made or proved: which of the structures that lose something is to blame."""

from collections.abc import Callable

from torch import nn

from windfirm.errors import CutError
from windfirm.prune.select import Cut
from windfirm.prune.structure import Structure


class RefusedError(CutError):
    """A cut that could not be made or proved, with the error that says why."""

    def __init__(self, chosen: Cut, error: CutError) -> None:
        super().__init__(str(error))
        self.chosen = chosen
        self.error = error


def culprit(make: Callable[[Cut], nn.Module], refused: RefusedError) -> tuple[Structure, str]:
    """The structure without which the cut might succeed, found by halving it, and why it cannot go.

    ``make`` makes a cut or raises RefusedError. Raises the error that ``refused`` holds where no single structure is to
    blame.
    """
    removed, error = refused.chosen.removed, refused.error
    suspects = [structure for structure, units in removed.items() if units]
    while len(suspects) > 1:
        for half in (suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]):
            try:
                make(Cut({structure: removed[structure] for structure in half}))
            except RefusedError as found:
                suspects, error = half, found.error
                break
        else:
            raise error  # each half can go, and both together cannot
    if not suspects:
        raise error
    return suspects[0], str(error)
