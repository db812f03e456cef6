"""Learning-rate schedules by name: functions of the progress t in [0, 1) that give the share of the peak rate."""

import math
from collections.abc import Callable


def onecycle(t: float) -> float:
    """Linear rise over the first fifth, then a cosine down to zero (Smith & Topin 2017; cosine as in PyTorch)."""
    rise = 0.2
    if t < rise:
        return 0.04 + 0.96 * t / rise
    return 0.5 * (1 + math.cos(math.pi * (t - rise) / (1 - rise)))


def step(t: float) -> float:
    """Divided by ten at one half and at three quarters (He et al. 2016; the poster's era)."""
    return 1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01


SCHEDULES: dict[str, Callable[[float], float]] = {"onecycle": onecycle, "step": step}
