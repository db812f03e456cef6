"""Networks drawn at random, cuts drawn at random: each is proved right or refused, never wrong.

Sixty examples, always the same, are tried. For thousands of new ones, as after a change of a rule:

    WINDFIRM_EXAMPLES=5000 python -m pytest tests/prune/test_grammar.py

A failing example prints the network step by step; hypothesis makes it as small as it can first.
"""

import os

import torch
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st
from torch import nn

from tests.prune.grammar import CENTRED, CHANNELS, PLAIN, SIDE, networks
from tests.silence import error
from windfirm.errors import WindfirmError
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import Structure, anatomy, structures
from windfirm.prune.verify import silencing

MORE = int(os.environ.get("WINDFIRM_EXAMPLES", "0"))

EXAMPLE = torch.rand(2, CHANNELS, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def thorough(examples: int) -> settings:
    """Few fixed examples that are not made smaller, or as many new ones as the environment asks for."""
    return settings(
        max_examples=MORE or examples,
        derandomize=not MORE,
        phases=[Phase.generate, *([Phase.shrink] if MORE else [])],
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def some_units(structure: Structure) -> st.SearchStrategy[tuple[int, ...]]:
    """Any of its units, but not all; of a third of the structures none. A block leaves or stays."""
    most = structure.size - 1 if structure.kind == "filters" else 1
    some = st.sets(st.integers(0, structure.size - 1), min_size=min(1, most), max_size=most)
    return st.one_of(some, some, st.just(set())).map(lambda units: tuple(sorted(units)))


@thorough(45)
@given(model=networks(), data=st.data())
def test_any_cut_of_any_network_is_right_or_refused(model: nn.Module, data: st.DataObject) -> None:
    note(str(model))
    found = [s for s in structures(model, EXAMPLE) if s.frozen is None]
    removed = {s: units for s in found if (units := data.draw(some_units(s), label=s.name))}
    try:
        smaller = cut(model, Cut(removed), EXAMPLE)
    except WindfirmError as problem:
        event(f"refused: {str(problem)[:60]}")
        return
    event("cut" if removed else "nothing was drawn" if found else "nothing is free")
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters()) or not removed
    # The oracle does not know which channels reach a mean that is written out; such a cut must carry a mark at least.
    if not (CENTRED in str(model) and silencing(anatomy(model, EXAMPLE), Cut(removed)).changes):
        assert error(model, smaller, [torch.randn_like(EXAMPLE)]) < 1e-9


@thorough(15)
@given(model=networks(steps=PLAIN))
def test_all_but_the_output_of_a_plain_network_can_go(model: nn.Module) -> None:
    note(str(model))
    groups = [s for s in structures(model, EXAMPLE) if s.kind == "filters"]
    frozen = {s.name: s.frozen for s in groups if s.frozen}
    assert len(frozen) <= 1, frozen
    half = {s: tuple(range(s.size // 2)) for s in groups if s.frozen is None and s.size > 1}
    assert half
    assert error(model, cut(model, Cut(half), EXAMPLE), [torch.randn_like(EXAMPLE)]) < 1e-9
