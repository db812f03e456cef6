import numpy as np
import pytest
import torch

from windfirm.attack.budget import Attack, Budget, parse_eps, show_eps, uniform
from windfirm.errors import InputError


@pytest.mark.parametrize(
    ("text", "eps"), [("8/255", 8 / 255), ("0.25/255", 0.25 / 255), ("0.03", 0.03), ("0", 0.0), ("1", 1.0), (0.5, 0.5)]
)
def test_eps_is_read_as_people_write_it(text: str | float, eps: float) -> None:
    assert parse_eps(text) == eps


@pytest.mark.parametrize("text", ["8", "-1/255", "nan", "inf", "1/0", "8/", "/255", "1/2/3", "eight", ""])
def test_eps_refuses_what_is_not_in_the_unit_interval(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_eps(text)
    assert str(error.value) == f"eps: expected a number in [0, 1], such as 8/255, got {text}"


def test_eps_may_be_a_number_without_axes() -> None:
    assert parse_eps(torch.tensor(0.5)) == parse_eps(np.float32(0.5)) == parse_eps(np.array(0.5)) == 0.5  # type: ignore[arg-type]


def test_a_length_may_be_more_than_one_value_can_change() -> None:
    assert parse_eps("3", "l2") == 3.0
    assert show_eps(3.0) == "3"
    with pytest.raises(InputError, match=r"^eps: expected a length of at least 0, such as 0\.5, got inf$"):
        parse_eps("inf", "l2")
    with pytest.raises(InputError, match=r"^eps: expected a number in \[0, 1\], such as 8/255, got 3$"):
        parse_eps("3", None)


@pytest.mark.parametrize("text", ["8/255", "0.25/255", "0/255", "7.65/255"])
def test_eps_is_shown_as_it_is_read(text: str) -> None:
    assert show_eps(parse_eps(text)) == text


PINNED = [
    [0.24475672885279587, 0.7375625140676901],
    [0.40060576689647165, 0.25271980020798146],
    [0.894350557932669, 0.1610486498414373],
]


def test_uniform_numbers_are_pinned() -> None:
    numbers = uniform(torch.tensor([0, 1, 9999]), 2, 0, "pin", 3)
    assert numbers.dtype == torch.float64
    assert numbers.tolist() == PINNED


def test_uniform_numbers_belong_to_the_image_and_not_to_its_place() -> None:
    numbers = uniform(torch.arange(50), 3, 7, "place")
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(uniform(order, 3, 7, "place"), numbers[order])
    assert torch.equal(uniform(torch.tensor([31]), 3, 7, "place"), numbers[31:32])
    assert torch.equal(uniform(torch.arange(50), 2, 7, "place"), numbers[:, :2])


def test_uniform_numbers_are_uniform_and_uncorrelated() -> None:
    numbers = uniform(torch.arange(5000), 4, 1, "moments")
    assert numbers.min() >= 0
    assert numbers.max() < 1
    shares = torch.histc(numbers, 10, 0, 1) / numbers.numel()
    assert (shares - 0.1).abs().max() < 5 * (0.1 * 0.9 / 20000) ** 0.5
    columns = torch.cat((numbers.T, numbers.T.roll(1, 1)))  # between columns, and between neighbouring images
    correlations = torch.corrcoef(columns) - torch.eye(8)
    assert correlations.abs().max() < 5 / 5000**0.5


def test_seed_purpose_and_trial_each_change_the_numbers() -> None:
    images = torch.zeros(4, 3, 2, 2)
    draws = [
        Budget(seed=0, trial=0).draw(images, 1, "a"),
        Budget(seed=1, trial=0).draw(images, 1, "a"),
        Budget(seed=0, trial=1).draw(images, 1, "a"),
        Budget(seed=0, trial=0).draw(images, 1, "b"),
    ]
    assert len(set(torch.cat(draws).flatten().tolist())) == 16


def test_a_budget_without_ids_numbers_the_batch() -> None:
    images = torch.zeros(4, 3, 2, 2)
    assert torch.equal(Budget().draw(images, 2, "a"), Budget(ids=torch.arange(4)).draw(images, 2, "a"))


def test_a_budget_needs_an_id_an_image() -> None:
    with pytest.raises(InputError) as error:
        Budget(ids=torch.arange(3)).draw(torch.zeros(4, 3, 2, 2), 1, "a")
    assert str(error.value) == "budget: expected 4 image ids, one an image, got 3"


def test_an_image_keeps_its_numbers_when_others_have_left() -> None:
    images, rows = torch.zeros(5, 3, 2, 2), torch.tensor([3, 1])
    for budget in (Budget(seed=2), Budget(seed=2, ids=torch.tensor([70, 60, 50, 40, 30]))):
        few = budget.only(rows, images)
        assert torch.equal(few.draw(images[rows], 4, "any"), budget.draw(images, 4, "any")[rows])
        again = few.only(torch.tensor([1]), images[rows])
        assert torch.equal(again.draw(images[:1], 4, "any"), budget.draw(images, 4, "any")[1:2])


def test_an_attack_is_not_called_as_tables_call_a_mean_of_attacks() -> None:
    with pytest.raises(InputError) as error:
        Attack("average", "does nothing", lambda model, images, labels, budget: images, 1, False, None)
    assert str(error.value) == "attack: expected a name that no mean of attacks has in tables, got average"
