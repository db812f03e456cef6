"""The four steps in one, and rounds of them; of filters, of layers, or of both."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from torch import nn

from windfirm.errors import CutError, InputError, expected
from windfirm.models.device import default_modes
from windfirm.models.inputs import Inputs
from windfirm.prune.both import COMPARING, Sort, distances, turn
from windfirm.prune.budget import Measure, budget, by_turns
from windfirm.prune.criteria import Criterion, named
from windfirm.prune.observe import Batches
from windfirm.prune.propose import KINDS, Job, Round, Target, propose
from windfirm.prune.structure import Anatomy, Structure, anatomy


def prune(
    model: nn.Module,
    example_inputs: Inputs,
    *,
    criterion: str | Criterion = "l1",
    rate: float | None = None,
    ratio: float | None = None,
    macs: float | None = None,
    params: float | None = None,
    latency: float | None = None,
    structure: str = "filters",
    choose: str = "alternate",
    ranking: str = "global",
    floor: float = 0.1,
    protect: str | Sequence[str] = (),
    plain: bool = False,
    rounds: int = 1,
    batches: Batches = (),
    seed: int = 0,
) -> nn.Module:
    """A smaller, proved copy of ``model``; the input model is untouched.

    Exactly one of ``rate`` … ``latency`` is given, see windfirm.prune.budget.Budget; for ``structure`` … ``plain``
    see windfirm.prune.propose.Target. Criteria and rules that need data take ``batches`` of (images (b, c, h, w) as the
    network takes them, labels (b,)), a list or what else can be gone through in every round. Raises InputError for
    arguments out of range, TraceError and CutError as anatomy and cut do.
    """
    asked = budget(rate=rate, ratio=ratio, macs=macs, params=params, latency=latency)
    patterns = (protect,) if isinstance(protect, str) else tuple(protect)
    target = Target(asked, structure, choose, ranking, floor, patterns, plain)
    smaller, _ = prune_in_rounds(model, example_inputs, criterion, target, rounds, batches=batches, seed=seed)
    return smaller


def check_patterns(where: str, found: Sequence[Structure], target: Target) -> None:
    """Raise InputError for a pattern of ``target`` that protects nothing of ``found``, which is a slip of the pen."""
    kinds = [kind for sort, kind in KINDS.items() if target.structure in (sort, "both")]
    names = [structure.name for structure in found if structure.kind in kinds]
    if names and (missed := _missed(target, names)):
        wanted = f"a pattern for {'groups' if 'filters' in kinds else 'blocks'} such as {names[0]}"
        raise InputError(expected(where, wanted, missed[0]))


def _missed(target: Target, names: Sequence[str]) -> list[str]:
    """The patterns of ``target`` that protect none of ``names``."""
    return [pattern for pattern in target.protect if not any(fnmatchcase(name, pattern) for name in names)]


def prune_in_rounds(
    model: nn.Module,
    example_inputs: Inputs,
    criterion: str | Criterion,
    target: Target,
    rounds: int = 1,
    *,
    batches: Batches = (),
    adjust: Callable[[nn.Module, int], None] | None = None,
    seed: int = 0,
    measure: Measure | None = None,
) -> tuple[nn.Module, list[Round]]:
    """Reach ``target`` in ``rounds`` steps, each taking the same share of what is left; adjust after each.

    ``adjust(network, round)`` trains the smaller network in place. ``batches`` is gone through anew in every round,
    once for each time something is scored or compared. ``measure`` times networks for a latency budget, by default in
    a batch of 64 on this machine: the result is a measurement, and no two runs need end alike. Raises as prune does.
    """
    if not hasattr(rounds, "__index__") or rounds < 1:
        raise InputError(expected("rounds", "a whole number of at least 1", rounds))
    body = anatomy(model, example_inputs, plain=target.plain)
    check_patterns("protect", body.structures, target)
    measure = measure or by_turns(example_inputs)
    job = Job(model, body, example_inputs, named(criterion), target, rounds, batches, seed, measure)
    done: list[Round] = []
    for number in range(1, rounds + 1):
        if number > 1:
            body = anatomy(model, example_inputs, plain=target.plain)
        model, entry = _round(job, model, body, number)
        done.append(entry)
        if adjust is not None:
            adjust(model, number)
    return model, done


def prune_round(
    model: nn.Module,
    first: nn.Module,
    example_inputs: Inputs,
    criterion: str | Criterion,
    target: Target,
    number: int,
    rounds: int,
    *,
    batches: Batches,
    seed: int,
) -> tuple[nn.Module, Round]:
    """Round ``number`` of ``rounds`` of prune_in_rounds alone: the smaller network and what was done.

    ``model`` is what the rounds before it and their adjustments have left of ``first``, the network before them all.
    Of the patterns that protect, which in a study may be meant for several networks, one has to fit this one.
    """
    if not 1 <= number <= rounds:
        raise InputError(expected("round", f"a number from 1 to {rounds}", number))
    start = anatomy(first, example_inputs, plain=target.plain)
    names = [structure.name for structure in start.structures]
    missed = _missed(target, names)
    if missed and len(missed) == len(target.protect):
        raise InputError(expected("protect", f"a pattern for groups such as {names[0]}", " and ".join(missed)))
    body = start if model is first else anatomy(model, example_inputs, plain=target.plain)
    measure = by_turns(example_inputs)
    job = Job(first, start, example_inputs, named(criterion), target, rounds, batches, seed, measure)
    return _round(job, model, body, number)


@default_modes()
def _round(job: Job, model: nn.Module, body: Anatomy, number: int) -> tuple[nn.Module, Round]:
    """The cut of this round; of two sorts the one whose turn it is or that the rule prefers, or that can be made."""
    target = job.target
    if target.structure != "both":
        return propose(job, model, body, number, "filters" if target.structure == "filters" else "layers")
    compares = target.choose in COMPARING
    found: dict[Sort, tuple[nn.Module, Round]] = {}
    stopped: dict[Sort, CutError] = {}
    for sort in turn(target.choose, number, job.seed):
        try:
            found[sort] = propose(job, model, body, number, sort)
        except CutError as error:
            stopped[sort] = error
        if not compares and sort in found and found[sort][1].cut.removed:
            break
    if not found:
        raise next(iter(stopped.values()))
    reasons = {sort: str(error) for sort, error in stopped.items()}
    some = {sort: made for sort, made in found.items() if made[1].cut.removed}
    if some:  # one that removes nothing would always be the nearer
        reasons |= dict.fromkeys(found.keys() - some, "none to take in this round")
    found = some or dict([next(iter(found.items()))])
    far: dict[Sort, float] = {}
    if len(found) > 1:
        networks = {sort: network for sort, (network, _) in found.items()}
        far = distances(target.choose, model, networks, job.example_inputs, job.batches)
    sort = min(found, key=lambda sort: far.get(sort, 0.0))
    network, entry = found[sort]
    return network, replace(entry, rule=target.choose, distances=far, stopped=reasons)
