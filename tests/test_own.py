import inspect
from pathlib import Path

import pytest

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
