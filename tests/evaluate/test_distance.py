import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.attack.nets import linear_classes
from tests.evaluate.toys import Counting, labelled, make, nothing, small_network
from tests.oracles import linear_distances
from windfirm.attack import Attack, Budget, build
from windfirm.attack.budget import Norm
from windfirm.data.images import Images
from windfirm.errors import InputError, WindfirmError
from windfirm.evaluate import Distances, distances, evaluate, median
from windfirm.models.device import is_exact


def pixels(model: nn.Module, count: int, side: int = 4, wrong: int = 0) -> Images:
    """Images of 256 values around grey, labelled as ``model`` does, the first ``wrong`` of them otherwise."""
    generator = torch.Generator().manual_seed(6)
    values = torch.randint(100, 156, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        labels = model.double()((values / 255).double()).argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return Images(values, labels, ("a", "b", "c"), "toy/test")


@pytest.mark.parametrize("name", ["deepfool", "fab-t"])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_the_distances_of_a_linear_network_are_bounded_from_above_and_closely(
    name: str, norm: Norm, dual: float
) -> None:
    model, weights, biases = linear_classes(3)
    images = pixels(model, 40, wrong=4)
    options = {"steps": 20, "minimal": True} if name == "fab-t" else {}
    found = distances(model, images, build(name, 4, norm=norm, **options))
    exact = linear_distances(weights, biases, (images.images / 255).double(), dual).numpy()
    assert found.norm == norm
    assert found.sizes[:4].tolist() == [0] * 4
    noise = 1e-6  # of logits in float32, where an image is next to the border
    assert (found.sizes[4:] >= exact[4:] - noise).all()
    assert (found.sizes[4:] <= exact[4:] * (1 + 1e-3) + noise).all()


def test_an_attack_that_goes_too_far_is_brought_back_to_the_border() -> None:
    model, weights, biases = linear_classes(2)
    images = replace(pixels(model, 40), classes=("a", "b"))

    def far(_: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        slope = (weights[1] - weights[0]).view(1, 3, 4, 4) * (1 - 2 * labels)[:, None, None, None]
        return (slope > 0).to(images)

    found = distances(model, images, make(far, norm=True), halvings=20)
    # Towards a corner of the box values move by shares of their room, none of which is less than 100/255.
    exact = linear_distances(weights, biases, (images.images / 255).double(), 1).numpy()
    assert (found.sizes >= exact * (1 - 1e-5)).all()
    assert (found.sizes <= exact * 156 / 100).all()


def test_what_is_not_fooled_is_infinitely_far_and_what_is_wrong_is_at_no_distance() -> None:
    model = Counting()
    found = distances(model, labelled(model), make(nothing, norm=True), largest=0.25)
    assert found.sizes.tolist() == [0] * 8 + [math.inf] * 32
    assert (found.attack, found.title, found.largest) == ("toy", "a toy", 0.25)


@pytest.mark.parametrize(("norm", "longest"), [("linf", 1.0), ("l2", (3 * 8 * 8) ** 0.5)])
def test_by_default_it_is_looked_as_far_as_from_black_to_white(norm: Norm, longest: float) -> None:
    model = small_network()
    found = distances(model, labelled(model), build("deepfool", 8, norm=norm, steps=1))
    assert found.largest == pytest.approx(longest)
    assert torch.linalg.vector_norm(torch.ones(3 * 8 * 8), float("inf") if norm == "linf" else 2) == longest


def test_the_nearest_of_all_trials_counts() -> None:
    model = small_network()
    images = labelled(model)
    attack = build("deepfool", 8)

    def every_other(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        assert budget.ids is not None
        changed = attack.apply(model, images, labels, budget)
        return torch.where((budget.ids % 2 == budget.trial)[:, None, None, None], changed, images)

    whole = distances(model, images, attack)
    assert np.isfinite(whole.sizes).all()
    assert distances(model, images, make(every_other, trials=2, norm=True)).sizes.tolist() == whole.sizes.tolist()
    half = distances(model, images, make(every_other, norm=True)).sizes
    assert np.isinf(half[9::2]).all()
    assert np.isfinite(half[::2]).all()


def test_the_attack_is_given_the_seed_the_largest_change_and_every_trial() -> None:
    model, seen = Counting(), list[tuple[int, int, float]]()

    def noted(_: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        seen.append((budget.seed, budget.trial, budget.eps))
        return images

    distances(model, labelled(model), make(noted, trials=2, norm=True), largest=0.25, seed=5, batch=40)
    assert seen == [(5, 0, 0.25), (5, 1, 0.25)]


def test_the_batch_changes_nothing() -> None:
    model = small_network()
    images = labelled(model)
    sizes = [distances(model, images, build("deepfool", 8), batch=batch).sizes for batch in (7, 40)]
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=1e-3)


def test_the_curve_of_accuracy_follows_from_the_distances() -> None:
    found = Distances("toy", "a toy", "linf", 0.5, np.array([0.0, 0.1, 0.2, 0.2, math.inf]))
    assert [found.at(eps).count for eps in (0.0, 0.05, 0.1, 0.2, 0.5)] == [4, 4, 3, 1, 1]
    outcome = found.at(0.1)
    assert (outcome.attack, outcome.title, outcome.eps, outcome.trials) == ("toy", "a toy", 0.1, 1)
    assert outcome.correct.tolist() == [0, 0, 1, 1, 1]
    with pytest.raises(InputError) as error:
        found.at(0.6)
    assert str(error.value) == "eps: expected a change that was looked for, in [0, 0.5], got 0.6"


def test_the_curve_is_that_of_the_attack_or_below() -> None:
    model = small_network()
    images = labelled(model)
    attack = build("deepfool", 8)
    found = distances(model, images, attack)
    survived = evaluate(model, images, attack, eps=0.02).correct
    assert 0 < survived.sum() < len(images)
    assert (found.at(0.02).correct <= survived).all()


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_what_is_fooled_at_the_largest_distance_does_not_survive_it(name: str) -> None:
    model = small_network()
    images = labelled(model)
    found = distances(model, images, build(name, 8), largest=8 / 255, halvings=0)  # as far as float32 goes
    survived = evaluate(model, images, build(name, 8), eps=8 / 255).correct
    assert 0 < survived.sum() < len(images)
    assert found.at(8 / 255).correct.tolist() == survived.tolist()


@pytest.mark.parametrize(
    ("count", "low", "high"), [(6, 1, 6), (10, 2, 9), (15, 4, 12), (20, 6, 15), (25, 8, 18), (100, 40, 61)]
)
def test_the_interval_of_a_median_lies_between_the_order_statistics_of_the_tables(
    count: int, low: int, high: int
) -> None:
    sizes = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert median(sizes) == ((count + 1) / 2, low, high)


def test_medians_of_few_or_of_infinite_distances_say_so() -> None:
    assert median(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == (3.0, 0.0, math.inf)
    assert median(np.array([0.0] * 4 + [math.inf] * 8)) == (math.inf, 0.0, math.inf)
    assert median(np.array([0.0] * 8 + [math.inf] * 2)) == (0.0, 0.0, math.inf)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).exponential(size=(400, 21))
    intervals = [median(row, 0.9)[1:] for row in draws]
    covered = np.mean([low <= math.log(2) <= high for low, high in intervals])
    assert 0.89 <= covered <= 0.95  # 0.92 for 21 draws; the next narrower interval would cover 0.81


def test_progress_counts_images() -> None:
    model, seen = Counting(), []
    attack = make(nothing, trials=2, norm=True)
    distances(model, labelled(model), attack, batch=30, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(30, 40), (40, 40)]


def test_the_network_is_left_as_it_was() -> None:
    model = small_network().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    distances(model, labelled(small_network()), build("deepfool", 8, steps=2))
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_attacks_without_a_norm_and_those_that_cheat_are_refused() -> None:
    model = Counting()
    with pytest.raises(InputError) as error:
        distances(model, labelled(model), build("occlusion", 8))
    assert str(error.value) == "distances: expected an attack whose changes have a norm, got occlusion"

    def beyond(_: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return 1 - images

    cheat: Attack = make(beyond, norm=True)
    with pytest.raises(WindfirmError, match=r"attack toy: expected changes of at most 0\.1, got"):
        distances(model, labelled(model), cheat, largest=0.1)
    with pytest.raises(InputError) as error:
        distances(model, labelled(model), cheat, halvings=-1)
    assert str(error.value) == "distances: expected 0 or more halvings, got -1"
    for largest in (-1.0, float("nan"), 8.0):
        with pytest.raises(InputError, match=r"eps: expected a number in \[0, 1\], such as 8/255, got"):
            distances(model, labelled(model), "deepfool", largest=largest)
    assert distances(model, labelled(model), "deepfool", largest="8/255").largest == 8 / 255


def test_changes_are_looked_for_in_float32_as_the_judge_sees_them() -> None:
    found: list[bool] = []

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        found.append(is_exact())
        return images

    model = small_network()
    distances(model, labelled(model), make(apply, norm=True), halvings=0)
    assert set(found) == {True}
