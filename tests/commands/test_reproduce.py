from pathlib import Path

import pytest

from tests.commands.test_study import HALF_BROKEN, STUDY, Capture
from tests.commands.toys import complaint, run, run_json
from windfirm.cli import main
from windfirm.study import find


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small studies in the place of those of the package; the second asks for one more attack."""
    folder = tmp_path / "tables"
    folder.mkdir()
    more = '\n[[attack]]\nname = "clean"\n'
    for name, text in (("first", STUDY), ("second", STUDY + more), ("broken", HALF_BROKEN)):
        scaled = text.replace('"tiny"', f'"{name}"') + "\n[scale.laptop]\nseeds = [1]\n\n[scale.smoke]\nseeds = [0]\n"
        (folder / f"{name}.toml").write_text(scaled)
    monkeypatch.setattr(find, "BUILTIN", folder)


def test_tables_are_run_into_one_folder_and_reported_together(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = "--scale", "smoke", "--out", out, "--workers", "0"
    said = run(capsys, "reproduce", "first", "second", *options).splitlines()
    assert said[0] == f"{out}: 10 of 10 cells of first done, 6 rows"
    assert said[1] == f"{out}: 13 of 13 cells of second done, 9 rows"
    assert said[-1].startswith(f"page: {out / 'report' / 'report.html'}")
    page = (out / "report" / "report.html").read_text()
    assert "windfirm run first --scale smoke" in page
    assert "windfirm run second --scale smoke" in page


def test_results_go_where_they_are_asked_for_and_the_scale_is_that_of_a_laptop(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_json(capsys, "reproduce", "first", "--results", "mine", "--workers", 0)
    assert found["report"] == "mine"
    assert found["studies"][0]["out"] == "runs/reproduce-laptop"
    assert (tmp_path / "mine" / "rows.csv.gz").is_file()


@pytest.mark.parametrize("option", ["--results", "--markdown"])
def test_a_report_that_cannot_be_written_is_told_before_the_run(capsys: Capture, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    out, place = tmp_path / "out", tmp_path / "file" / "new"
    words = "reproduce", "first", "--out", out, option, place if option == "--results" else place / "R.md"
    assert complaint(capsys, *words) == (
        f"windfirm reproduce: {place}: expected a folder that can be written, got Not a directory"
    )
    assert not out.exists()


def test_a_cell_that_fails_leaves_a_report_of_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["reproduce", "broken", "--out", str(out), "--workers", "0", "--json"]) == 3
    assert (out / "report" / "report.html").is_file()


def test_a_dry_run_runs_nothing(capsys: Capture, tmp_path: Path) -> None:
    said = run(capsys, "reproduce", "all", "--dry-run", "--out", tmp_path / "out")
    assert said.count("0 done") == 3
    found = run_json(capsys, "reproduce", "all", "--dry-run", "--out", tmp_path / "out")
    assert [entry["study"] for entry in found["studies"]] == ["broken", "first", "second"]
    assert not (tmp_path / "out").exists()


def test_a_table_that_there_is_not_is_told_with_the_nearest(capsys: Capture) -> None:
    assert complaint(capsys, "reproduce", "frist") == (
        "windfirm reproduce: TABLE: expected broken or first or second or all, got frist; did you mean first?"
    )


def test_where_nothing_came_of_it_what_failed_is_told(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = STUDY.replace("[train]", "[train]\nlr = 1e60").replace('"tiny"', '"first"')
    (find.BUILTIN / "first.toml").write_text(broken + "\n[scale.laptop]\nseeds = [1]\n")
    assert main(["reproduce", "first", "--out", str(out), "--workers", "0"]) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("failed: train ")
    assert said[-1] == f"{out}: 0 of 10 cells of first done, 0 rows"
