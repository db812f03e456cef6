"""AutoAttack, the standard ensemble of parameter-free attacks (Croce & Hein, ICML 2020)."""

from windfirm.attack.apgd import STEPS, TARGETS, apgd_ce, apgd_t
from windfirm.attack.budget import Attack
from windfirm.attack.ensemble import ensemble
from windfirm.attack.fab import targeted
from windfirm.attack.square import square

#: What the standard ensemble gives its random search.
QUERIES = 5000


def autoattack(side: int, *, steps: int = STEPS, targets: int = TARGETS, queries: int = QUERIES) -> Attack:
    """apgd-ce, apgd-t, fab-t and square in that order, each on what is left, in Linf; at least 4 classes are needed.

    With other numbers than the standard's it is another attack, and is called ``ensemble``.
    """
    parts = [
        apgd_ce(side, steps=steps),
        apgd_t(side, steps=steps, targets=targets),
        targeted(side, steps=steps, targets=targets),
        square(side, queries=queries),
    ]
    if (steps, targets, queries) == (STEPS, TARGETS, QUERIES):
        return ensemble("autoattack", "AutoAttack, standard", parts)
    return ensemble("ensemble", "four attacks in turn, not those of the standard", parts)
