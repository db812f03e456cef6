import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_compare import subject
from windfirm.errors import InputError
from windfirm.evaluate import Calibration, Checks, Curve, Finding, Outcome, compare, from_json, to_json
from windfirm.evaluate.outcome import pack, unpack


def test_json_brings_back_every_image() -> None:
    checks = Checks(200, (Finding("a kind", "a text"),))
    checked = replace(subject("F'", 0.7), checks=checks, calibration=Calibration(150, 2.0, 0.1, 0.5, 0.05, 0.4))
    first = checked.outcomes[0]
    checked = replace(checked, latency_middle_ms=(0.2, 0.3), sweeps=(Curve("size", (4.0, 8.0), (first, first)),))
    comparison = compare([subject("F", 0.5), checked], data="toy/test", seed=3, margin=2.0)
    text = json.dumps(to_json(comparison))
    again = from_json(json.loads(text))
    assert json.dumps(to_json(again)) == text
    assert (again.deltas, again.margin) == (comparison.deltas, 2.0)
    assert again.subjects[1].checks == checks
    assert again.subjects[1].calibration == checked.calibration
    assert again.subjects[0].checks is None
    assert [subject.latency_middle_ms for subject in again.subjects] == [None, (0.2, 0.3)]
    (curve,) = again.subjects[1].sweeps
    assert (curve.what, curve.values, again.subjects[0].sweeps) == ("size", (4.0, 8.0), ())
    assert curve.outcomes[1].correct.tolist() == first.correct.tolist()
    for ours, theirs in zip(again.subjects, comparison.subjects, strict=True):
        assert (ours.role, ours.name, ours.macs, ours.latency_ms) == (theirs.role, theirs.name, 1000, 0.25)
        for a, b in zip(ours.outcomes + ours.curve, theirs.outcomes + theirs.curve, strict=True):
            assert (a.attack, a.title, a.eps, a.trials) == (b.attack, b.title, b.eps, b.trials)
            assert a.correct.dtype == np.int64
            assert a.correct.tolist() == b.correct.tolist()


def test_no_number_is_a_null() -> None:
    made = compare([subject("F", 0.5), subject("F'", 0.7)], data="toy/test", seed=3)
    made = replace(made, deltas=tuple(replace(delta, smallest=math.inf) for delta in made.deltas))
    assert [delta["smallest"] for delta in to_json(made)["deltas"]] == [None] * len(made.deltas)
    sure = replace(made.subjects[0], calibration=Calibration(150, 2.0, 0.1, math.inf, 0.05, math.inf))
    values = json.loads(json.dumps(to_json(replace(made, subjects=(sure, made.subjects[1]))), allow_nan=False))
    assert from_json(values).subjects[0].calibration == sure.calibration


def test_more_draws_than_a_file_can_hold_are_refused_before_there_is_one() -> None:
    most = Outcome("toy", "a toy", None, 65_535, np.array([65_535, 0]))
    assert unpack(pack(most)).correct.tolist() == [65_535, 0]
    with pytest.raises(InputError) as error:
        pack(replace(most, trials=65_536))
    assert str(error.value) == "outcome toy: expected at most 65,535 draws an image, got 65,536"


def _spoil(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    values["subjects"][0]["outcomes"][0][key] = value
    return values


def test_damaged_json_is_refused() -> None:
    comparison = compare([subject("F", 0.5, {"clean": 1}), subject("F'", 0.7, {"clean": 1})], data="toy", seed=3)
    count = comparison.subjects[0].outcomes[0].count
    for key, value, message in (
        ("correct", "AAAA", "outcome clean: expected packed counts per image, got damage ("),
        ("correct", "?", "outcome clean: expected packed counts per image, got damage ("),
        ("count", -1, f"outcome clean: expected -1 right of 300, got {count} of 300"),
    ):
        with pytest.raises(InputError) as error:
            from_json(_spoil(to_json(comparison), key, value))
        assert str(error.value).startswith(message)
    with pytest.raises(InputError) as error:
        from_json({"data": "toy"})
    assert str(error.value) == "comparison: expected the values of a comparison, got others ('subjects')"


def test_json_says_what_is_shown() -> None:
    values = to_json(compare([subject("F", 0.5), subject("F'", 0.8)], data="toy/test", seed=3))
    assert {delta["attack"]: delta["verdict"] for delta in values["deltas"]}["fgsm"] == "more"
    (found,) = values["inequality"]
    assert (found["versus"], found["more"], found["close"], found["rose"], found["answer"]) == (
        "F",
        ("semantic", "occlusion", "fgsm"),
        False,
        True,
        "holds",
    )


def test_what_an_earlier_version_wrote_is_read() -> None:
    comparison = compare([subject("F", 0.5), subject("F'", 0.7)], data="toy/test", seed=3)
    values = to_json(comparison)
    for old in values["subjects"]:
        del old["checks"], old["calibration"], old["sweeps"]
    values["deltas"] = [{key: old[key] for key in ("attack", "versus", "points", "low")} for old in values["deltas"]]
    del values["margin"], values["inequality"]
    assert from_json(values).deltas == comparison.deltas
