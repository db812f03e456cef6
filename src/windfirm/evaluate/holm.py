"""Many tests at once: Holm's correction."""

from collections.abc import Sequence


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """p-values adjusted for their number, in the order given (Holm, Scandinavian Journal of Statistics 1979).

    Calling a difference real where its adjusted p-value is below a level is wrong anywhere in the whole table with a
    probability of at most that level, however the tests depend on each other. The smallest is multiplied by their
    number, the next by one less, and so on; none may be below the one before it, or above 1.
    """
    adjusted = [1.0] * len(ps)
    least = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(ps[i] * (len(ps) - rank), 1.0))
        adjusted[i] = least
    return tuple(adjusted)
