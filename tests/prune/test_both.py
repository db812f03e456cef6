"""Layers, and both: whole blocks leave, and two sorts of cut take turns or are compared."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles import linear_cka
from tests.prune.nets import EXAMPLE, given, lively, residual
from windfirm.errors import CutError, InputError
from windfirm.models.cost import cost
from windfirm.prune import propose
from windfirm.prune.both import CHOICES, distances, turn
from windfirm.prune.budget import Budget
from windfirm.prune.criteria.similarity import alignment, products, terms
from windfirm.prune.cut import cut
from windfirm.prune.propose import Round, Target
from windfirm.prune.schedule import prune_in_rounds
from windfirm.prune.select import Cut
from windfirm.prune.structure import anatomy


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(8, 2, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)]


def blocks(done: list[Round]) -> list[list[str]]:
    return [sorted(structure.name for structure in entry.cut.removed) for entry in done]


def test_filters_and_layers_take_turns_and_a_coin_repeats_with_its_seed() -> None:
    assert [turn("alternate", number, 0)[0] for number in range(1, 5)] == ["filters", "layers", "filters", "layers"]
    tosses = [[turn("coin", number, seed)[0] for number in range(1, 65)] for seed in (0, 0, 1)]
    assert tosses[0] == tosses[1] != tosses[2]
    assert 16 <= tosses[0].count("layers") <= 48  # 32 and four standard deviations
    for rule in CHOICES:
        assert set(turn(rule, 3, 5)) == {"filters", "layers"}


def cka(x: Tensor, y: Tensor) -> float:
    return float(alignment(terms(products(x), products(y))))


@pytest.mark.parametrize("width", [3, 40])
def test_cka_is_that_of_the_definition_also_with_few_images(width: int) -> None:
    x, y = (torch.from_numpy(np.random.default_rng(seed).normal(1, 2, (12, n))) for seed, n in ((0, 5), (1, width)))
    assert cka(x, y) == pytest.approx(linear_cka(x, y), rel=1e-12)


def test_cka_does_not_see_rotation_shift_or_scale() -> None:
    x = torch.randn(20, 4, dtype=torch.float64)
    turned, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    assert cka(x, -3 * x @ turned + 5) == pytest.approx(1)
    assert cka(x, x[:, :2]) < 0.999
    assert cka(x, torch.ones(20, 3)) == 0


def test_a_network_is_no_way_from_itself() -> None:
    model = residual()
    for rule in ("kl-divergence", "cka"):
        found = distances(rule, model, {"filters": residual()}, EXAMPLE, batches())
        assert found["filters"] == pytest.approx(0, abs=1e-12)


def test_distances_are_summed_over_batches_of_which_none_is_kept() -> None:
    """Each batch counts by its images; CKA's terms are summed, and so are not the mean of what batches give alone."""
    model, other = residual(), lively(residual(), seed=1)
    images = torch.rand(9, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parts = [(images[:6], torch.zeros(6)), (images[6:], torch.zeros(3))]

    def far(rule: str, given: Any) -> float:
        return distances(rule, model, {"filters": other}, EXAMPLE, given)["filters"]

    alone = [far("kl-divergence", [part]) for part in parts]
    assert far("kl-divergence", iter(parts)) == pytest.approx((6 * alone[0] + 3 * alone[1]) / 9, rel=1e-12)
    terms = torch.zeros(3, dtype=torch.float64)
    for part, _ in parts:
        with torch.no_grad():
            x, y = (network[:-1](part) - network[:-1](part).mean(0) for network in (model, other))
        terms += torch.stack([(y.T @ x).square().sum(), (x.T @ x).square().sum(), (y.T @ y).square().sum()])
    assert far("cka", iter(parts)) == pytest.approx(1 - float(terms[0] / (terms[1] * terms[2]).sqrt()), rel=1e-9)


def test_images_that_say_nothing_about_the_distance_are_refused() -> None:
    model, (images, labels) = residual(), batches()[0]
    with pytest.raises(InputError, match="cka: expected at least two images in a batch, with features that differ"):
        distances("cka", model, {"filters": model}, EXAMPLE, [(images[:1], labels[:1])] * 2)
    for rule in ("kl-divergence", "cka"):
        with pytest.raises(CutError, match=f"{rule}: expected finite outputs, got infinite or undefined ones"):
            distances(rule, model, {"filters": model}, EXAMPLE, [(images * torch.nan, labels)])


def test_layers_leave_whole_lowest_scores_first_and_one_of_each_stage_stays() -> None:
    model = residual()
    target = Target(Budget("rate", 0.4), "layers")
    smaller, done = prune_in_rounds(model, EXAMPLE, given, target, 2)
    assert blocks(done) == [["2", "8"], ["3"]]  # two of five, one of three
    assert [(entry.sort, entry.candidates) for entry in done] == [("layers", 5), ("layers", 3)]
    assert cost(smaller, EXAMPLE).macs == cost(model, EXAMPLE).macs - 3 * 18_432
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    by_hand = nn.Sequential(*(model[i] for i in (0, 1, 4, 5, 6, 7, 9, 10, 11)))
    assert torch.allclose(smaller(images), by_hand(images), rtol=1e-12)
    with pytest.raises(CutError, match=r"residual blocks that can go, got none that the floor of 0\.1 lets go"):
        prune_in_rounds(model, EXAMPLE, given, target, 3)


@pytest.mark.parametrize(
    ("budget", "counts"),
    [
        (Budget("macs", 0.6), [2, 1]),  # 0.225 and 0.4 of the MACs are 1.24 and 2.2 blocks, rounded up
        (Budget("ratio", 0.4), [1, 1]),  # 1.13 and 2 of five blocks
        (Budget("ratio", 0.4), [0, 1, 0, 1, 0]),  # 0.49, 0.92, 1.32, 1.68 and 2 of five
    ],
)
def test_rounds_of_layers_aim_at_equal_steps_from_the_first_network(budget: Budget, counts: list[int]) -> None:
    _, done = prune_in_rounds(residual(), EXAMPLE, given, Target(budget, "layers"), len(counts))
    assert [entry.cut.units for entry in done] == counts


def test_protected_blocks_stay() -> None:
    target = Target(Budget("ratio", 0.9), "layers", protect=("2", "[78]"))
    _, done = prune_in_rounds(residual(), EXAMPLE, given, target)
    assert blocks(done) == [["3", "4"]]  # the protected one is the one of its stage that stays


def test_layers_of_plain_chains_leave_if_that_is_asked_for() -> None:
    model = lively(nn.Sequential(*(nn.Conv2d(i, 4, 3, padding=1) for i in (2, 4, 4, 4)), nn.Conv2d(4, 3, 3)))
    with pytest.raises(CutError, match="residual blocks that can go, got none"):
        prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("rate", 0.5), "layers"))
    _, (entry,) = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("rate", 0.5), "layers", plain=True))
    assert entry.candidates == 3
    assert len(blocks([entry])[0]) == 2


def test_both_take_turns_from_filters_to_layers() -> None:
    calls: list[int] = []
    smaller, done = prune_in_rounds(
        residual(),
        EXAMPLE,
        given,
        Target(Budget("rate", 0.2), "both"),
        4,
        adjust=lambda _, number: calls.append(number),
    )
    assert [(entry.sort, entry.rule) for entry in done] == [
        ("filters", "alternate"),
        ("layers", "alternate"),
        ("filters", "alternate"),
        ("layers", "alternate"),
    ]
    assert (blocks(done)[1], blocks(done)[3], calls) == (["2"], ["8"], [1, 2, 3, 4])
    assert cost(smaller, EXAMPLE).macs == done[-1].macs_after


def test_when_one_of_both_cannot_go_on_the_other_does_and_when_neither_can_there_is_an_error() -> None:
    target = Target(Budget("rate", 0.2), "both", protect=("[23478]",))
    _, done = prune_in_rounds(residual(), EXAMPLE, given, target, 2)
    assert [entry.sort for entry in done] == ["filters", "filters"]
    reason = "prune: expected a network with residual blocks that can go, got none; see windfirm inspect"
    assert [dict(entry.stopped) for entry in done] == [{}, {"layers": reason}]
    with pytest.raises(CutError) as error:
        prune_in_rounds(residual(), EXAMPLE, given, Target(Budget("rate", 0.2), "both", protect=("*",)))
    assert str(error.value) == "prune: expected a network with filters that can go, got none; see windfirm inspect"


def test_a_ratio_of_both_is_reached_by_the_product_of_what_stays() -> None:
    """0.36 = 0.6 * 0.6: in two rounds 0.4 of the filters and 0.4 of the blocks leave."""
    _, (filters, layers) = prune_in_rounds(residual(), EXAMPLE, given, Target(Budget("ratio", 0.64), "both"), 2)
    assert (filters.cut.units, filters.candidates) == (round(0.4 * 40), 40)
    assert (layers.cut.units, layers.candidates) == (2, 5)


@pytest.mark.parametrize("rule", ["kl-divergence", "cka"])
def test_a_rule_takes_the_nearer_of_two_proposals_from_the_same_network(rule: str) -> None:
    model = residual()
    budget = Budget("macs", 0.8)
    alone: dict[str, Any] = {
        sort: prune_in_rounds(model, EXAMPLE, given, Target(budget, sort))[0] for sort in ("filters", "layers")
    }
    smaller, (entry,) = prune_in_rounds(model, EXAMPLE, given, Target(budget, "both", rule), batches=batches())
    images = batches()[0][0].double()
    far = {}
    with torch.no_grad():
        for sort, network in alone.items():
            if rule == "kl-divergence":
                p, q = (net(images).log_softmax(1) for net in (model, network))
                far[sort] = float(F.kl_div(p, q, log_target=True, reduction="batchmean"))
            else:
                far[sort] = 1 - linear_cka(model[:-1](images), network[:-1](images))
    assert dict(entry.distances) == pytest.approx(far)
    assert len(set(far.values())) == 2
    nearer = min(far, key=lambda sort: far[sort])
    assert (entry.sort, entry.rule) == (nearer, rule)
    assert torch.equal(smaller(images), alone[nearer](images))


@pytest.mark.parametrize("rule", ["kl-divergence", "cka"])
def test_a_rule_that_compares_needs_images(rule: str) -> None:
    with pytest.raises(InputError, match="batches: expected at least one image, got none"):
        prune_in_rounds(residual(), EXAMPLE, given, Target(Budget("rate", 0.2), "both", rule))


def test_a_block_that_cannot_be_proved_stays_and_another_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cut

    def stubborn(model: nn.Module, chosen: Cut, *args: Any, **kwargs: Any) -> Any:
        if any(structure.name == "2" for structure in chosen.removed):
            raise CutError("no proof for this one")
        return real(model, chosen, *args, **kwargs)

    monkeypatch.setattr(propose, "cut", stubborn)
    for budget in (Budget("rate", 0.4), Budget("latency", 0.7)):
        _, (entry,) = prune_in_rounds(
            residual(), EXAMPLE, given, Target(budget, "layers"),
            measure=lambda models: [cost(model, EXAMPLE).macs for model in models],
        )  # fmt: skip
        assert entry.refused == {"2": "no proof for this one"}
        assert blocks([entry]) == [["3", "8"]]


def chain() -> Any:
    """Eight residual blocks of 20 filters inside and 20 filters that all of them share."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(20, 20, 1), nn.Conv2d(20, 20, 1)

        def forward(self, x: Tensor) -> Any:
            return x + self.b(self.a(x).relu())

    blocks = [Block() for _ in range(8)]
    return lively(nn.Sequential(nn.Conv2d(2, 20, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 3)))


@pytest.mark.parametrize("ranking", ["global", "per-layer"])
@pytest.mark.parametrize(("ratio", "rounds"), [(0.2, 4), (0.3, 6), (0.6, 3), (0.5, 4)])
def test_a_ratio_of_both_is_reached_also_where_a_round_is_less_than_half_a_block(
    ratio: float, rounds: int, ranking: str
) -> None:
    model = chain()
    target = Target(Budget("ratio", ratio), structure="both", ranking=ranking)
    smaller, done = prune_in_rounds(model, EXAMPLE, "l1", target, rounds)
    first, now = (
        {s.name: s.size for s in anatomy(net, EXAMPLE).structures if s.kind == "filters" and not s.frozen}
        for net in (model, smaller)
    )
    filters = sum(now.values()) / sum(first[name] for name in now)
    gone = sum(entry.cut.units for entry in done if entry.sort == "layers")
    of_one = 0.5 if ranking == "global" else 0.5 * len(now)  # a share is rounded for all filters, or in each layer
    last = 0.5 / 8 if done[-1].sort == "layers" else of_one / sum(first[name] for name in now)
    assert filters * (8 - gone) / 8 == pytest.approx(1 - ratio, abs=last)
    assert all(entry.cut.units for entry in done) or ranking == "per-layer"
    if ratio == 0.5:
        assert gone


def test_a_cut_of_nothing_is_not_taken_for_the_nearest() -> None:
    target = Target(Budget("ratio", 0.2), structure="both", choose="kl-divergence")
    _, done = prune_in_rounds(chain(), EXAMPLE, "l1", target, 4, batches=batches())
    assert all(entry.cut.units for entry in done)
    assert done[0].stopped == {"layers": "none to take in this round"}


def test_rounds_in_which_nothing_is_due_compare_nothing() -> None:
    """The one block that leaves takes more than two rounds were to take."""
    target = Target(Budget("macs", 0.9), structure="both")
    _, done = prune_in_rounds(chain(), EXAMPLE, "l1", target, 4)
    assert [entry.cut.units for entry in done][2:] == [0, 0]
    assert not any(entry.distances for entry in done)


def test_filters_stay_when_all_blocks_that_may_go_are_gone() -> None:
    target = Target(Budget("ratio", 0.97), structure="both", choose="coin", protect=("2", "5"))
    seed = next(s for s in range(99) if [turn("coin", n, s)[0][0] for n in (1, 2, 3, 4)] == [*"lllf"])
    _, done = prune_in_rounds(chain(), EXAMPLE, "l1", target, 4, seed=seed)
    assert [entry.sort for entry in done] == ["layers"] * 3 + ["filters"]
    assert [entry.cut.units for entry in done] == [4, 1, 1, 0]  # of the six that may go


@pytest.mark.parametrize("ranking", ["global", "per-layer"])
@pytest.mark.parametrize("rounds", [2, 4])
def test_layers_of_plain_chains_that_cannot_go_any_more_are_still_there(ranking: str, rounds: int) -> None:
    """Once filters have left unevenly, a layer no longer keeps the shape and is no block, but nothing took it."""
    chain = [layer for _ in range(6) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    model = lively(
        nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), *chain, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    )
    target = Target(Budget("ratio", 0.5), structure="both", ranking=ranking, plain=True)
    _, done = prune_in_rounds(model, EXAMPLE, "l1", target, rounds)
    assert all(entry.cut.units for entry in done)
    assert any(entry.sort == "layers" for entry in done) or ranking == "global"
