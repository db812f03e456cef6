"""Evaluation: per-image outcomes of attacks, their intervals, and paired comparisons of networks."""

from windfirm.evaluate.compare import Comparison, Delta, Subject, compare, from_json, to_json, with_average
from windfirm.evaluate.distance import Distances, distances, median
from windfirm.evaluate.examples import Example, View, examples
from windfirm.evaluate.intervals import interval, wilson
from windfirm.evaluate.loop import curve, evaluate
from windfirm.evaluate.outcome import Outcome, pack, unpack
from windfirm.evaluate.paired import Difference, difference

__all__ = [
    "Comparison",
    "Delta",
    "Difference",
    "Distances",
    "Example",
    "Outcome",
    "Subject",
    "View",
    "compare",
    "curve",
    "difference",
    "distances",
    "evaluate",
    "examples",
    "from_json",
    "interval",
    "median",
    "pack",
    "to_json",
    "unpack",
    "wilson",
    "with_average",
]
