import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net, lively
from windfirm.errors import CutError, InputError
from windfirm.models.checkpoint import load, save
from windfirm.models.cost import cost
from windfirm.models.registry import build
from windfirm.prune import schedule
from windfirm.prune.cut import cut
from windfirm.prune.schedule import Target, prune, prune_in_rounds, prune_once
from windfirm.prune.select import Cut
from windfirm.prune.structure import anatomy


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
            Target(macs=0.5),
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
    _, done = prune_in_rounds(model, EXAMPLE, "l1", Target(macs=0.75), 6)
    assert [entry.cut.units for entry in done] == [1, 0, 0, 0, 0, 0]


def test_a_ratio_counts_the_filters_of_all_rounds_together() -> None:
    smaller, done = prune_in_rounds(network(), EXAMPLE, "random", Target(ratio=0.5), 3)
    assert abs(sum(entry.cut.units for entry in done) - 15) <= 1
    assert sum(smaller.get_parameter(f"{i}.0.weight").shape[0] for i in range(3)) == 30 - sum(
        entry.cut.units for entry in done
    )


def test_protected_structures_stay_whole() -> None:
    smaller = prune(network(), EXAMPLE, ratio=0.5, protect=("0.*", "2.*"))
    assert [smaller.get_parameter(f"{i}.0.weight").shape[0] for i in range(3)] == [8, 5, 12]


def test_a_network_cut_twice_comes_back_from_its_file_with_identical_logits(tmp_path: Path) -> None:
    example = torch.zeros(1, 3, 32, 32)
    model, done = prune_in_rounds(build("resnet20"), example, "random", Target(macs=0.6), 2, seed=5)
    assert all(entry.cut.units for entry in done)
    save(model, tmp_path / "m.safetensors", arch="resnet20", classes=10)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load(tmp_path / "m.safetensors")(images), model.eval()(images))


def complaint(kind: type[Exception], **how: object) -> str:
    with pytest.raises(kind) as error:
        prune(network(), EXAMPLE, **how)  # type: ignore[arg-type]
    return str(error.value)


def test_a_target_that_makes_no_sense_is_refused() -> None:
    assert complaint(InputError) == "prune: expected either a ratio or a share of MACs, got neither"
    assert complaint(InputError, ratio=0.5, macs=0.5) == ("prune: expected either a ratio or a share of MACs, got both")
    assert complaint(InputError, ratio=1.5) == "ratio: expected a share in (0, 1), got 1.5"
    assert complaint(InputError, macs=0.0) == "macs: expected a share in (0, 1), got 0"
    assert complaint(InputError, ratio=0.5, structure="layers") == "structure: expected filters, got layers"
    assert complaint(CutError, ratio=0.5, protect=("*",)) == (
        "prune: expected a network with filters that can go, got none; see windfirm inspect"
    )
    with pytest.raises(InputError) as error:
        prune_in_rounds(Net(lambda m, x: x), EXAMPLE, "l1", Target(ratio=0.5), 0)
    assert str(error.value) == "rounds: expected at least 1, got 0"


def test_what_cannot_be_proved_stays_whole_and_the_rest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(network())
    names = [s.name for s in anatomy(model, EXAMPLE).structures if s.frozen is None]
    real = cut

    def stubborn(model: nn.Module, chosen: Cut, *args: Any, **kwargs: Any) -> Any:
        if any(structure.name == names[1] for structure in chosen.removed):
            raise CutError("no proof for this one")
        return real(model, chosen, *args, **kwargs)

    monkeypatch.setattr(schedule, "cut", stubborn)
    _, entry = prune_once(model, EXAMPLE, "l1", Target(ratio=0.5, ranking="per-layer"))
    assert entry.refused == {names[1]: "no proof for this one"}
    assert {structure.name for structure in entry.cut.removed} == {*names} - {names[1]}


def test_statistics_over_fewer_channels_are_marked() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(1, 4), nn.Conv2d(4, 3, 3)))
    _, entry = prune_once(model, EXAMPLE, "l1", Target(ratio=0.5))
    assert entry.changes_normalisation == ("aten.native_group_norm.default in 1",)
    _, entry = prune_once(lively(network()), EXAMPLE, "l1", Target(ratio=0.5))
    assert entry.changes_normalisation == ()
