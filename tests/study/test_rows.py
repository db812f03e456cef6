import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windfirm.errors import InputError
from windfirm.study.listing import Measured
from windfirm.study.rows import read_csv, write_csv

ROW = {"attack": "fgsm", "title": "one step", "eps": 8 / 255, "trials": 1, "count": 1, "total": 2, "correct": "eA=="}
ONE = Measured(
    "mine", "F'", {"prune.ratio": 0.1}, 3, ROW, 90, None, "k1", "k0", 1.5, {"data": "d/test", "digest": "ff"}, 9.25
)

plain = st.one_of(
    st.text(min_size=1), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none()
)
values = st.one_of(plain, st.lists(st.text(), max_size=3))


def again(*rows: Measured) -> list[Measured]:
    file = io.StringIO(newline="")
    assert write_csv(rows, file) == len(rows)
    file.seek(0)
    return [*read_csv(file, "rows.csv")]


def test_a_line_has_a_column_for_each_axis_and_all_that_tables_need() -> None:
    file = io.StringIO()
    write_csv([ONE], file)
    head, line = file.getvalue().splitlines()
    assert head == (
        "study,role,prune.ratio,seed,attack,eps,trials,count,total,accuracy,macs,params,cell,network,seconds,"
        "spent,data,digest,scale,changes,hardware,versions,settings,title,correct"
    )
    assert line == f"mine,F',0.1,3,fgsm,{8 / 255},1,1,2,0.5,90,,k1,k0,1.5,9.25,d/test,ff,,,,,,one step,eA=="


def test_rows_come_back_as_they_were() -> None:
    other = replace(ONE, role="F", point={"network.arch": "resnet56"}, row=ROW | {"eps": None}, network=None)
    other = replace(other, settings={"adjust.epochs": 3, "prune.protect": ["a,b", '"']})
    assert again(ONE, other) == [ONE, other]


def test_costs_and_accuracy_stand_under_their_own_names() -> None:
    (back,) = again(replace(ONE, macs=90, params=7))
    assert (back.macs, back.params, back.seconds) == (90, 7, 1.5)
    file = io.StringIO()
    write_csv([replace(ONE, row=ROW | {"count": 30, "total": 40})], file)
    (line,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert (line["accuracy"], line["count"], line["total"]) == ("0.75", "30", "40")


@pytest.mark.parametrize("text", ["1", "0.5", "true", "null", '"quoted"', "[1]", "NaN", "-Infinity", "", " ", "a\nb"])
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    point = {"my.axis": text}
    assert again(replace(ONE, point=point))[0].point == point


def test_rows_of_before_changes_and_times_were_told_can_be_read() -> None:
    file = io.StringIO()
    write_csv([ONE], file)
    old = file.getvalue().replace("scale,changes,", "scale,").replace(",ff,,", ",ff,")
    old = old.replace("seconds,spent,", "seconds,").replace(",1.5,9.25,", ",1.5,")
    assert [*read_csv(io.StringIO(old), "rows.csv")] == [replace(ONE, spent=None)]


@settings(deadline=None)
@given(values)
def test_any_value_on_an_axis_comes_back(value: Any) -> None:
    point = {"my.axis": value}
    assert again(replace(ONE, point=point))[0].point == point


def test_what_is_not_rows_is_told_with_its_line() -> None:
    with pytest.raises(
        InputError, match=r"^rows\.csv: expected the rows of a study, with a column for each value, got no role$"
    ):
        [*read_csv(io.StringIO("study,attack\na,b\n"), "rows.csv")]
    file = io.StringIO()
    write_csv([ONE, ONE], file)
    whole = file.getvalue()
    for end in range(whole.rindex(",90,"), len(whole) - len(",eA==\n")):
        with pytest.raises(InputError, match=r"^rows\.csv, line 3: expected a row of a study, got "):
            [*read_csv(io.StringIO(whole[:end]), "rows.csv")]
    broken = whole.replace(",90,", ",many,")
    with pytest.raises(InputError, match=r"^rows\.csv, line 2: expected a row of a study, got invalid literal"):
        [*read_csv(io.StringIO(broken), "rows.csv")]
