"""A comparison as plain values, for a file and for other programs."""

from collections.abc import Mapping
from dataclasses import asdict
from math import inf, isfinite
from typing import Any

from windfirm.errors import InputError, expected
from windfirm.evaluate import curves
from windfirm.evaluate.calibration import Calibration
from windfirm.evaluate.compare import MARGIN, Comparison, Delta, Subject, compare
from windfirm.evaluate.inequality import inequality
from windfirm.evaluate.outcome import pack, unpack
from windfirm.evaluate.warnings import Checks, Finding


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values that json.dumps takes; every image's outcome is among them, packed.

    ``deltas`` have their verdict with them, and a null where no difference would show. ``inequality``: the
    poster's, against F and against the control.
    """
    compared = dict.fromkeys(delta.versus for delta in comparison.deltas if delta.attack == "clean")
    return {
        **vars(comparison),
        "subjects": [_subject(subject) for subject in comparison.subjects],
        "deltas": [_delta(delta) for delta in comparison.deltas],
        "inequality": [
            {**asdict(found), "answer": found.answer}
            for found in (inequality(comparison, versus) for versus in compared)
        ],
    }


def from_json(values: Mapping[str, Any]) -> Comparison:
    """What to_json wrote; what follows from the outcomes is computed from them again.

    Raises InputError when parts are missing or damaged.
    """
    try:
        subjects = [_read(subject) for subject in values["subjects"]]
        return compare(subjects, data=values["data"], seed=values["seed"], margin=values.get("margin", MARGIN))
    except (KeyError, TypeError) as error:
        raise InputError(expected("comparison", "the values of a comparison", f"others ({error})")) from error


def _delta(delta: Delta) -> dict[str, Any]:
    smallest = delta.smallest if isfinite(delta.smallest) else None
    return {**asdict(delta), "smallest": smallest, "verdict": delta.verdict}


def _subject(subject: Subject) -> dict[str, Any]:
    return {
        **vars(subject),
        "outcomes": [pack(outcome) for outcome in subject.outcomes],
        "curve": [pack(outcome) for outcome in subject.curve],
        "checks": subject.checks and asdict(subject.checks),
        "calibration": subject.calibration and _finite(asdict(subject.calibration)),
        "sweeps": [curves.to_json(curve) for curve in subject.sweeps],
    }


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """``values`` with a null for what is infinite, as the surprise at a class that a network rules out."""
    return {name: value if isfinite(value) else None for name, value in values.items()}


def _whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """What _finite was made of."""
    return {name: inf if value is None else value for name, value in values.items()}


def _read(values: Mapping[str, Any]) -> Subject:
    checks, calibration, middle = (values.get(name) for name in ("checks", "calibration", "latency_middle_ms"))
    return Subject(
        **{
            **values,
            "outcomes": tuple(map(unpack, values["outcomes"])),
            "curve": tuple(map(unpack, values["curve"])),
            "checks": checks and Checks(checks["images"], tuple(Finding(**found) for found in checks["findings"])),
            "calibration": calibration and Calibration(**_whole(calibration)),
            "sweeps": tuple(map(curves.from_json, values.get("sweeps", ()))),
            "latency_middle_ms": middle and (middle[0], middle[1]),
        }
    )
