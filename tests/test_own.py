import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from windfirm import own
from windfirm.errors import InputError
from windfirm.own import factory, imported, maker


def square(side: int, *, scale: float = 1.0) -> int:
    return round(side * side * scale)


KNOWN = {"square": square}


def test_a_name_is_one_that_is_known_or_where_python_finds_it() -> None:
    assert factory("square", KNOWN, "number", int) is square
    found = factory(f"{__name__}:square", KNOWN, "number", int)
    assert found(3, scale=2.0) == 18
    assert inspect.signature(found) == inspect.signature(square)  # by which options are known
    with pytest.raises(InputError) as error:
        factory("sqare", KNOWN, "number", int)
    wanted = "one of square, or package.module:number, got sqare; did you mean square?"
    assert str(error.value) == f"number: expected {wanted}"


def test_a_name_that_a_module_does_not_have_is_told_with_the_nearest_that_it_has() -> None:
    with pytest.raises(InputError) as error:
        imported(f"{__name__}:sqare", "number")
    got = f"AttributeError: module '{__name__}' has no attribute 'sqare'; did you mean square?"
    wanted = f"a module:number that can be imported, got {got}"
    assert str(error.value) == f"{__name__}:sqare: expected {wanted}"


def test_whatever_the_users_code_raises_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unfinished.py").write_text("raise ValueError('to do\\nsoon')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as error:
        imported("unfinished:number", "number")
    assert str(error.value) == "unfinished:number: expected a module:number that can be imported, got ValueError: to do"
    with pytest.raises(InputError) as error:
        maker("mine:square", square, int, "an int")("three")
    wanted = "a function that makes an int, got TypeError: can't multiply sequence by non-int of type 'str'"
    assert str(error.value) == f"mine:square: expected {wanted}"


@pytest.mark.parametrize(("make", "got"), [(lambda: "nine", "str"), (lambda: None, "NoneType")])
def test_what_makes_something_else_is_refused(make: object, got: str) -> None:
    with pytest.raises(InputError) as error:
        maker("mine:square", make, int, "an int")()  # type: ignore[arg-type]
    assert str(error.value) == f"mine:square: expected a function that makes an int, got {got}"
    with pytest.raises(InputError) as error:
        maker("mine:square", 9, int, "an int")  # type: ignore[arg-type]
    assert str(error.value) == "mine:square: expected a function that makes an int, got int"


@pytest.mark.parametrize(
    ("kind", "fits", "misfits"),
    [
        (int, [3, np.int64(3)], {3.0: "a whole number", True: "a whole number", None: "a whole number"}),
        (float, [3, 0.5, np.float32(0.5)], {"8/255": "a number", False: "a number", None: "a number"}),
        (float | None, [None, 0.5], {"0.5": "a number"}),
        (int | float, [3, 0.5], {"3": "a number"}),
        (str, [None, 3, "3"], {}),
        (float | str, [0.5, "8/255"], {}),
        (bool | int, [True, 3], {}),
        (tuple[int, ...], [(1, 2)], {}),
        (Callable[[int], float], [abs], {}),
        ("Later", [None, 3, "3"], {}),
    ],
)
def test_of_options_numbers_are_checked_and_nothing_else(kind: Any, fits: list[Any], misfits: dict[Any, str]) -> None:
    assert [own.misfit(kind, value) for value in fits] == [None] * len(fits)
    assert {value: own.misfit(kind, value) for value in misfits} == misfits
