import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windfirm.evaluate import holm


@pytest.mark.parametrize(
    ("ps", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 0.005·4, 0.01·3, 0.03·2, and 0.04·1 not below that
        ([0.5, 0.4], [0.8, 0.8]),
        ([0.9, 0.6, 0.7], [1.0, 1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_by_hand(ps: list[float], adjusted: list[float]) -> None:
    assert holm(ps) == pytest.approx(adjusted)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.5))
def test_what_is_below_a_level_is_what_stepping_down_leaves(ps: list[float], level: float) -> None:
    rejected = 0
    for i, p in enumerate(sorted(ps)):  # the procedure as Holm describes it
        if p * (len(ps) - i) >= level:
            break
        rejected += 1
    assert sorted(p for p, q in zip(ps, holm(ps), strict=True) if q < level) == sorted(ps)[:rejected]


def test_the_chance_of_any_false_claim_stays_below_the_level() -> None:
    ps = np.random.default_rng(0).random((4_000, 8))
    assert 0.035 < np.mean([min(holm(row)) < 0.05 for row in ps.tolist()]) < 0.06
    assert np.mean(ps.min(1) < 0.05) > 0.3  # without it
