"""Evaluation: per-image outcomes of attacks, their intervals, and paired comparisons of networks."""

from windfirm.evaluate.bootstrap import bootstrap
from windfirm.evaluate.calibration import Calibration, calibration, ece, logits, nll, temperature
from windfirm.evaluate.compare import Comparison, Delta, Subject, compare, with_average
from windfirm.evaluate.curves import EPSES, Curve, Sweep, against, against_eps, nested, sweep, variants
from windfirm.evaluate.distance import Distances, distances, median
from windfirm.evaluate.examples import Example, View, examples
from windfirm.evaluate.holm import holm
from windfirm.evaluate.inequality import Inequality, inequality
from windfirm.evaluate.intervals import interval, wilson
from windfirm.evaluate.loop import curve, evaluate
from windfirm.evaluate.occlusion_map import occlusion_map
from windfirm.evaluate.outcome import Outcome, pack, unpack
from windfirm.evaluate.paired import Difference, difference
from windfirm.evaluate.power import smallest_of
from windfirm.evaluate.score import equivalence
from windfirm.evaluate.several import Combined, combine
from windfirm.evaluate.stored import from_json, to_json
from windfirm.evaluate.transfer import matrix, transfer
from windfirm.evaluate.warnings import Checks, Finding

__all__ = [
    "EPSES",
    "Calibration",
    "Checks",
    "Combined",
    "Comparison",
    "Curve",
    "Delta",
    "Difference",
    "Distances",
    "Example",
    "Finding",
    "Inequality",
    "Outcome",
    "Subject",
    "Sweep",
    "View",
    "against",
    "against_eps",
    "bootstrap",
    "calibration",
    "combine",
    "compare",
    "curve",
    "difference",
    "distances",
    "ece",
    "equivalence",
    "evaluate",
    "examples",
    "from_json",
    "holm",
    "inequality",
    "interval",
    "logits",
    "matrix",
    "median",
    "nested",
    "nll",
    "occlusion_map",
    "pack",
    "smallest_of",
    "sweep",
    "temperature",
    "to_json",
    "transfer",
    "unpack",
    "variants",
    "wilson",
    "with_average",
]
