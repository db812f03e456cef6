import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest

from tests.commands.test_study import HALF_BROKEN, STUDY, Capture, written
from tests.commands.toys import complaint, run, run_json
from tests.report.made import comparison, every
from tests.report.studied import THREE, rows
from windfirm.cli import main
from windfirm.evaluate.stored import to_json
from windfirm.study.rows import write_csv

FILES = {"report.html", "report.md", "tables.tex", "tables.csv", "tables.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study that was run."""
    folder = tmp_path_factory.mktemp("reported")
    study = STUDY.replace('"tests.study.nets:tiny"', '"resnet20"').replace("epochs = 1", "epochs = 1")
    assert main(["run", str(written(folder, study)), "--out", str(folder / "out"), "--workers", "0", "--json"]) == 0
    return folder / "out"


def test_a_study_has_a_page_tables_rows_and_pictures(folder: Path, capsys: Capture) -> None:
    said = run(capsys, "report", folder)
    out = folder / "report"
    assert FILES | {"rows.csv.gz"} <= {path.name for path in out.iterdir()}
    assert said.splitlines()[-1].startswith(f"page: {out / 'report.html'}")
    page = (out / "report.html").read_text()
    assert 'data-fooled="' in page
    assert "windfirm run tiny" not in page  # where the file is, is not known
    assert "adjust.name fine-tuning" in page


def test_tables_are_computed_again_from_the_rows_alone(folder: Path, capsys: Capture, tmp_path: Path) -> None:
    run(capsys, "report", folder, "--out", tmp_path / "a", "--no-pictures")
    run(capsys, "report", "--from", tmp_path / "a" / "rows.csv.gz", "--out", tmp_path / "b")
    for name in ("report.md", "tables.csv", "tables.json", "tables.tex", "rows.csv.gz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "adjust.name fine-tuning" in (tmp_path / "b" / "report.md").read_text()
    plain = gzip.decompress((tmp_path / "a" / "rows.csv.gz").read_bytes()).decode()
    assert plain == run(capsys, "study", "rows", folder, "--csv")


def test_of_several_studies_each_has_its_line_on_the_terminal(capsys: Capture, tmp_path: Path) -> None:
    alone = {role: THREE[role] for role in ("F", "F'")}
    made = [*rows("table3", {"prune.criterion": "pls"}, THREE), *rows("a | b", {"prune.ratio": 0.5}, alone)]
    with (tmp_path / "rows.csv").open("w") as file:
        write_csv(made, file)
    first, second, last = run(capsys, "report", "--from", tmp_path / "rows.csv", "--out", tmp_path).splitlines()
    assert (
        first == "table3: Influence of the pruning criterion: more / less robust than the control in 0 / 0 of 3 cases"
    )
    assert second == "a | b: no control"
    assert last.startswith("page: ")


def test_the_text_may_stand_elsewhere_and_finds_its_drawings(capsys: Capture, tmp_path: Path) -> None:
    made = [row for name in ("l1", "pls") for row in rows("table3", {"prune.criterion": name}, THREE)]
    with (tmp_path / "rows.csv").open("w") as file:
        write_csv(made, file)
    text, out = tmp_path / "RESULTS.md", tmp_path / "results" / "first"
    run(capsys, "report", "--from", tmp_path / "rows.csv", "--out", out, "--markdown", text)
    (shown,) = re.findall(r"\]\(<(.*?)>\)", text.read_text())
    assert shown == "results/first/table3-1.svg"
    assert (tmp_path / shown).is_file()


def test_pictures_that_cannot_be_made_are_told_and_the_rest_is_there(
    folder: Path, capsys: Capture, tmp_path: Path
) -> None:
    hidden = list(folder.glob("artifacts/*/*model.safetensors"))
    for path in hidden:
        path.rename(path.with_suffix(".gone"))
    try:
        assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    finally:
        for path in hidden:
            path.with_suffix(".gone").rename(path)
    assert "tiny: no pictures: " in capsys.readouterr().err
    assert 'data-fooled="' not in (tmp_path / "out" / "report.html").read_text()


def test_rows_as_csv_are_enough(capsys: Capture, tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w") as file:
        write_csv(rows("table3", {"prune.criterion": "pls"}, THREE), file)
    found = run_json(capsys, "report", "--from", tmp_path / "rows.csv")
    assert found["out"] == str(tmp_path / "rows-report")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "rows-report" / "tables.csv").read_text())))
    assert {(line["column"], line["versus"]): float(line["points"]) for line in lines}["fgsm", "control"] == 6.0


def test_rows_of_other_stores_stand_beside_a_study_each_with_its_own_hardware(
    folder: Path, capsys: Capture, tmp_path: Path
) -> None:
    with (tmp_path / "rows.csv").open("w") as file:
        write_csv(rows("table3", {"prune.criterion": "pls"}, THREE), file)
    more = ("--from", tmp_path / "rows.csv", "--no-pictures")
    run(capsys, "report", folder, *more, "--out", tmp_path / "out")
    run(capsys, "report", folder, *more, "--study", "table3", "--study", "tiny", "--out", tmp_path / "turned")
    run(capsys, "report", folder, "--no-pictures", "--out", tmp_path / "alone")
    tables = [json.loads((tmp_path / name / "tables.json").read_text()) for name in ("out", "turned", "alone")]
    together, turned, alone = ([(e["study"], e["points"]) for e in entries] for entries in tables)
    assert list(dict.fromkeys(name for name, _ in together)) == ["tiny", "table3"]
    assert list(dict.fromkeys(name for name, _ in turned)) == ["table3", "tiny"]
    assert [entry for entry in together if entry[0] == "tiny"] == alone
    again = tmp_path / "alone" / "rows.csv.gz"
    assert complaint(capsys, "report", folder, "--from", again) == (
        f"windfirm report: {again}: expected the rows of tiny in one place, got some there and in {folder}"
    )
    (tmp_path / "comparison.json").write_text("{}")
    assert complaint(capsys, "report", tmp_path, "--from", again) == (
        f"windfirm report: report: expected rows from a file beside the folder of a study, got them beside {tmp_path}"
    )


def test_a_comparison_a_pruning_and_a_training_have_their_pages(capsys: Capture, tmp_path: Path) -> None:
    compared = to_json(comparison(every((2.0, 1.0, 3.0, 0.0001))))
    compared["cautions"] = ["Warning, weights: as the function makes them."]
    compared["subjects"][0]["checks"] = {"images": 9, "findings": [{"kind": "softmax at the end", "text": "so it is"}]}
    (tmp_path / "mine.json").write_text(json.dumps(compared))
    run(capsys, "report", tmp_path / "mine.json", "--out", tmp_path / "c")
    assert "Is the pruned network" in (tmp_path / "c" / "report.html").read_text()
    for name in ("report.html", "report.md"):
        text = (tmp_path / "c" / name).read_text()
        for said in ("as the function makes them", "softmax at the end", "≈ means within ±1 point"):
            assert said in text
    for name, record in (
        ("prune", {"model": "m", "rounds": []}),
        ("train", {"recipe": {}, "epochs": [{"loss": 1.0, "accuracy": 0.5}]}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(record))
        run(capsys, "report", tmp_path / name, "--out", tmp_path / f"{name}-out")
        assert {path.name for path in (tmp_path / f"{name}-out").iterdir()} == FILES
        run(capsys, "report", tmp_path / name, "--out", tmp_path / f"{name}-out", "--title", "Mine")
        assert "<h1>Mine</h1>" in (tmp_path / f"{name}-out" / "report.html").read_text()
        assert complaint(capsys, "report", tmp_path / name, "--study", "a").startswith(
            "windfirm report: --study: expected"
        )


def test_what_there_is_nothing_to_report_of_is_told(capsys: Capture, tmp_path: Path) -> None:
    assert complaint(capsys, "report") == ("windfirm report: report: expected a study, a run or --from FILE, got none")
    assert complaint(capsys, "report", tmp_path) == (
        f"windfirm report: {tmp_path}: expected a folder with study.sqlite, comparison.json or record.json, got another"
    )
    missing = tmp_path / "no.csv"
    assert complaint(capsys, "report", "--from", missing) == (
        f"windfirm report: {missing}: expected the folder of a study or a run, or rows as CSV, "
        "got No such file or directory"
    )
    (tmp_path / "other.json").write_text("[]")
    wanted = "expected the JSON that compare, prune or train wrote of one run, got another"
    other = tmp_path / "other.json"
    assert complaint(capsys, "report", other) == f"windfirm report: {other}: {wanted}"
    assert not (tmp_path / "report").exists()


def test_a_study_that_is_not_there_is_told(folder: Path, capsys: Capture) -> None:
    assert complaint(capsys, "report", folder, "--study", "tinny") == (
        f"windfirm report: {folder}: expected a study tiny, got tinny; did you mean tiny?"
    )


def test_whatever_goes_wrong_with_pictures_leaves_the_tables(
    folder: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("of an attack of the user's own")

    monkeypatch.setattr("windfirm.commands.report.pictures", broken)
    run(capsys, "report", folder, "--out", tmp_path)
    assert (tmp_path / "report.html").is_file()


def test_what_is_not_done_yet_is_told(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    study = written(tmp_path, HALF_BROKEN)
    assert main(["run", str(study), "--out", str(out), "--workers", "0"]) == 3
    capsys.readouterr()
    assert main(["report", str(out), "--no-pictures"]) == 0
    said = "tiny: 4 of 14 cells are not done (1 failed, 3 waiting)"
    assert said in capsys.readouterr().err
    assert "1 failed, 3 waiting" in (out / "report" / "report.html").read_text()


def test_rows_that_a_spreadsheet_has_saved_are_read(capsys: Capture, tmp_path: Path) -> None:
    file = io.StringIO(newline="")
    write_csv(rows("mine", {}, THREE), file)
    (tmp_path / "rows.csv").write_text(file.getvalue(), encoding="utf-8-sig")
    run(capsys, "report", "--from", tmp_path / "rows.csv", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_study_that_lies_where_nothing_can_be_written_is_reported_elsewhere(
    folder: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    run(capsys, "report", folder, "--out", tmp_path / "out", "--no-pictures")
    assert "tiny" in run(capsys, "study", "ls", folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert "readonly" in complaint(capsys, "study", "gc", folder)


def test_the_scale_is_that_of_the_study_not_of_the_one_that_a_cell_was_done_for(
    capsys: Capture, tmp_path: Path
) -> None:
    text = STUDY + "\n[scale.smoke]\nseeds = [0]\n\n[scale.full]\nseeds = [0, 1]\n"
    for scale in ("smoke", "full"):
        run(capsys, "run", written(tmp_path, text), "--scale", scale, "--out", tmp_path / "out", "--workers", "0")
    found = csv.DictReader(io.StringIO(run(capsys, "study", "rows", tmp_path / "out", "--csv")))
    assert {entry["scale"] for entry in found} == {"full"}
