import pytest
import torch
from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget
from windfirm.attack.ensemble import ensemble
from windfirm.attack.registry import build
from windfirm.errors import InputError


def part(name: str, trials: int, seen: list[tuple[str, int, list[int]]], *, packs: bool) -> Attack:
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        assert budget.ids is not None
        seen.append((name, budget.trial, budget.ids.tolist()))
        return images + 1

    return Attack(name, f"{trials} times", apply, trials, average=False, norm="linf", packs=packs)


def test_trials_are_those_of_the_parts_one_part_after_another() -> None:
    seen: list[tuple[str, int, list[int]]] = []
    both = ensemble("both", "two in turn", [part("a", 2, seen, packs=True), part("b", 1, seen, packs=False)])
    assert (both.trials, both.norm, both.packs) == (3, "linf", True)
    assert both.title == "two in turn: a (2 times); b (1 times)"
    images, ids = torch.zeros(3, 1, 2, 2), torch.tensor([7, 8, 9])
    for trial in range(3):
        changed = both.apply(nn.Identity(), images, ids, Budget(trial=trial, ids=ids, batch=2))
        assert torch.equal(changed, images + 1)
    # A part that does not pack is given no more than a batch.
    assert seen == [("a", 0, [7, 8, 9]), ("a", 1, [7, 8, 9]), ("b", 0, [7, 8]), ("b", 0, [9])]


def test_parts_that_do_not_go_together_are_refused() -> None:
    for parts in ([build("pgd"), build("pgd", norm="l2")], [build("pgd"), build("occlusion")]):
        with pytest.raises(InputError) as error:
            ensemble("both", "two", parts)
        wanted = f"both: expected worst-case attacks in one norm, got {', '.join(p.name for p in parts)}"
        assert str(error.value) == wanted
