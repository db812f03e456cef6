from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import labelled, small_network
from tests.models.test_layout import Viewing
from windfirm.attack import build
from windfirm.errors import InputError
from windfirm.evaluate import sweep
from windfirm.models.latency import Latency
from windfirm.study.api import compare
from windfirm.study.measure import measure, naming

MODEL = small_network()
DATA = labelled(MODEL)


def test_a_network_compared_with_itself_differs_nowhere() -> None:
    found = compare(MODEL, MODEL, DATA.images / 255, DATA.labels, attacks=["fgsm"], control=MODEL)
    assert [subject.role for subject in found.subjects] == ["F", "F'", "control"]
    assert [(delta.attack, delta.versus) for delta in found.deltas] == [
        ("fgsm", "F"),
        ("clean", "F"),
        ("fgsm", "control"),
        ("clean", "control"),
    ]
    assert all((delta.points, delta.p) == (0, 1) for delta in found.deltas)
    assert found.images == 40


def test_one_attack_needs_no_list() -> None:
    for attacks in ("fgsm", build("fgsm")):
        found = compare(MODEL, MODEL, DATA, attacks=attacks, checked=0)
        assert [outcome.attack for outcome in found.subjects[0].outcomes] == ["fgsm", "clean"]


def test_the_networks_are_timed_by_turns_as_times_of_one_call_alone_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_turns(models: Sequence[nn.Module], example: Tensor) -> list[Latency]:
        return [Latency(number / 1000, 0.0005, number / 500, len(example), 20) for number, _ in enumerate(models, 1)]

    monkeypatch.setattr("windfirm.study.measure.latencies", by_turns)
    found = compare(MODEL, MODEL, DATA, attacks=[], control=MODEL, checked=0)
    assert [(subject.role, subject.latency_ms) for subject in found.subjects] == [("F", 1), ("F'", 2), ("control", 3)]
    assert [subject.latency_middle_ms for subject in found.subjects] == [(0.5, 2), (0.5, 4), (0.5, 6)]


def test_sizes_may_be_written_as_people_do() -> None:
    said, meant = (
        compare(MODEL, MODEL, DATA, attacks=["fgsm"], eps=eps, epses=[eps], checked=0) for eps in ("2/255", 2 / 255)
    )
    assert said.deltas == meant.deltas
    assert [outcome.eps for outcome in said.subjects[0].outcomes] == [2 / 255, None]
    assert [outcome.eps for outcome in said.subjects[0].curve] == [2 / 255]
    with pytest.raises(InputError, match=r"eps: expected a number in \[0, 1\], such as 8/255, got 2"):
        compare(MODEL, MODEL, DATA, attacks=["fgsm"], eps=2, checked=0)


def test_an_attack_of_ones_own_is_taken_as_it_is() -> None:
    mine = replace(build("fgsm"), name="mine")
    found = compare(MODEL, MODEL, DATA, attacks=["fgsm", mine, build("clean")], checked=0)
    names = [outcome.attack for outcome in found.subjects[0].outcomes]
    assert names == ["fgsm", "mine", "clean"]
    first, second, _ = found.subjects[0].outcomes
    assert (first.correct == second.correct).all()


def test_a_length_that_an_attack_lacks_is_told_before_any_network_is_attacked() -> None:
    class Unasked(nn.Identity):
        def forward(self, input: Tensor) -> Tensor:
            raise AssertionError("asked")

    wanted = "^eps: expected a length in L2 for pgd, such as 0.5, got none$"
    how: dict[str, Any]
    for how in (
        {"attacks": ["clean", build("pgd", norm="l2")]},
        {"attacks": [], "sweeps": [sweep("pgd", 8, "steps", (2, 4), norm="l2")]},
    ):
        with pytest.raises(InputError, match=wanted):
            compare(Unasked(), Unasked(), DATA, **how)
    assert compare(MODEL, MODEL, DATA, attacks=build("pgd", norm="l2"), eps=0.5, checked=0).subjects[0].outcomes


def test_margin_and_checks_are_passed_on() -> None:
    found = compare(MODEL, MODEL, DATA, attacks=[], margin=2.5, checked=30)
    assert found.margin == 2.5
    assert [subject.checks and subject.checks.images for subject in found.subjects] == [30, 30]
    assert compare(MODEL, MODEL, DATA, attacks=[], checked=0).subjects[0].checks is None


def test_sweeps_are_measured_on_every_network() -> None:
    found = compare(MODEL, MODEL, DATA, attacks=[], sweeps=[sweep("occlusion", 8, "size", (2, 4))], checked=0)
    assert [[curve.values for curve in subject.sweeps] for subject in found.subjects] == [[(2, 4)], [(2, 4)]]


def test_a_labelled_set_needs_no_labels_beside_it() -> None:
    found = compare(MODEL, MODEL, DATA, attacks=[])
    assert [outcome.count for outcome in found.subjects[0].outcomes] == [32]


def test_a_network_that_does_not_fit_is_named() -> None:
    with pytest.raises(InputError) as error:
        compare(MODEL, small_network(classes=4), DATA)
    assert str(error.value) == "F': expected outputs of shape (40, 3) for the classes of toy/test, got (40, 4)"


def test_an_error_about_something_else_keeps_its_words() -> None:
    with pytest.raises(InputError, match=r"^F: eps: expected"), naming("F"):
        raise InputError("eps: expected less, got more")


def test_progress_counts_attacks_and_the_timing() -> None:
    seen: list[tuple[int, int]] = []
    measure("F", "toy", MODEL, DATA, [], epses=(), checked=0, progress=lambda done, steps: seen.append((done, steps)))
    assert seen == [(1, 1)]


def test_a_network_that_keeps_what_it_computed_is_compared_as_well() -> None:
    network: Any = small_network()
    network.seen = [network(DATA.images / 255)]
    found = compare(network, network, DATA, attacks=["fgsm", "occlusion"], checked=0)
    assert all(delta.points == 0 for delta in found.deltas)


def test_fewer_than_no_images_cannot_be_checked() -> None:
    with pytest.raises(InputError, match="checked: expected at least 0 images, got -1"):
        compare(MODEL, MODEL, DATA, attacks=["fgsm"], checked=-1)


def test_an_attack_of_ones_own_must_not_be_called_clean() -> None:
    model = small_network()
    own = replace(build("occlusion", 8), name="clean")
    with pytest.raises(InputError, match="attacks: expected an attack with a name of its own, got clean"):
        compare(model, model, labelled(model), attacks=[own], checked=0)


@pytest.mark.parametrize("precision", [torch.float64, torch.float16])
def test_networks_of_other_precisions_are_compared_as_well(precision: torch.dtype) -> None:
    network = small_network().to(precision)
    found = compare(network, MODEL, DATA, attacks=["fgsm"], checked=0)
    assert found.subjects[0].macs == found.subjects[1].macs


def test_a_scalar_of_another_precision_does_not_say_what_a_network_takes() -> None:
    network = small_network()
    network.register_parameter("temperature", nn.Parameter(torch.ones((), dtype=torch.float64)))
    assert next(network.parameters()).dtype == torch.float64
    found = compare(network, MODEL, DATA, attacks=["fgsm"], checked=0)
    assert found.subjects[0].macs == found.subjects[1].macs


def test_a_network_that_takes_values_as_they_lie_is_compared_as_one_that_reshapes_them() -> None:
    ours, theirs = Viewing(3), Viewing(3, reshape=True)
    theirs.load_state_dict(ours.state_dict())
    found = compare(ours, theirs, labelled(theirs), attacks=["fgsm", "pgd", "square"], checked=8)
    assert all(delta.points == 0 for delta in found.deltas)


def test_what_cannot_be_compared_is_told_before_it_is_measured() -> None:
    def fail(*args: object) -> Tensor:
        raise AssertionError("measured")

    own = replace(build("fgsm"), apply=fail)
    with pytest.raises(InputError, match="compare: expected attacks that each have a name of their own, got fgsm tw"):
        compare(MODEL, MODEL, DATA, attacks=[own, own], checked=0)
    with pytest.raises(InputError, match="sweeps: expected a list of what "):
        compare(MODEL, MODEL, DATA, attacks=[own], sweeps=["fgsm"], checked=0)  # type: ignore[list-item]
    with pytest.raises(InputError, match="labels: expected those of the Images alone, got others"):
        compare(MODEL, MODEL, DATA, DATA.labels, attacks=[own], checked=0)
    with pytest.raises(InputError, match=r"compare: expected a margin in \(0, 100\] percentage points, got 0"):
        compare(MODEL, MODEL, DATA, attacks=[own], margin=0, checked=0)
