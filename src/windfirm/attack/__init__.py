"""Attacks: functions ``(model, images (b, c, h, w) in [0, 1], labels (b,), budget) -> images``, and their names."""

from windfirm.attack.budget import Apply, Attack, Budget, parse_eps, show_eps
from windfirm.attack.registry import ATTACKS, build

__all__ = ["ATTACKS", "Apply", "Attack", "Budget", "build", "parse_eps", "show_eps"]
