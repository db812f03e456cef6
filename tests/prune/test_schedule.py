import copy
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net, lively, residual
from windfirm.errors import CutError, InputError
from windfirm.models.checkpoint import load, save
from windfirm.models.cost import cost
from windfirm.models.registry import build
from windfirm.prune import propose
from windfirm.prune.budget import Budget
from windfirm.prune.criteria import criterion
from windfirm.prune.criteria.base import Half, Observer, Scores, Subject
from windfirm.prune.cut import cut
from windfirm.prune.propose import Target
from windfirm.prune.schedule import prune, prune_in_rounds, prune_round
from windfirm.prune.select import Cut
from windfirm.prune.stability import Stability
from windfirm.prune.structure import Structure, anatomy


def network() -> Any:
    def block(i: int, o: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())

    return lively(nn.Sequential(block(2, 8), block(8, 10), block(10, 12), nn.Flatten(), nn.Linear(768, 3)))


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(8, 2, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)]


@pytest.mark.parametrize("criterion", ["l1", "pls", "random"])
@pytest.mark.parametrize("ranking", ["global", "per-layer"])
def test_the_model_is_untouched_and_the_smaller_one_trains(criterion: str, ranking: str) -> None:
    model = network().train()
    model[0].eval()
    model.get_parameter("1.0.weight").requires_grad_(False)
    model(torch.rand(2, 2, 8, 8, dtype=torch.float64)).sum().backward()
    before = copy.deepcopy(model.state_dict())
    grads = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    modes = [module.training for module in model.modules()]

    smaller = prune(model, EXAMPLE, criterion=criterion, ratio=0.4, ranking=ranking, batches=batches())

    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [module.training for module in model.modules()] == modes
    for name, parameter in model.named_parameters():
        kept, old = parameter.grad, grads[name]
        assert (kept is None and old is None) or (kept is not None and old is not None and torch.equal(kept, old))
        assert parameter.requires_grad == (name != "1.0.weight")
        assert smaller.get_parameter(name).requires_grad == parameter.requires_grad
        assert smaller.get_parameter(name).grad is None
    assert [module.training for module in smaller.modules()] == modes

    weights = [p.clone() for p in smaller.parameters()]
    optimizer = torch.optim.SGD([p for p in smaller.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(smaller(batches()[0][0].double()), batches()[0][1]).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    moved = [not torch.equal(p, w) for p, w in zip(smaller.parameters(), weights, strict=True)]
    assert moved == [p.requires_grad for p in smaller.parameters()]


def test_a_share_of_macs_is_met_within_one_filter() -> None:
    model = network()
    body = anatomy(model, EXAMPLE)
    largest = body.macs() - min(body.macs({structure: (0,)}) for structure in body.structures if not structure.frozen)
    calls: list[tuple[int, int]] = []
    for rounds in (1, 2, 3, 5):
        calls.clear()
        smaller, done = prune_in_rounds(
            model,
            EXAMPLE,
            "l1",
            Target(Budget("macs", 0.5)),
            rounds,
            adjust=lambda network, number: calls.append((number, cost(network, EXAMPLE).macs)),
        )
        target = int(0.5 * body.macs())
        assert target - largest < cost(smaller, EXAMPLE).macs <= target
        assert calls == [(entry.number, entry.macs_after) for entry in done]
        assert [entry.number for entry in done] == list(range(1, rounds + 1))
        assert [e.macs_before for e in done] == [body.macs(), *(e.macs_after for e in done[:-1])]


def test_a_round_whose_aim_is_met_already_cuts_nothing() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 1, 3)))
    _, done = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("macs", 0.75)), 6)
    assert [entry.cut.units for entry in done] == [1, 0, 0, 0, 0, 0]


def test_a_ratio_counts_the_filters_of_all_rounds_together() -> None:
    smaller, done = prune_in_rounds(network(), EXAMPLE, "random", Target(Budget("ratio", 0.5)), 3)
    assert abs(sum(entry.cut.units for entry in done) - 15) <= 1
    assert sum(smaller.get_parameter(f"{i}.0.weight").shape[0] for i in range(3)) == 30 - sum(
        entry.cut.units for entry in done
    )


def test_protected_structures_stay_whole() -> None:
    smaller = prune(network(), EXAMPLE, ratio=0.5, protect=("0.*", "2.*"))
    assert [smaller.get_parameter(f"{i}.0.weight").shape[0] for i in range(3)] == [8, 5, 12]


def test_layers_of_a_plain_chain_leave_on_request() -> None:
    model = lively(nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(4))))
    smaller = prune(model, EXAMPLE, rate=0.5, structure="layers", plain=True)
    assert sum(parameter.ndim == 4 for parameter in smaller.parameters()) == 2


def test_one_pattern_need_not_be_in_a_list_and_one_that_protects_nothing_is_refused() -> None:
    smaller = prune(network(), EXAMPLE, ratio=0.5, protect="0.*")
    assert smaller.get_parameter("0.0.weight").shape[0] == 8
    message = complaint(InputError, ratio=0.5, protect=("0.*", "o.*"))
    assert message == "protect: expected a pattern for groups such as 0.0, got o.*"


def test_of_the_patterns_of_a_round_alone_one_has_to_protect_something() -> None:
    model = network()
    for protect, fits in ((("0.*", "o.*"), True), (("o.*",), False)):
        target = Target(Budget("ratio", 0.5), protect=protect)
        with nullcontext() if fits else pytest.raises(InputError, match="protect: expected a pattern for groups such"):
            prune_round(model, model, EXAMPLE, "l1", target, 1, 1, batches=(), seed=0)


def test_a_network_cut_twice_comes_back_from_its_file_with_identical_logits(tmp_path: Path) -> None:
    example = torch.zeros(1, 3, 32, 32)
    model, done = prune_in_rounds(build("resnet20"), example, "random", Target(Budget("macs", 0.6)), 2, seed=5)
    assert all(entry.cut.units for entry in done)
    save(model, tmp_path / "m.safetensors", arch="resnet20", classes=10)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load(tmp_path / "m.safetensors")(images), model.eval()(images))


def complaint(kind: type[Exception], **how: object) -> str:
    with pytest.raises(kind) as error:
        prune(network(), EXAMPLE, **how)  # type: ignore[arg-type]
    return str(error.value)


def test_a_target_that_makes_no_sense_is_refused() -> None:
    wanted = "budget: expected exactly one of rate, ratio, macs, params or latency, got"
    assert complaint(InputError) == f"{wanted} none"
    assert complaint(InputError, ratio=0.5, macs=0.5) == f"{wanted} ratio and macs"
    assert complaint(InputError, ratio=1.5) == "ratio: expected a share in (0, 1), got 1.5"
    assert complaint(InputError, macs=0.0) == "macs: expected a share in (0, 1), got 0"
    assert complaint(InputError, ratio=0.5, structure="blocks") == (
        "structure: expected filters or layers or both, got blocks"
    )
    assert complaint(InputError, ratio=0.5, choose="best") == (
        "choose: expected alternate or kl-divergence or cka or coin, got best"
    )
    assert complaint(CutError, ratio=0.5, structure="layers") == (
        "prune: expected a network with residual blocks that can go, got none; see windfirm inspect"
    )
    # One of 8, one of 10 and two of 12 filters stay: 64 positions * 9 * (2 * 1 + 1 * 1 + 1 * 2), and 64 * 2 * 3.
    assert complaint(CutError, macs=0.01) == (
        "MACs: expected a target that can be reached, at least 3,264 with a floor of 0.1, got 1,267"
    )
    assert complaint(CutError, latency=0.001, rounds=1, floor=1.0).startswith(
        "time: expected a target that can be reached, at least "
    )
    assert complaint(CutError, ratio=0.5, protect=("*",)) == (
        "prune: expected a network with filters that can go, got none; see windfirm inspect"
    )
    with pytest.raises(InputError) as error:
        prune_in_rounds(Net(lambda m, x: x), EXAMPLE, "l1", Target(Budget("ratio", 0.5)), 0)
    assert str(error.value) == "rounds: expected a whole number of at least 1, got 0"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ranking": "best"}, "ranking: expected global or per-layer, got best"),
        ({"floor": 1.5}, "floor: expected a number in [0, 1], got 1.5"),
        ({"floor": "much"}, "floor: expected a number in [0, 1], got 'much'"),
    ],
)
def test_a_ranking_or_floor_that_makes_no_sense_is_told_before_anything_is_scored(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        Target(Budget("ratio", 0.5), **wrong)
    assert str(error.value) == message


def test_what_cannot_be_proved_stays_whole_and_the_rest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(network())
    names = [s.name for s in anatomy(model, EXAMPLE).structures if s.frozen is None]
    real = cut

    def stubborn(model: nn.Module, chosen: Cut, *args: Any, **kwargs: Any) -> Any:
        if any(structure.name == names[1] for structure in chosen.removed):
            raise CutError("no proof for this one")
        return real(model, chosen, *args, **kwargs)

    monkeypatch.setattr(propose, "cut", stubborn)
    _, (entry,) = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("ratio", 0.5), ranking="per-layer"))
    assert entry.refused == {names[1]: "no proof for this one"}
    assert {structure.name for structure in entry.cut.removed} == {*names} - {names[1]}


def test_something_else_goes_for_what_stays_whole_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(network())
    real, stubborn = cut, ["0.0"]

    def refusing(model: nn.Module, chosen: Cut, *args: Any, **kwargs: Any) -> Any:
        if any(structure.name in stubborn for structure in chosen.removed):
            raise CutError("no proof for this one")
        return real(model, chosen, *args, **kwargs)

    monkeypatch.setattr(propose, "cut", refusing)
    _, (entry,) = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("ratio", 0.3)))
    assert entry.cut.units == round(0.3 * 30)  # of all, not of those that can go
    stubborn += ["1.0", "2.0"]
    for budget in (Budget("ratio", 0.3), Budget("rate", 0.3)):
        with pytest.raises(CutError) as error:
            prune_in_rounds(model, EXAMPLE, "l1", Target(budget))
        wanted = "prune: expected a network with filters that can go"
        assert str(error.value) == f"{wanted}, got none that can be proved to go: no proof for this one"


def test_statistics_over_fewer_channels_are_marked() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(1, 4), nn.Conv2d(4, 3, 3)))
    _, (entry,) = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("ratio", 0.5)))
    assert entry.changes_normalisation == ("aten.native_group_norm.default in 1",)
    model = lively(
        Net(lambda m, x: m.b(m.a(x)) + m.a(x).logsumexp(1, True), a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 3, 1))
    )
    _, (entry,) = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("ratio", 0.5)))
    assert entry.changes_normalisation == ("aten.logsumexp.default in the network",)
    plain, log = lively(network()), []
    plain[0].register_forward_hook(lambda m, args, out: log.append(out.mean()))  # nobody computes with it
    _, (entry,) = prune_in_rounds(plain, EXAMPLE, "l1", Target(Budget("ratio", 0.5)))
    assert entry.changes_normalisation == ()


def test_a_rate_is_a_share_of_what_is_still_there_in_every_round() -> None:
    _, done = prune_in_rounds(network(), EXAMPLE, "l1", Target(Budget("rate", 0.2)), 3)
    assert [entry.candidates for entry in done] == [30, 24, 19]
    assert [entry.cut.units for entry in done] == [6, 5, 4]
    # A tenth of each layer: of 8, 10 and 12 filters, then of 7, 9 and 11.
    per_layer = Target(Budget("rate", 0.1), ranking="per-layer")
    _, done = prune_in_rounds(network(), EXAMPLE, "l1", per_layer, 2)
    assert [[len(units) for units in entry.cut.removed.values()] for entry in done] == [[1, 1, 1], [1, 1, 1]]
    # What rounds to nothing is one.
    _, done = prune_in_rounds(network(), EXAMPLE, "l1", Target(Budget("rate", 0.01)), 2)
    assert [entry.cut.units for entry in done] == [1, 1]


def test_the_floor_counts_from_the_first_network_through_all_rounds() -> None:
    halves = Target(Budget("rate", 0.3), floor=0.5)
    smaller, done = prune_in_rounds(network(), EXAMPLE, "l1", halves, 2)
    assert [entry.cut.units for entry in done] == [9, 6]
    assert [smaller.get_parameter(f"{i}.0.weight").shape[0] for i in range(3)] == [4, 5, 6]
    with pytest.raises(CutError) as error:
        prune_in_rounds(network(), EXAMPLE, "l1", halves, 3)
    assert str(error.value) == (
        "prune: expected a network with filters that can go, got none that the floor of 0.5 lets go"
    )


@pytest.mark.parametrize("name", ["params", "macs"])
def test_a_share_of_a_cost_is_met_by_the_smallest_cut(name: str) -> None:
    model = network()
    smaller, (entry,) = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget(name, 0.5)))
    before, after = (getattr(cost(model, EXAMPLE), name) for model in (model, smaller))
    assert (getattr(entry, f"{name}_before"), getattr(entry, f"{name}_after")) == (before, after)
    assert after <= 0.5 * before
    asked = Target(Budget("ratio", (entry.cut.units - 1) / 30))
    one_less, _ = prune_in_rounds(model, EXAMPLE, "l1", asked)
    assert getattr(cost(one_less, EXAMPLE), name) > 0.5 * before


def test_a_share_of_the_time_is_met_by_real_networks_that_are_timed_beside_the_first() -> None:
    """A clock that runs with the MACs: the cut is that of a MACs budget."""
    model, asked = network(), list[int]()

    def clock(models: Sequence[nn.Module]) -> list[float]:
        first, part = (cost(model, EXAMPLE).macs for model in models)
        assert first == cost(model, EXAMPLE).macs
        asked.append(part)
        return [first * 1e-9, part * 1e-9]

    _, timed = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("latency", 0.5)), 2, measure=clock)
    _, counted = prune_in_rounds(model, EXAMPLE, "l1", Target(Budget("macs", 0.5)), 2)
    assert [entry.cut for entry in timed] == [entry.cut for entry in counted]
    shares = [entry.macs_after / counted[0].macs_before for entry in counted]
    assert [entry.latency for entry in timed] == pytest.approx(shares)
    assert counted[0].latency is None
    assert len(asked) <= 2 * 6  # 26 filters can go: halved five times, after all of them


def test_what_has_no_score_stays_whole_and_is_told() -> None:
    @criterion("picky")
    def picky(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
        return {s: torch.arange(s.size) for s in structures if s.name == "1.0"}

    _, (entry,) = prune_in_rounds(network(), EXAMPLE, picky, Target(Budget("rate", 0.2)))
    assert {s.name: units for s, units in entry.cut.removed.items()} == {"1.0": (0, 1)}
    assert (entry.unscored, entry.candidates) == (("0.0", "2.0"), 30)
    with pytest.raises(CutError, match="picky: expected residual blocks that it has a score for, got none"):
        prune_in_rounds(residual(), EXAMPLE, picky, Target(Budget("rate", 0.2), "layers"))


def test_halves_of_the_images_agree_on_what_both_would_remove() -> None:
    """Six of 30 filters leave. By even images the first six of "1.0", by odd ones those from the fifth on."""

    @criterion("shifted", data=True)
    def shifted(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
        def scores(half: Half) -> Scores:
            found = {s: torch.full((s.size,), 9.0) for s in structures}
            for s in structures:
                if s.name == "1.0":
                    found[s][4 : 10 if half else 6] = 1.0 if half else 2.0
                    found[s][: 0 if half else 4] = 1.0
            return found

        return Observer(scores)

    _, (entry,) = prune_in_rounds(network(), EXAMPLE, shifted, Target(Budget("rate", 0.2)), batches=batches())
    assert {s.name: units for s, units in entry.cut.removed.items()} == {"1.0": (0, 1, 2, 3, 4, 5)}
    assert entry.stability == Stability(2, 6)
    _, (entry,) = prune_in_rounds(network(), EXAMPLE, "l1", Target(Budget("rate", 0.2)), batches=batches())
    assert entry.stability is None


@pytest.mark.parametrize("ranking", ["global", "per-layer"])
def test_a_ratio_takes_as_many_in_rounds_as_at_once_of_all_or_of_each_layer(ranking: str) -> None:
    target = Target(Budget("ratio", 0.3), ranking=ranking, floor=0.0)
    at_once, in_rounds = (
        [smaller.get_parameter(f"{i}.0.weight").shape[0] for i in range(3)]
        for smaller, _ in (prune_in_rounds(network(), EXAMPLE, "l1", target, rounds) for rounds in (1, 7))
    )
    assert sum(at_once) == sum(in_rounds) == 21
    if ranking == "per-layer":
        assert at_once == in_rounds == [8 - 2, 10 - 3, 12 - 4]


@pytest.mark.parametrize("rounds", [1, 2, 8])
def test_a_ratio_counts_among_the_filters_that_the_criterion_has_a_score_for(rounds: int) -> None:
    layers = nn.Conv2d(2, 20, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 30), nn.ReLU()
    model = lively(nn.Sequential(*layers, nn.Linear(30, 3)))
    smaller = prune(model, EXAMPLE, criterion="hrank", ratio=0.5, rounds=rounds, floor=0.0, batches=batches())
    assert [smaller.get_parameter(f"{i}.weight").shape[0] for i in (0, 4)] == [10, 30]


def test_a_target_that_no_round_can_reach_is_told_before_anything_is_trained() -> None:
    trained: list[int] = []
    with pytest.raises(
        CutError, match=r"^MACs: expected a target that can be reached, at least 3,264 with .*, got 1,267$"
    ):
        prune_in_rounds(
            network(), EXAMPLE, "l1", Target(Budget("macs", 0.01)), 5, adjust=lambda net, number: trained.append(number)
        )
    assert trained == []


def test_filters_of_layers_that_are_blocks_as_well_are_counted_in_their_own_layer() -> None:
    chain = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    model = lively(nn.Sequential(*chain, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)))
    for plain in (False, True):
        target = Target(Budget("ratio", 0.5), ranking="per-layer", plain=plain)
        smaller, _ = prune_in_rounds(model, EXAMPLE, "l1", target, 2)
        assert [smaller.get_parameter(f"{i}.weight").shape[0] for i in (0, 2, 4)] == [4, 4, 4]
