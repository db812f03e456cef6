"""Evaluation: per-image outcomes of attacks, their intervals, and paired comparisons of networks."""

from windfirm.evaluate.calibration import Calibration, calibration, ece, logits, nll, temperature
from windfirm.evaluate.compare import Comparison, Delta, Subject, compare, from_json, to_json, with_average
from windfirm.evaluate.curves import EPSES, Curve, against, against_eps, nested, variants
from windfirm.evaluate.examples import Example, View, examples
from windfirm.evaluate.intervals import interval, wilson
from windfirm.evaluate.loop import curve, evaluate
from windfirm.evaluate.occlusion_map import occlusion_map
from windfirm.evaluate.outcome import Outcome, pack, unpack
from windfirm.evaluate.paired import Difference, difference
from windfirm.evaluate.transfer import matrix, transfer

__all__ = [
    "EPSES",
    "Calibration",
    "Comparison",
    "Curve",
    "Delta",
    "Difference",
    "Example",
    "Outcome",
    "Subject",
    "View",
    "against",
    "against_eps",
    "calibration",
    "compare",
    "curve",
    "difference",
    "ece",
    "evaluate",
    "examples",
    "from_json",
    "interval",
    "logits",
    "matrix",
    "nested",
    "nll",
    "occlusion_map",
    "pack",
    "temperature",
    "to_json",
    "transfer",
    "unpack",
    "variants",
    "wilson",
    "with_average",
]
