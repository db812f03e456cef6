"""The four steps in one, and rounds of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from windfirm.errors import CutError, InputError, expected
from windfirm.prune.criteria import score
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut, eligible, select, select_macs
from windfirm.prune.structure import Anatomy, Structure, anatomy
from windfirm.prune.trace import Inputs
from windfirm.prune.verify import silencing

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Target:
    """How much leaves: ``ratio``, the share of filters that go, or ``macs``, the share of multiply-adds that stay.

    Exactly one of them is given, in (0, 1). ``ranking`` and ``floor`` are those of select; structures whose name
    matches a pattern in ``protect`` stay whole.
    """

    ratio: float | None = None
    macs: float | None = None
    ranking: str = "global"
    floor: float = 0.1
    protect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.macs is None):
            raise InputError(
                expected("prune", "either a ratio or a share of MACs", "both" if self.ratio else "neither")
            )
        for name, share in (("ratio", self.ratio), ("macs", self.macs)):
            if share is not None and not 0 < share < 1:
                raise InputError(expected(name, "a share in (0, 1)", f"{share:g}"))


@dataclass(frozen=True)
class Round:
    """One round as it was: its number from 1, the cut, the MACs before and after it, how many filters could have gone.

    ``refused`` holds the structures that were to lose something and could not, each with its reason;
    ``changes_normalisation`` the calls whose statistics are taken over fewer channels now (see silencing).
    """

    number: int
    cut: Cut
    macs_before: int
    macs_after: int
    candidates: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    changes_normalisation: tuple[str, ...] = ()


def prune(
    model: nn.Module,
    example_inputs: Inputs,
    *,
    criterion: str = "l1",
    ratio: float | None = None,
    macs: float | None = None,
    structure: str = "filters",
    ranking: str = "global",
    floor: float = 0.1,
    protect: Sequence[str] = (),
    batches: Batches = (),
    seed: int = 0,
) -> nn.Module:
    """A smaller, proved copy of ``model``; the input model is untouched.

    See Target for ``ratio`` … ``protect``. Criteria that need data take ``batches`` of (images (b, c, h, w) in [0, 1],
    labels (b,)). Raises InputError for arguments out of range, TraceError and CutError as anatomy and cut do.
    """
    if structure != "filters":
        raise InputError(expected("structure", "filters", structure))
    target = Target(ratio, macs, ranking, floor, tuple(protect))
    smaller, _ = prune_once(model, example_inputs, criterion, target, batches, seed)
    return smaller


def prune_once(
    model: nn.Module,
    example_inputs: Inputs,
    criterion: str,
    target: Target,
    batches: Batches = (),
    seed: int = 0,
    number: int = 1,
    limit: int | None = None,
) -> tuple[nn.Module, Round]:
    """trace → couple → structure → score → select → cut → verify; the smaller network and what was done.

    ``limit`` says in multiply-adds what is to be left, in place of the share in ``target``.
    """
    body = anatomy(model, example_inputs)
    candidates = eligible(body.structures, target.protect)
    if not candidates:
        raise CutError(expected("prune", "a network with filters that can go", "none; see windfirm inspect"))
    scores = dict(score(criterion, model, candidates, batches, seed=seed, body=body))
    before, could = body.macs(), sum(structure.size for structure in candidates)
    refused: dict[str, str] = {}
    while True:
        if target.ratio is not None:
            chosen = select(candidates, scores, ratio=target.ratio, ranking=target.ranking, floor=target.floor)
        else:
            most = int((target.macs or 0) * before) if limit is None else limit
            chosen = select_macs(body, scores, macs=most, ranking=target.ranking, floor=target.floor)
        try:
            smaller = cut(model, chosen, example_inputs, body=body)
        except CutError as error:
            culprit, reason = _culprit(model, chosen, example_inputs, body, error)
            refused[culprit.name] = reason
            del scores[culprit]
        else:
            changed = tuple(map(str, silencing(body, chosen).changes))
            return smaller, Round(number, chosen, before, body.macs(chosen.removed), could, refused, changed)


def _culprit(
    model: nn.Module, chosen: Cut, example_inputs: Inputs, body: Anatomy, error: CutError
) -> tuple[Structure, str]:
    """The structure without which the cut might succeed, found by halving it, and why; raises ``error`` otherwise."""
    suspects = [structure for structure, units in chosen.removed.items() if units]
    while len(suspects) > 1:
        for half in (suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]):
            try:
                cut(model, Cut({structure: chosen.removed[structure] for structure in half}), example_inputs, body=body)
            except CutError as found:
                suspects, error = half, found
                break
        else:
            raise error  # each half can go, and both together cannot
    if not suspects:
        raise error
    return suspects[0], str(error)


def prune_in_rounds(
    model: nn.Module,
    example_inputs: Inputs,
    criterion: str,
    target: Target,
    rounds: int,
    *,
    batches: Batches = (),
    adjust: Callable[[nn.Module, int], None] | None = None,
    seed: int = 0,
) -> tuple[nn.Module, list[Round]]:
    """Reach ``target`` in ``rounds`` equal steps, each taking the same share of what is left; adjust after each.

    ``adjust(network, round)`` trains the smaller network in place. ``batches`` is opened once a round. A ratio counts
    the filters that leave in all rounds together.
    """
    if rounds < 1:
        raise InputError(expected("rounds", "at least 1", rounds))
    share = (1 - target.ratio) if target.ratio is not None else (target.macs or 0)
    step = share ** (1 / rounds)
    part = replace(target, ratio=1 - step) if target.ratio is not None else target
    start = anatomy(model, example_inputs).macs()
    done: list[Round] = []
    for number in range(1, rounds + 1):
        # Aim at a point of the way from the first network, so that rounding does not add up.
        limit = int(start * (step**number if number < rounds else share))
        model, entry = prune_once(model, example_inputs, criterion, part, batches, seed, number, limit)
        done.append(entry)
        if adjust is not None:
            adjust(model, number)
    return model, done
