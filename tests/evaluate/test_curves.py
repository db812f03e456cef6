import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from tests.evaluate.toys import Counting, labelled, make, small_network
from tests.oracles import linear_binary, linear_radius
from windfirm.attack import Budget, build
from windfirm.data.images import Images
from windfirm.errors import InputError
from windfirm.evaluate import Outcome, evaluate
from windfirm.evaluate.curves import EPSES, Curve, against, against_eps, from_json, nested, sweep, to_json, variants
from windfirm.evaluate.intervals import interval


def made(*rows: list[int], eps: bool = True, trials: int = 1) -> Curve:
    outcomes = [
        Outcome("toy", "a toy", i / 255 if eps else None, trials, np.array(row, np.int64)) for i, row in enumerate(rows)
    ]
    return Curve("eps" if eps else "size", tuple(i / 255 for i in range(len(rows))), tuple(outcomes))


def test_fgsm_on_a_linear_network_falls_as_the_radii_say() -> None:
    weights = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)) / 10
    bias = -0.5 * weights.sum().item()
    model = linear_binary(weights, bias)
    pixels = torch.randint(80, 176, (60, 3, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    images = Images(pixels, model(pixels / 255).argmax(1), ("a", "b"), "toy/test")
    radii = linear_radius(weights, bias, pixels / 255)
    curve = against_eps(model, images, build("fgsm", 8))
    assert (curve.what, curve.values) == ("eps", EPSES)
    assert [outcome.count for outcome in curve.outcomes] == [int((radii > eps).sum()) for eps in EPSES]
    assert len(set(curve.accuracies)) > 5
    assert nested(curve).accuracies == curve.accuracies


def test_points_come_in_order_with_the_outcomes_of_evaluate() -> None:
    model = Counting()
    images = labelled(model)
    points = variants("occlusion", 8, "size", (6, 0, 3), trials=4)
    curve = against(model, images, "patch size", points, seed=5)
    assert (curve.what, curve.values) == ("patch size", (0, 3, 6))
    for size, outcome in zip(curve.values, curve.outcomes, strict=True):
        alone = evaluate(model, images, build("occlusion", 8, size=size, trials=4), seed=5)
        assert outcome.correct.tolist() == alone.correct.tolist()
        assert outcome.title == alone.title
    assert curve.accuracies[0] == evaluate(model, images, build("clean", 8)).accuracy
    assert curve.bands() == tuple(interval(outcome) for outcome in curve.outcomes)


def test_no_attack_is_run_at_eps_0_and_bands_are_of_the_level_asked_for() -> None:
    model, seen = small_network(), list[float]()

    def noted(_: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        seen.append(budget.eps)
        return images

    found = against_eps(model, labelled(model), make(noted, norm=True), (0.0, 0.1, 0.2))
    assert seen == [0.1, 0.2]
    for (low, high), outcome in zip(found.bands(0.5), found.outcomes, strict=True):
        truth = stats.binomtest(outcome.count, 40).proportion_ci(0.5, "wilson")
        assert (low, high) == pytest.approx((truth.low, truth.high), abs=1e-9)


@pytest.mark.parametrize(("name", "option", "values"), [("semantic", "turn", (0, 0.5, 1)), ("fog", "severity", (1, 5))])
def test_hue_and_severity_are_values_like_others(name: str, option: str, values: tuple[float, ...]) -> None:
    points = variants(name, 32, option, values)
    assert [(value, attack.title) for value, attack in points] == [
        (value, build(name, 32, **{option: value}).title) for value in values
    ]


def test_nested_counts_an_image_fooled_once_as_fooled_from_there_on() -> None:
    plain = made([1, 1, 1, 0], [1, 0, 1, 1], [0, 1, 1, 1])
    assert plain.accuracies == (0.75, 0.75, 0.75)
    curve = nested(plain)
    assert [outcome.correct.tolist() for outcome in curve.outcomes] == [[1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0]]
    assert [outcome.eps for outcome in curve.outcomes] == [outcome.eps for outcome in plain.outcomes]
    assert {outcome.title for outcome in curve.outcomes} == {"a toy, worst of every eps up to it"}


OF_STEPS = replace(made([1, 0]), what="steps")


@pytest.mark.parametrize("curve", [made([1, 0], eps=False), made([3, 2], trials=4), OF_STEPS])
def test_nested_is_for_worst_cases_at_several_eps(curve: Curve) -> None:
    with pytest.raises(InputError) as error:
        nested(curve)
    assert str(error.value) == f"curve of {curve.what}: expected worst-case outcomes at several eps, got others"


def test_what_is_no_curve_is_refused() -> None:
    curve = made([1, 0], [0, 0])
    with pytest.raises(InputError) as error:
        replace(curve, values=(0.0,))
    assert str(error.value) == "curve of eps: expected as many outcomes as values, at least one, got 1 and 2"
    with pytest.raises(InputError) as error:
        replace(curve, values=(0.5, 0.5))
    assert str(error.value) == "curve of eps: expected values that grow, got [0.5, 0.5]"
    with pytest.raises(InputError) as error:
        made([1, 0], [0])
    assert str(error.value) == "curve of eps: expected the same number of images everywhere, got [1, 2]"
    with pytest.raises(InputError) as error:
        against_eps(small_network(), labelled(small_network()), build("occlusion", 8))
    assert str(error.value) == "occlusion: expected an attack that eps limits, got one without a norm"
    with pytest.raises(InputError, match="sweep of pgd: expected lengths to go over, such as"):
        sweep("pgd", 8, norm="l2")


def test_a_curve_survives_json() -> None:
    curve = made([1, 1, 0], [0, 1, 0])
    back = from_json(json.loads(json.dumps(to_json(curve))))
    assert (back.what, back.values, back.accuracies) == (curve.what, curve.values, curve.accuracies)
    for ours, theirs in zip(back.outcomes, curve.outcomes, strict=True):
        assert ours.correct.tolist() == theirs.correct.tolist()
        assert (ours.title, ours.eps) == (theirs.title, theirs.eps)
    with pytest.raises(InputError) as error:
        from_json({"what": "eps"})
    assert str(error.value) == "curve: expected the values of a curve, got others ('values')"


def test_a_sweep_measures_what_the_curve_of_its_kind_does() -> None:
    model = small_network()
    images = labelled(model)
    sizes = sweep("occlusion", 8, "size", (6, 2), trials=2).measure(model, images, seed=3)
    assert (sizes.what, sizes.values) == ("size", (2, 6))
    for size, outcome in zip(sizes.values, sizes.outcomes, strict=True):
        alone = evaluate(model, images, build("occlusion", 8, size=int(size), trials=2), seed=3)
        assert outcome.correct.tolist() == alone.correct.tolist()
    steps: dict[str, Any] = {"steps": 3}
    for name, options in (("fgsm", {}), ("pgd", steps)):
        found = sweep(name, 8, values=(0.05, 0), **options).measure(model, images, seed=3)
        assert (found.what, found.values) == ("eps", (0, 0.05))
        for eps, outcome in zip(found.values, found.outcomes, strict=True):
            alone = evaluate(model, images, build(name, 8, **options), eps=eps, seed=3)
            assert (outcome.attack, outcome.eps, outcome.title) == (name, eps, alone.title)
            assert outcome.correct.tolist() == alone.correct.tolist()
        assert found.outcomes[0].count == 32 > found.outcomes[1].count
    written = sweep("fgsm", 8, values=("1/255", "16/255", "2/255")).measure(model, images)
    assert written.values == (1 / 255, 2 / 255, 16 / 255)
    more = sweep("pgd", 8, "steps", (1, 4)).measure(model, images, eps=0.05)
    assert [outcome.eps for outcome in more.outcomes] == [0.05, 0.05]


def test_what_is_no_sweep_is_refused() -> None:
    for values in ((8,), (4, 4)):
        with pytest.raises(InputError) as error:
            sweep("occlusion", 8, "size", values)
        assert str(error.value) == f"sweep of size: expected at least two values, all different, got {list(values)}"
    with pytest.raises(InputError) as error:
        sweep("occlusion", 8)
    assert str(error.value) == "occlusion: expected an attack that eps limits, got one without a norm"


def test_values_may_be_numbers_of_numpy() -> None:
    model = Counting()
    points = [
        *variants("occlusion", 8, "size", list(np.arange(1, 3))),
        *variants("fog", 8, "severity", list(np.arange(3, 5))),
    ]
    curve = against(model, labelled(model), "size", points)
    assert from_json(json.loads(json.dumps(to_json(curve)))).values == (1, 2, 3, 4)
