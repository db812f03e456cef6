from pathlib import Path

import pytest

from windfirm.errors import InputError
from windfirm.study.find import BUILTIN, builtin, find, subject

NAMES = "beyond, signs, table1, table2, table3, table4, trajectory"


def test_a_name_means_the_study_in_the_package_and_a_file_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ", ".join(builtin()) == NAMES
    (tmp_path / "table1").mkdir()  # such as the folder of an earlier run
    assert find("table1") == BUILTIN / "table1.toml"
    (tmp_path / "table2").write_text("")
    (tmp_path / "table3.toml").write_text("")
    assert [find("table2"), find("table3.toml")] == [Path("table2"), Path("table3.toml")]


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("tabel1", "; did you mean table1?"),
        ("studies/table1.toml", "; did you mean table1?"),
        ("sweep.toml", ""),
    ],
)
def test_what_is_no_study_is_told_with_all_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, guess: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        find(word)
    assert str(error.value) == f"STUDY: expected a study file, or one of {NAMES}, got {word}{guess}"


def test_a_built_in_study_says_what_it_is_about_and_another_has_its_name_alone() -> None:
    assert subject("trajectory") == "Robustness from nothing to nine tenths removed"
    assert subject("sweep") == "sweep"
    assert all(subject(name) != name for name in builtin())
