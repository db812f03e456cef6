"""How much is to leave: a name and a share, and what that comes to in each round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from windfirm.errors import InputError, expected
from windfirm.models.copies import copied
from windfirm.models.inputs import Inputs
from windfirm.models.latency import latencies
from windfirm.own import number
from windfirm.prune.select import Cut

#: What a share may be of: see Budget.
BUDGETS = ("rate", "ratio", "macs", "params", "latency")

#: Seconds an image of several networks, measured by turns.
Measure = Callable[[Sequence[nn.Module]], Sequence[float]]

#: Images in the batch that is timed, and how often.
BATCH, REPEATS = 64, 10


@dataclass(frozen=True)
class Budget:
    """One share in (0, 1), of what ``name`` says.

    "rate": the share of the units (filters or blocks) still there that leaves in every round. "ratio": the share of
    them that leaves in all rounds together; where filters and blocks take turns, the shares of both that stay multiply
    to the rest. "macs", "params", "latency": the share of the first network's multiply-adds, parameters, or measured
    time an image that is left at the end. Raises InputError for others.
    """

    name: str
    share: float

    def __post_init__(self) -> None:
        if self.name not in BUDGETS:
            raise InputError(expected("budget", " or ".join(BUDGETS), self.name))
        wanted = "a share in (0, 1)"
        object.__setattr__(self, "share", number(self.name, wanted, self.share))
        if not 0 < self.share < 1:
            raise InputError(expected(self.name, wanted, f"{self.share:g}"))

    def left(self, number: int, rounds: int) -> float:
        """What share of the first network is to be left after this round of ``rounds`` equal steps, from 1.

        A rate does not say: it is of what is there in each round.
        """
        share = 1 - self.share if self.name == "ratio" else self.share
        # Aimed at from the first network, so that rounding does not add up.
        return share if number == rounds else float(share ** (number / rounds))


def budget(**shares: float | None) -> Budget:
    """The one budget that is given, by its name. Raises InputError for none or several."""
    given = {name: share for name, share in shares.items() if share is not None}
    if len(given) != 1:
        wanted = f"exactly one of {', '.join(BUDGETS[:-1])} or {BUDGETS[-1]}"
        raise InputError(expected("budget", wanted, " and ".join(given) or "none"))
    ((name, share),) = given.items()
    return Budget(name, share)


def by_turns(example_inputs: Inputs) -> Measure:
    """Measure in a batch of 64 inputs like the first example; raises InputError unless that is one tensor.

    Copies are timed: what a network keeps of a pass in inference mode could not be trained with.
    """

    def measure(models: Sequence[nn.Module]) -> list[float]:
        if not isinstance(example_inputs, Tensor):
            raise InputError(expected("latency", "one tensor as example input", type(example_inputs).__name__))
        images = example_inputs[:1].repeat(BATCH, *[1] * (example_inputs.ndim - 1))
        return [entry.median for entry in latencies([copied(model) for model in models], images, REPEATS)]

    return measure


def timed(first: nn.Module, make: Callable[[Cut], nn.Module], measure: Measure) -> Callable[[Cut], float]:
    """What share of the time of ``first`` is left after a cut: measured on the real network, each size of cut once."""
    known: dict[int, float] = {}

    def share(cut: Cut) -> float:
        if cut.units not in known:
            whole, part = measure([first, make(cut)])
            known[cut.units] = part / whole
        return known[cut.units]

    return share
