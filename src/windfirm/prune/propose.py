"""One cut of a round: score, select, cut, verify; what cannot be proved to go stays whole, and something else goes."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from windfirm.errors import CutError, InputError, expected
from windfirm.models.blueprint import blueprint_of
from windfirm.models.inputs import Inputs
from windfirm.prune.both import CHOICES, Sort
from windfirm.prune.budget import Budget, Measure, timed
from windfirm.prune.criteria import Criterion, scores
from windfirm.prune.criteria.base import Scores
from windfirm.prune.cut import cut
from windfirm.prune.observe import Batches
from windfirm.prune.salvage import RefusedError, culprit
from windfirm.prune.select import (
    RANKINGS,
    Cut,
    Layer,
    Pool,
    Unit,
    checked_floor,
    departures,
    eligible,
    leaving,
    pools,
    share,
    smallest,
    taken,
)
from windfirm.prune.stability import Stability, stability
from windfirm.prune.structure import Anatomy, Kind, inside
from windfirm.prune.verify import silencing

STRUCTURES = ("filters", "layers", "both")

#: Which structures a sort of cut takes, and what people call their units.
KINDS: Mapping[Sort, Kind] = {"filters": "filters", "layers": "block"}
UNITS: Mapping[Sort, str] = {"filters": "filters", "layers": "residual blocks"}

#: A time is measured to one part in so many of what may leave, which takes a handful of networks.
STEPS = 64


@dataclass(frozen=True)
class Target:
    """What is to leave, and how it is chosen.

    ``structure`` is one of STRUCTURES; with "both", ``choose`` says which of the two cuts is made in a round (see
    prune.both). ``ranking`` and ``floor`` are those of select, the floor counted from the first network; structures
    whose name matches a pattern in ``protect`` stay whole. With ``plain``, the layers of plain chains are blocks too.
    """

    budget: Budget
    structure: str = "filters"
    choose: str = "alternate"
    ranking: str = "global"
    floor: float = 0.1
    protect: tuple[str, ...] = ()
    plain: bool = False

    def __post_init__(self) -> None:
        for name, known in (("structure", STRUCTURES), ("choose", CHOICES), ("ranking", RANKINGS)):
            value = getattr(self, name)
            if value not in known:
                raise InputError(expected(name, " or ".join(known), value))
        object.__setattr__(self, "floor", checked_floor(self.floor))


@dataclass(frozen=True)
class Round:
    """One round as it was: its number from 1, the sort of its cut, the cut, and what the network cost before and after.

    ``candidates``: how many units could have gone. ``refused`` holds the structures that were to lose something and
    could not, each with its reason; ``unscored`` those that the criterion has no score for;
    ``changes_normalisation`` the calls whose statistics are taken over fewer channels now (see silencing).
    ``stability`` is there for criteria that look at images, ``latency`` (the share of the first network's time that is
    left) where that is the budget. With "both", ``rule`` is how the cut was chosen, ``distances`` what the rule
    compared, and ``stopped`` the sort that could not go on, with the reason.
    """

    number: int
    sort: Sort
    cut: Cut
    macs_before: int
    macs_after: int
    params_before: int
    params_after: int
    candidates: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    unscored: tuple[str, ...] = ()
    changes_normalisation: tuple[str, ...] = ()
    stability: Stability | None = None
    latency: float | None = None
    rule: str | None = None
    distances: Mapping[Sort, float] = field(default_factory=dict)
    stopped: Mapping[Sort, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What is the same in every round: the first network and its anatomy, and what was asked for."""

    first: nn.Module
    body: Anatomy
    example_inputs: Inputs
    criterion: Criterion
    target: Target
    rounds: int
    batches: Batches
    seed: int
    measure: Measure


def propose(job: Job, model: nn.Module, body: Anatomy, number: int, sort: Sort) -> tuple[nn.Module, Round]:
    """Score → select → cut → verify: the smaller network and what was done.

    What cannot be proved to go stays whole, and something else goes. Raises CutError when nothing can.
    """
    target = job.target
    candidates = eligible(body.structures, target.protect, KINDS[sort])
    if not candidates:
        wanted = f"a network with {UNITS[sort]} that can go"
        raise CutError(expected("prune", wanted, "none; see windfirm inspect"))
    found = scores([job.criterion], model, candidates, job.batches, seed=job.seed, body=body)[job.criterion.name]
    if not found.scores:
        raise CutError(expected(job.criterion.name, f"{UNITS[sort]} that it has a score for", "none"))
    scored, refused = dict(found.scores), dict[str, str]()

    def make(chosen: Cut) -> nn.Module:
        try:
            return cut(model, chosen, job.example_inputs, body=body)
        except CutError as error:
            raise RefusedError(chosen, error) from error

    def order(values: Scores) -> list[Unit]:
        return departures(
            body.structures, values, ranking=target.ranking, floor=target.floor, first=job.body.structures
        )

    while True:
        try:
            chosen, left = _chosen(job, model, body, number, sort, found.scores, order(scored), make)
            smaller = make(chosen)
            break
        except RefusedError as stop:
            blamed, reason = culprit(make, stop)
            refused[blamed.name] = reason
            del scored[blamed]
            if not scored:
                got = f"none that can be proved to go: {reason}"
                raise CutError(expected("prune", f"a network with {UNITS[sort]} that can go", got)) from stop
    removed = {structure: chosen.removed[structure] for structure in body.structures if structure in chosen.removed}
    return smaller, Round(
        number,
        sort,
        Cut(removed),  # in the order of the network, for those who read it
        macs_before=body.macs(),
        macs_after=body.macs(removed),
        params_before=body.params(),
        params_after=body.params(removed),
        candidates=sum(structure.size for structure in candidates),
        refused=refused,
        unscored=tuple(structure.name for structure in candidates if structure not in found.scores),
        changes_normalisation=tuple(map(str, silencing(body, chosen).changes)),
        stability=stability(found.halves, scored.keys(), chosen.units, order) if found.halves else None,
        latency=left,
    )


def _chosen(
    job: Job,
    model: nn.Module,
    body: Anatomy,
    number: int,
    sort: Sort,
    scored: Scores,
    order: Sequence[Unit],
    make: Callable[[Cut], nn.Module],
) -> tuple[Cut, float | None]:
    """What leaves in this round, and what share of the time is left if that is the budget."""
    target, name = job.target, job.target.budget.name
    if name == "rate":
        if not order:
            got = f"none that the floor of {target.floor:g} lets go"
            raise CutError(expected("prune", f"a network with {UNITS[sort]} that can go", got))
        chosen = share(order, scored, target.budget.share, target.ranking)
        return chosen if chosen.units else leaving(order[:1]), None
    if name == "ratio":
        pool = pools(target.ranking, job.body.structures)
        return taken(order, _most(job, model, body, number, sort, scored, pool), pool), None
    goal = target.budget.left(number, job.rounds)
    if name == "latency":
        spent = timed(job.first, make, job.measure)
        found = smallest(order, lambda cut: spent(cut) <= goal, grain=max(1, len(order) // STEPS))
        if found is None:
            raise _out_of_reach("time", f"{spent(leaving(order)):.1%}", target.floor, f"{goal:.1%}")
        return found, spent(found)
    count, first = (body.macs, job.body.macs) if name == "macs" else (body.params, job.body.params)
    limit, last = (int(share * first()) for share in (goal, target.budget.left(job.rounds, job.rounds)))
    found = smallest(order, lambda cut: count(cut.removed) <= limit)
    least = count(leaving(order).removed)
    # Of one sort all that may ever go may go in the first round: so what is out of reach is told before any training.
    if found is None or (number == 1 and target.structure != "both" and least > last):
        raise _out_of_reach("MACs" if name == "macs" else "parameters", f"{least:,}", target.floor, f"{last:,}")
    return found, None


def _most(
    job: Job, model: nn.Module, body: Anatomy, number: int, sort: Sort, scored: Scores, pool: Pool
) -> Counter[Layer | None]:
    """How many units leave in this round, of each pool, so that what should stay of the first network by now is left.

    They are counted among what the criterion has a score for. Of both sorts the one that goes makes up for the other:
    the shares of filters and of blocks that stay multiply to what was asked for, as a block is no number of filters.
    """
    target, stays = job.target, job.target.budget.left(number, job.rounds)
    if target.structure == "both":
        began, gone = _gone(job, model, body, "layers" if sort == "filters" else "filters", pools("global"))
        other = 1 - gone.total() / began.total() if began else 1.0
        stays = min(1.0, stays / other) if other else 1.0
    unscored = {s.name for s in eligible(body.structures, target.protect, KINDS[sort])} - {s.name for s in scored}
    began, gone = _gone(job, model, body, sort, pool, unscored)
    return Counter({key: round(round(n * (1 - stays), 6)) - gone[key] for key, n in began.items()})


def _gone(
    job: Job, model: nn.Module, body: Anatomy, sort: Sort, pool: Pool, but: Collection[str] = ()
) -> tuple[Counter[Layer | None], Counter[Layer | None]]:
    """How many units of each pool the first network had, and how many of them cuts have taken.

    Filters are counted in layers that can still lose some. A block that no cut took is there, also where it cannot go
    any more.
    """
    first, now = (eligible(part.structures, job.target.protect, KINDS[sort]) for part in (job.body, body))
    began, gone = Counter[Layer | None](), Counter[Layer | None]()
    sizes = {structure.name: structure.size for structure in now}
    cut_out = blueprint_of(model).replaced.keys() - blueprint_of(job.first).replaced.keys()
    for structure in first:
        if structure.name in but or (sort == "filters" and structure.name not in sizes):
            continue
        began[pool(structure)] += structure.size
        if sort == "filters":
            gone[pool(structure)] += structure.size - sizes[structure.name]
        elif any(inside(path, cut_out) for path in structure.replaced):
            gone[pool(structure)] += structure.size
    return began, gone


def _out_of_reach(what: str, least: str, floor: float, limit: str) -> CutError:
    wanted = f"a target that can be reached, at least {least} with a floor of {floor:g}"
    return CutError(expected(what, wanted, limit))
