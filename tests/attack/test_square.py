from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.attack.nets import Watched, linear, middling
from tests.oracles import linear_radius
from windfirm.attack.budget import Budget
from windfirm.attack.registry import build
from windfirm.attack.square import side_of_square
from windfirm.errors import InputError


class Firm(nn.Module):
    """Always sure of class 0, a little less so where the images are bright."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack((torch.full((len(x),), 1e3).to(x), x.sum((1, 2, 3))), 1)


class Noted(nn.Module):
    """As sure of class 0 of every image, so that no query is kept; what it was shown, query by query."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(x.clone())
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)


def shown(images: Tensor, queries: int, **options: float) -> list[Tensor]:
    """What square asks, of class 0, at eps 0.1."""
    model = Noted()
    labels = torch.zeros(len(images), dtype=torch.int64)
    build("square", images.shape[2], queries=queries, **options).apply(model, images, labels, Budget(0.1))
    return model.shown


@pytest.mark.parametrize(
    ("query", "side"),
    # The root of 0.8·32·32 / 2^halvings: 28.6, 20.2, 14.3, 10.1, 7.2, 5.1, 3.6, 2.5, 1.8, 1.3.
    [
        (1, 29), (10, 29), (11, 20), (50, 20), (51, 14), (200, 14), (201, 10), (500, 10), (501, 7), (1000, 7),
        (1001, 5), (2000, 5), (2001, 4), (4000, 4), (4001, 3), (6000, 3), (6001, 2), (8000, 2), (8001, 1), (9999, 1),
    ],
)  # fmt: skip
def test_squares_shrink_as_in_the_paper(query: int, side: int) -> None:
    assert side_of_square(query, 10_000, 0.8, 32, 32) == side


def test_the_times_at_which_squares_shrink_are_rescaled_to_the_queries() -> None:
    assert [side_of_square(query, 1_000, 0.8, 32, 32) for query in (1, 2, 5, 6, 20, 21)] == [29, 20, 20, 14, 14, 10]
    assert [side_of_square(10 * query, 10_000, 0.8, 32, 32) for query in range(1000)] == [
        side_of_square(query, 1_000, 0.8, 32, 32) for query in range(1000)
    ]


def test_squares_go_on_shrinking_from_one_block_of_numbers_to_the_next() -> None:
    asked = shown(torch.full((40, 3, 16, 16), 0.5), 300)
    for query in (1, 99, 100, 101, 199, 200, 201, 299):
        halvings = sum(10_000 * query / 300 > t for t in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
        side = round((0.8 / 2**halvings * 16 * 16) ** 0.5)
        differs = (asked[query] != asked[0]).any(1)
        spans = [int(i.max() - i.min()) + 1 for one in differs if one.any() for i in one.nonzero().unbind(1)]
        assert max(spans) == side, query


def test_a_square_is_inside_the_image() -> None:
    assert side_of_square(1, 100, 1.0, 8, 32) == 8
    assert side_of_square(99, 100, 0.01, 4, 4) == 1


def test_squares_reach_every_place_of_an_image_that_is_not_square() -> None:
    for height, width in ((3, 9), (9, 3)):
        stripes, changed = shown(torch.full((1_000, 3, height, width), 0.5), 2, share=0.01)
        places = {tuple(place) for place in (changed != stripes).any(1).nonzero()[:, 1:].tolist()}
        assert places == set(product(range(height), range(width)))


def test_the_first_query_is_of_vertical_stripes_with_a_sign_a_channel() -> None:
    images = torch.full((60, 3, 4, 8), 0.5)
    (changed,) = shown(images, 1)
    signs = ((changed - images) / 0.1).round()
    torch.testing.assert_close(changed, images + 0.1 * signs)
    assert set(signs.flatten().tolist()) == {-1, 1}
    assert torch.equal(signs, signs[:, :, :1].expand_as(signs))
    # Of 60 images, 3 channels and 8 stripes each sign is tossed for by itself.
    stripes = signs[:, :, 0].flatten(1)
    assert len({tuple(row) for row in stripes.tolist()}) == 60
    assert (stripes.T.corrcoef() - torch.eye(24)).abs().max() < 5 / 60**0.5


def test_a_linear_network_is_fooled_exactly_within_its_margin_given_enough_queries() -> None:
    images = middling(100)
    model, weights, bias = linear(images)
    labels = model(images).argmax(1)
    changed = build("square", 4, queries=1000).apply(model, images, labels, Budget(0.01))
    within = linear_radius(weights, bias, images) < 0.01
    assert torch.equal(model(changed).argmax(1) != labels, within)
    assert 20 < int(within.sum()) < 80
    assert (changed - images).abs().max() <= 0.01 + 1e-12


@pytest.mark.parametrize("queries", [1, 2, 150])
def test_no_more_queries_are_made_than_asked_for(queries: int) -> None:
    model = Watched(Firm())
    images, labels = torch.rand(3, 3, 4, 4), torch.zeros(3, dtype=torch.int64)
    build("square", 4, queries=queries).apply(model, images, labels, Budget())
    assert model.counts == [3] * queries


def test_the_network_is_shown_no_more_than_a_batch_at_once() -> None:
    model = Watched(Firm())
    images, labels = torch.rand(5, 3, 4, 4), torch.zeros(5, dtype=torch.int64)
    build("square", 4, queries=3).apply(model, images, labels, Budget(batch=2))
    assert model.counts == [2, 2, 1] * 3


def test_an_image_leaves_with_the_query_that_fools() -> None:
    class Falls(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            """The image with the highest first value of the batch is wrong at every fourth call."""
            self.calls += 1
            wrong = (self.calls % 4 == 0) & (x[:, 0, 0, 0] == x[:, 0, 0, 0].max())
            return torch.stack((torch.ones(len(x)), 2.0 * wrong), 1)

    model = Watched(Falls())
    images = torch.arange(3).float().view(3, 1, 1, 1).expand(3, 3, 4, 4) / 4
    changed = build("square", 4, queries=100).apply(model, images, torch.zeros(3, dtype=torch.int64), Budget())
    assert model.counts == [3] * 4 + [2] * 4 + [1] * 4
    assert (changed != images).any()


def test_only_what_lowers_the_margin_stays() -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
    brightness = [
        build("square", 8, queries=queries).apply(Firm(), images, labels, Budget(0.1)).sum((1, 2, 3))
        for queries in (1, 20, 200)
    ]
    assert (brightness[0] < brightness[1]).all()
    assert (brightness[1] < brightness[2]).all()


def test_eps_0_changes_nothing() -> None:
    images = torch.rand(3, 3, 4, 4)
    changed = build("square", 4, queries=20).apply(Firm(), images, torch.zeros(3, dtype=torch.int64), Budget(0.0))
    assert torch.equal(changed, images)


def test_an_image_is_changed_alike_in_any_company_and_otherwise_by_other_seeds() -> None:
    images, labels, ids = torch.rand(6, 3, 8, 8), torch.zeros(6, dtype=torch.int64), torch.arange(10, 16)
    attack = build("square", 8, queries=130)
    together = attack.apply(Firm(), images, labels, Budget(ids=ids))
    assert torch.equal(attack.apply(Firm(), images[[4]], labels[[4]], Budget(ids=ids[[4]])), together[[4]])
    assert torch.equal(attack.apply(Firm(), images, labels, Budget(ids=ids, batch=4)), together)
    for other in (Budget(ids=ids, seed=1), Budget(ids=ids, trial=1), Budget(ids=ids + 6)):
        assert not torch.equal(attack.apply(Firm(), images, labels, other), together)


@pytest.mark.parametrize("at_once", [2, 7, 40, 1000])
def test_asking_ahead_finds_the_same_with_fewer_looks(at_once: int) -> None:
    inner, *_ = linear(middling(30))
    images = middling(30)
    labels = inner(images).argmax(1)
    attack = build("square", 4, queries=250)
    one, ahead = Watched(inner), Watched(inner)
    wanted = attack.apply(one, images, labels, Budget(0.01))
    assert torch.equal(attack.apply(ahead, images, labels, Budget(0.01, at_once=at_once)), wanted)
    assert len(ahead.counts) <= len(one.counts) == 250
    assert max(ahead.counts) <= max(at_once, 30)
    if at_once > 30:
        assert len(ahead.counts) < 200


def test_an_image_that_yields_nothing_is_done_with_in_as_many_looks_as_blocks_of_queries() -> None:
    model = Watched(Firm().double())
    images = torch.zeros(2, 3, 4, 4, dtype=torch.float64)  # as bright as can be from the first, if eps is 0
    build("square", 4, queries=251).apply(model, images, torch.zeros(2, dtype=torch.int64), Budget(0, at_once=200))
    assert model.counts == [2, 200, 200, 200]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "square: expected queries of at least 1, got 0"),
        ({"share": 0.0}, "square: expected a share in (0, 1], got 0.0"),
        ({"share": 1.5}, "square: expected a share in (0, 1], got 1.5"),
    ],
)
def test_what_cannot_be_run_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        build("square", **options)
    assert str(error.value) == message
