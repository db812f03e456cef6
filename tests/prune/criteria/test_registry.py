import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE
from windfirm.errors import CutError, InputError
from windfirm.prune.criteria import CRITERIA, Observer, Scores, Subject, criterion, score, scores
from windfirm.prune.criteria.members import filters, mean_over_members
from windfirm.prune.criteria.points import makers
from windfirm.prune.structure import Structure, anatomy, structures


def network() -> Any:
    model: Any = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 0.0]]).view(2, 2, 1, 1))
        model[0].bias.zero_()
    return model


@criterion("l0")
def l0(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """How many weights of a filter are not zero."""
    return mean_over_members(structures, lambda piece: filters(subject, piece).ne(0).sum(1))


@criterion("largest", data=True)
def largest(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """The largest number that a layer gives for any image, in any precision."""
    places = {makers(subject.traced, s.producers[0])[0].place: s for s in structures}
    most: Scores = {}

    def show(structure: Structure, output: Tensor) -> None:
        most[structure] = torch.maximum(most.get(structure, output.amax((0, 2, 3))), output.amax((0, 2, 3)))

    points = {place: lambda output, images, s=s: show(s, output) for place, s in places.items()}
    return Observer(lambda half: most, points)


def test_a_criterion_of_your_own_that_looks_at_weights() -> None:
    model = network()
    free = structures(model, EXAMPLE)
    (values,) = score(l0, model, free).values()
    assert values.tolist() == [2, 1]
    assert values.dtype is torch.float64


def test_a_criterion_of_your_own_that_looks_at_images_beside_one_of_ours() -> None:
    model, free = network().float(), structures(network(), EXAMPLE)
    one, two = torch.ones(1, 2, 1, 1), torch.tensor([-3.0, 0.0]).view(1, 2, 1, 1)
    batches = [(one, torch.tensor([0])), (two, torch.tensor([1]))]
    found = scores([largest, "expected-abs", l0], model, free, batches)
    assert list(found) == ["largest", "expected-abs", "l0"]
    (values,) = found["largest"].scores.values()
    assert values.tolist() == [-1, 0.5]
    assert values.dtype is torch.float64  # whatever precision the network has
    assert found["l0"].halves is None


def test_the_criteria_are_sorted_and_called_what_they_are() -> None:
    assert list(CRITERIA) == sorted(CRITERIA)
    assert all(name == entry.name for name, entry in CRITERIA.items())
    assert all(entry.begin.__doc__ for entry in CRITERIA.values())


def test_an_unknown_criterion_is_answered_with_the_nearest_known_one() -> None:
    known = f"{' or '.join(CRITERIA)} or package.module:criterion"
    for wrong, hint in (("randm", "; did you mean random?"), ("zzz", ""), (3, "")):
        with pytest.raises(InputError) as error:
            score(wrong, network(), ())  # type: ignore[arg-type]
        assert str(error.value) == f"criterion: expected {known}, got {wrong}{hint}"


def test_two_criteria_of_one_name_are_refused_and_one_asked_twice_is_one() -> None:
    free = structures(network(), EXAMPLE)
    mine = criterion("l1")(l0.begin)
    with pytest.raises(InputError) as error:
        scores(["l1", mine], network(), free)
    assert str(error.value) == "criteria: expected each of a name of its own, got two called l1"
    assert list(scores(["l1", "l1"], network(), free)) == ["l1"]


def test_scores_that_are_not_numbers_are_refused() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[0] = math.nan
    with pytest.raises(CutError) as error:
        score("l1", model, structures(model, EXAMPLE))
    assert str(error.value) == "l1 of 0: expected 2 finite scores, got [nan, 0.5]"


def test_scores_that_are_not_one_for_each_unit_are_refused() -> None:
    @criterion("short")
    def short(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
        return {s: torch.ones(s.size - 1) for s in structures}

    with pytest.raises(CutError) as error:
        score(short, network(), structures(network(), EXAMPLE))
    assert str(error.value) == "short of 0: expected 2 finite scores, got [1.0]"


@pytest.mark.parametrize("wrong", [None, 3, [], {"0": 1.0}])
def test_what_is_no_scores_at_all_is_refused(wrong: Any) -> None:
    with pytest.raises(CutError) as error:
        score(criterion("odd")(lambda subject, structures, seed: wrong), network(), structures(network(), EXAMPLE))
    wanted = "odd: expected an Observer, or a tensor of scores for each structure"
    assert str(error.value) == f"{wanted}, got {type(wrong).__name__}"


def test_many_scores_that_are_not_numbers_are_counted() -> None:
    model: Any = nn.Sequential(nn.Conv2d(2, 20, 1), nn.Conv2d(20, 1, 1)).double()
    with torch.no_grad():
        model[0].weight[3] = math.nan
    with pytest.raises(CutError) as error:
        score("l1", model, structures(model, EXAMPLE))
    assert str(error.value) == "l1 of 0: expected 20 finite scores, got 19 in shape [20]"


@pytest.mark.parametrize("name", ["l1", "kl-divergence"])
def test_structures_of_another_network_are_refused(name: str) -> None:
    wider = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)).double()
    for other in (wider, nn.Sequential(nn.Sequential(wider))):
        with pytest.raises(InputError, match=r"structures: expected those of this network, got .*0 of another"):
            score(name, network(), structures(other, EXAMPLE), [(EXAMPLE, torch.zeros(1))])


def test_a_criterion_that_follows_the_forward_pass_without_data_needs_an_anatomy() -> None:
    @criterion("calls")
    def calls(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
        return {s: torch.full((s.size,), len(subject.traced.calls)) for s in structures}

    body = anatomy(network(), EXAMPLE)
    with pytest.raises(InputError) as error:
        score(calls, network(), body.structures)
    wanted = "the network's anatomy as body, for a criterion without data that follows the forward pass"
    assert str(error.value) == f"score: expected {wanted}, got none"
    (values,) = score(calls, network(), body.structures, body=body).values()
    assert values.tolist() == [len(body.traced.calls)] * 2
