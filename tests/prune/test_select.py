import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE
from windfirm.errors import CutError, InputError
from windfirm.prune.select import Cut, Unit, departures, eligible, leaving, select, smallest
from windfirm.prune.structure import Anatomy, Slice, Structure, anatomy


def group(name: str, size: int, frozen: str | None = None) -> Structure:
    each = tuple((i,) for i in range(size))
    return Structure(name, "filters", size, (Slice(f"{name}.weight", 0, size, "out", each),), frozen)


A, B = group("a", 3), group("b", 2)

#: Five units: the scores of a and b.
TABLE = {A: torch.tensor([0.5, 0.1, 0.3]), B: torch.tensor([0.2, 0.4])}


def left(cut: Cut) -> dict[str, tuple[int, ...]]:
    return {structure.name: units for structure, units in cut.removed.items()}


def test_global_ranking_takes_the_lowest_scores_of_all() -> None:
    assert left(select((A, B), TABLE, ratio=0.2, floor=0)) == {"a": (1,)}
    assert left(select((A, B), TABLE, ratio=0.4, floor=0)) == {"a": (1,), "b": (0,)}
    assert left(select((A, B), TABLE, ratio=0.6, floor=0)) == {"a": (1, 2), "b": (0,)}


def test_a_share_of_all_units_is_rounded_to_the_nearest_number_of_them() -> None:
    # 0.5, 1.5, 1.75 and 2.5 of five; half a unit goes to the even neighbour, as round has it.
    assert [select((A, B), TABLE, ratio=ratio, floor=0).units for ratio in (0.1, 0.3, 0.35, 0.5)] == [0, 2, 2, 2]


def test_per_layer_ranking_takes_the_same_share_of_each() -> None:
    assert left(select((A, B), TABLE, ratio=0.4, floor=0, ranking="per-layer")) == {"a": (1,), "b": (0,)}
    assert left(select((A, B), TABLE, ratio=0.6, floor=0, ranking="per-layer")) == {"a": (1, 2), "b": (0,)}
    assert left(select((A, B), TABLE, ratio=0.2, floor=0, ranking="per-layer")) == {"a": (1,)}


def test_the_floor_keeps_its_share_of_each_structure_rounded_up() -> None:
    assert left(select((A, B), TABLE, ratio=0.9, floor=0.5)) == {"a": (1,), "b": (0,)}
    assert left(select((A, B), TABLE, ratio=0.9, floor=0.34)) == {"a": (1,), "b": (0,)}
    assert left(select((A, B), TABLE, ratio=0.9, floor=1.0)) == {}


def test_a_floor_that_is_a_whole_number_is_not_rounded_up() -> None:
    wide = group("wide", 100)  # 0.07 * 100 is a little more than 7 in floating point
    assert len(departures((wide,), {wide: torch.zeros(100)}, ranking="global", floor=0.07)) == 93


@pytest.mark.parametrize("ranking", ["global", "per-layer"])
def test_no_structure_is_ever_emptied(ranking: str) -> None:
    cut = select((A, B), TABLE, ratio=0.99, floor=0, ranking=ranking)
    assert left(cut) == {"a": (1, 2), "b": (0,)}
    assert cut.units == 3


def test_equal_scores_leave_in_order() -> None:
    even = {A: torch.zeros(3), B: torch.zeros(2)}
    assert left(select((A, B), even, ratio=0.4, floor=0)) == {"a": (0, 1)}
    assert left(select((B, A), even, ratio=0.4, floor=0)) == {"b": (0,), "a": (0,)}


def test_ratio_zero_is_an_empty_cut() -> None:
    cut = select((A, B), TABLE, ratio=0)
    assert (left(cut), cut.kept(), cut.units) == ({}, {}, 0)


def test_structures_without_scores_stay_whole_and_do_not_count() -> None:
    assert left(select((A, B), {A: TABLE[A]}, ratio=0.4, floor=0)) == {"a": (1,)}


def test_kept_is_what_was_not_removed() -> None:
    assert Cut({A: (1,), B: ()}).kept() == {"a.weight": {0: [0, 2]}}


def test_eligible_leaves_out_the_frozen_and_the_protected() -> None:
    some = (group("conv1", 2), group("layer1.0.conv2", 2), group("layer1.0.conv1", 2), group("fc", 2, "an output"))
    assert [s.name for s in eligible(some)] == ["conv1", "layer1.0.conv2", "layer1.0.conv1"]
    assert [s.name for s in eligible(some, ("conv1", "layer*.conv2*"))] == ["layer1.0.conv1"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ratio": 1.2}, "ratio: expected a number in [0, 1), got 1.2"),
        ({"ratio": 1.0}, "ratio: expected a number in [0, 1), got 1"),
        ({"ratio": -0.1}, "ratio: expected a number in [0, 1), got -0.1"),
        ({"ratio": math.nan}, "ratio: expected a number in [0, 1), got nan"),
        ({"ratio": 0.5, "ranking": "best"}, "ranking: expected global or per-layer, got best"),
        ({"ratio": 0.5, "floor": 1.5}, "floor: expected a number in [0, 1], got 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(how: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        select((A, B), TABLE, **how)  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.parametrize("scores", [[0.1, 0.2], [0.1, math.nan, 0.2], [0.1, math.inf, 0.2]])
def test_scores_that_do_not_fit_are_refused(scores: list[float]) -> None:
    values = torch.tensor(scores, dtype=torch.float64)
    with pytest.raises(CutError) as error:
        select((A,), {A: values}, ratio=0.5)
    assert str(error.value) == f"a: expected 3 finite scores, got {scores}"


def block(name: str, stage: tuple[int, ...]) -> Structure:
    return Structure(name, "block", 1, (), replaced={name: "skip"}, stage=stage)


#: Three blocks of one stage and two of the next, as a small ResNet has them, and their scores.
WIDE, DEEP = (4, 8, 8), (8, 4, 4)
STAGES = [block(f"layer1.{i}", WIDE) for i in range(3)] + [block(f"layer2.{i}", DEEP) for i in range(2)]
MARKS = dict(zip(STAGES, map(torch.tensor, ([0.1], [0.2], [0.3], [0.4], [0.15])), strict=True))


def names(order: list[Unit]) -> list[str]:
    return [structure.name for structure, _ in order]


def test_blocks_leave_by_score_and_one_of_each_stage_stays() -> None:
    assert left(select(STAGES, MARKS, ratio=0.4)) == {"layer1.0": (0,), "layer2.1": (0,)}
    assert names(departures(STAGES, MARKS, ranking="global", floor=0.1)) == ["layer1.0", "layer2.1", "layer1.1"]
    # Two of three and one of two stay: 0.5 * 3 is rounded up.
    assert names(departures(STAGES, MARKS, ranking="global", floor=0.5)) == ["layer1.0", "layer2.1"]


def test_per_layer_ranking_takes_the_same_share_of_each_stage() -> None:
    # By share of the stage: 1/3, 1/2, 2/3.
    assert names(departures(STAGES, MARKS, ranking="per-layer", floor=0.1)) == ["layer1.0", "layer2.1", "layer1.1"]
    assert left(select(STAGES, MARKS, ratio=0.3, ranking="per-layer")) == {"layer1.0": (0,), "layer2.1": (0,)}
    assert left(select(STAGES, MARKS, ratio=0.2, ranking="per-layer")) == {"layer1.0": (0,)}


def test_per_layer_ranking_takes_from_wide_and_narrow_layers_by_the_share_that_has_left() -> None:
    wide, narrow = group("wide", 4), group("narrow", 2)
    scores = {narrow: torch.tensor([9.0, 8.0]), wide: torch.tensor([1.0, 2.0, 3.0, 4.0])}
    order = departures((narrow, wide), scores, ranking="per-layer", floor=0)
    # A quarter of the wide one, half of either, three quarters of the wide one.
    assert order == [(wide, 0), (narrow, 1), (wide, 1), (wide, 2)]


def test_blocks_without_scores_are_among_those_that_stay() -> None:
    some = {s: MARKS[s] for s in STAGES if s.name != "layer1.0"}
    assert names(departures(STAGES, some, ranking="global", floor=0.1)) == ["layer2.1", "layer1.1", "layer1.2"]


def test_the_floor_counts_from_the_first_network() -> None:
    before = [group("a", 6), *STAGES]
    # Half of six filters is three, half of three blocks two: nothing of what is left of either may go.
    now = [A, *STAGES[1:]]
    scores = {A: TABLE[A]} | {s: MARKS[s] for s in STAGES[1:]}
    assert names(departures(now, scores, ranking="global", floor=0.5)) == ["a", "layer2.1", "layer1.1"]
    assert names(departures(now, scores, ranking="global", floor=0.5, first=before)) == ["layer2.1"]


@pytest.mark.parametrize(("size", "count"), [(4, 0), (6, 1), (16, 2), (24, 2), (36, 4)])
def test_per_layer_is_a_tenth_of_each_layer_rounded(size: int, count: int) -> None:
    wide = group("wide", size)
    cut = select((wide,), {wide: torch.arange(size)}, ratio=0.1, ranking="per-layer")
    assert left(cut) == ({"wide": tuple(range(count))} if count else {})


@pytest.mark.parametrize("grain", [1, 2, 7])
@pytest.mark.parametrize("least", range(12))
def test_the_smallest_cut_that_fits_is_found_to_a_grain_with_few_questions(least: int, grain: int) -> None:
    wide = group("wide", 12)
    order = [(wide, unit) for unit in range(11)]
    asked: list[int] = []

    def fits(cut: Cut) -> bool:
        asked.append(cut.units)
        return cut.units >= least

    found = smallest(order, fits, grain)
    assert found is not None
    assert found.units == min(-(-least // grain) * grain, 11)
    assert len(asked) <= 5
    assert found.units in asked  # whoever measured it knows what it costs


def test_no_cut_is_made_where_none_fits() -> None:
    assert smallest([(A, 0), (A, 1)], lambda cut: cut.units > 2) is None
    assert smallest([], lambda cut: True) == Cut({})


def chain() -> tuple[Anatomy, dict[Structure, Tensor]]:
    """Filters of 18 + 27 and 27 multiply-adds for each of 36 and 16 positions."""
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 5, 3), nn.Conv2d(5, 1, 3)).double()
    body = anatomy(model, EXAMPLE)
    draw = torch.Generator().manual_seed(0)
    return body, {s: torch.rand(s.size, generator=draw) for s in eligible(body.structures)}


@pytest.mark.parametrize("share", [0.95, 0.8, 0.5, 0.3, 0.2])
def test_a_macs_target_is_met_by_the_smallest_cut_that_meets_it(share: float) -> None:
    body, scores = chain()
    target = int(share * body.macs())
    order = departures(body.structures, scores, ranking="global", floor=0)
    cut = smallest(order, lambda cut: body.macs(cut.removed) <= target)
    assert cut is not None
    assert body.macs(cut.removed) <= target
    assert body.macs(leaving(order[: cut.units - 1]).removed) > target


def test_shares_may_be_numbers_of_any_kind_and_nothing_else() -> None:
    half: Any = torch.tensor(0.5)
    assert select((A, B), TABLE, ratio=half, floor=half) == select((A, B), TABLE, ratio=0.5, floor=0.5)
    word: Any = "0.5"
    with pytest.raises(InputError, match=r"ratio: expected a number in \[0, 1\), got '0.5'"):
        select((A, B), TABLE, ratio=word)
    with pytest.raises(InputError, match=r"floor: expected a number in \[0, 1\], got '0.5'"):
        select((A, B), TABLE, ratio=0.5, floor=word)


def test_scores_by_name_are_refused() -> None:
    found = anatomy(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 3)), EXAMPLE.float()).structures
    scores: Any = {entry.name: torch.rand(entry.size) for entry in found}
    with pytest.raises(CutError, match="scores: expected structures as keys, got '0'"):
        select(found, scores, ratio=0.5)
