import hashlib
from typing import Any

import pytest

from windfirm.errors import InputError
from windfirm.study.cell import Cell, in_order

F = Cell("train", {"arch": "resnet56", "lr": 0.1, "milestones": (0.5, 0.75)})


def test_a_key_is_the_hash_of_meaning_kind_settings_and_inputs() -> None:
    text = '[1,"train",{"arch":"resnet56","lr":0.1,"milestones":[0.5,0.75]},{}]'
    assert F.key == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_the_order_of_settings_and_the_kind_of_a_sequence_do_not_matter() -> None:
    assert Cell("train", {"milestones": [0.5, 0.75], "lr": 0.1, "arch": "resnet56"}) == F


@pytest.mark.parametrize(
    "other",
    [
        Cell("attack", F.settings),
        Cell("train", {**F.settings, "lr": 0.2}),
        Cell("train", F.settings, {"network": F.key}),
        Cell("train", F.settings, {"network": "0" * 32}),
    ],
)
def test_whatever_differs_gives_another_key(other: Cell) -> None:
    assert other.key != F.key


def test_what_the_caller_does_to_its_mapping_later_changes_nothing() -> None:
    settings: dict[str, Any] = {"lr": 0.1}
    cell = Cell("train", settings)
    settings["lr"] = 0.2
    assert cell.settings == {"lr": 0.1}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": float("nan")}, "cell train.lr: expected a finite number, got nan"),
        ({"a": {"b": {1, 2}}}, "cell train.a.b: expected a plain value, got {1, 2}, a set"),
        ({3: "x"}, "cell train: expected names that are strings, got 3"),
    ],
)
def test_settings_that_json_does_not_have_are_refused(settings: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        Cell("train", settings)
    assert str(error.value) == words


def test_cells_stand_behind_their_inputs_each_once() -> None:
    first = Cell("prune", {}, {"network": F.key})
    second = Cell("attack", {}, {"network": first.key})
    assert in_order([second, first, F, first]) == [F, first, second]


def test_an_input_that_is_not_there_is_named() -> None:
    cell = Cell("attack", {}, {"network": F.key})
    with pytest.raises(InputError) as error:
        in_order([cell])
    assert str(error.value) == f"cell attack {cell.key}: expected the cell of its network, got no {F.key}"
    assert in_order([cell], known=[F.key]) == [cell]
