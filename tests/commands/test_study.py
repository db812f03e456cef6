import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.toys import complaint, run, run_json
from windfirm.cli import main
from windfirm.study.cell import Cell
from windfirm.study.lease import myself
from windfirm.study.store import opened

STUDY = """\
name = "tiny"
[network]
arch = "tests.study.nets:tiny"
[data]
train = 32
test = 8
[train]
epochs = 1
[prune]
structure = "filters"
criterion = "l1"
ratio = 0.4
[adjust]
name = "fine-tuning"
epochs = 1
[[attack]]
name = "fgsm"
eps = ["1/255", "8/255"]
"""

#: The first grid point works; the criterion of the second fails.
HALF_BROKEN = STUDY + '\n[[grid]]\nprune.criterion = ["l1", "tests.study.nets:undecided"]\n'

Capture = pytest.CaptureFixture[str]


def written(folder: Path, text: str = STUDY) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was run, with one point that fails."""
    folder = tmp_path_factory.mktemp("study")
    code = main(["run", str(written(folder, HALF_BROKEN)), "--out", str(folder / "out"), "--workers", "0", "--json"])
    assert code == 3
    return folder


def test_a_run_tells_what_failed_and_why_and_goes_on_with_the_rest(folder: Path, capsys: Capture) -> None:
    code = main(["run", str(folder / "tiny.toml"), "--out", str(folder / "out"), "--workers", "0"])
    out = capsys.readouterr().out.splitlines()
    assert code == 3
    assert out[0].startswith("failed: prune filters, tests.study.nets:undecided, round 1, seed 0 (")
    assert out[0].endswith("): undecided: expected a mind, got none")
    assert out[1:] == [
        "not done, as what they need failed: 3 cells",
        f"{folder / 'out'}: 10 of 14 cells of tiny done, 10 rows",
        f"rows:  windfirm study rows {folder / 'out'} --csv",
        f"page:  windfirm report {folder / 'out'}",
    ]


def test_a_dry_run_tells_what_is_to_be_done_and_how_long_it_will_take(folder: Path, capsys: Capture) -> None:
    found = run_json(capsys, "run", folder / "tiny.toml", "--out", folder / "out", "--dry-run", "--seed", 1)
    kinds = {entry["kind"]: (entry["cells"], entry["done"]) for entry in found["kinds"]}
    assert kinds == {"train": (1, 0), "prune": (2, 0), "adjust": (3, 0), "attack": (8, 0)}
    assert found["seconds"] > 0  # as another seed took
    found = run_json(capsys, "run", folder / "tiny.toml", "--out", folder / "new", "--dry-run")
    assert found["seconds"] is None
    assert not (folder / "new").exists()


def test_a_dry_run_tells_of_data_that_are_not_here(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    assert run_json(capsys, "run", path, "--dry-run")["missing"] == []
    wanted = "data: expected cifar10, embedded, a folder of class folders or package.module:factory, got photos"
    assert run(capsys, "run", path, "--dry-run", "--set", "data.name=photos").splitlines()[-1] == f"missing: {wanted}"
    monkeypatch.setenv("WINDFIRM_HOME", str(tmp_path / "empty"))
    (said,) = run_json(capsys, "run", path, "--dry-run", "--set", "data.name=cifar10")["missing"]
    assert said.endswith("got no such file; run `windfirm data fetch cifar10`")


def test_a_study_of_the_package_goes_by_its_name(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_json(capsys, "run", "table1", "--scale", "smoke", "--dry-run")
    assert (found["study"], found["out"]) == ("table1", "runs/table1-smoke")


def test_rows_are_a_line_each(folder: Path, capsys: Capture) -> None:
    lines = list(csv.DictReader(io.StringIO(run(capsys, "study", "rows", folder / "out", "--csv"))))
    assert len(lines) == 10
    pruned = [line for line in lines if line["role"] == "F'"]
    assert [(line["prune.criterion"], line["seed"], line["total"]) for line in pruned] == [("l1", "0", "8")] * 2
    assert [float(line["eps"]) for line in pruned] == [1 / 255, 8 / 255]
    shown = run(capsys, "study", "rows", folder / "out", "--study", "tiny").splitlines()
    assert len(shown) == 11
    assert shown[0].split() == ["study", "point", "role", "seed", "attack", "eps", "right", "of", "accuracy,", "%"]
    assert complaint(capsys, "study", "rows", folder / "out", "--study", "tinny") == (
        f"windfirm study: {folder / 'out'}: expected a study tiny, got tinny; did you mean tiny?"
    )


def test_studies_and_cells_are_listed(folder: Path, capsys: Capture) -> None:
    (entry,) = run_json(capsys, "study", "ls", folder / "out")
    assert (entry["name"], entry["rows"]) == ("tiny", 10)
    assert entry["cells"] == {"done": 10, "failed": 1, "waiting": 3}
    cells = run_json(capsys, "study", "show", folder / "out", "tiny")
    assert len(cells) == 14
    (failed,) = (cell for cell in cells if cell["state"] == "failed")
    text = run(capsys, "study", "show", folder / "out", failed["key"][:10])
    assert text.startswith(f"prune {failed['key']}: failed\n")
    assert "InputError" in text
    wanted = "expected a study (tiny) or the first digits of a cell's key, got nothing"
    assert complaint(capsys, "study", "show", folder / "out", "nothing") == f"windfirm study: WHAT: {wanted}"


def test_damage_is_found_and_mended_by_the_next_run(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "study", "verify", folder / "out") == "every byte as it should be\n"
    damaged = sorted(folder.glob("out/artifacts/*/*"))[0]
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-1] + b"?")
    code = main(["study", "verify", str(folder / "out"), "--mend"])
    out = capsys.readouterr().out.splitlines()
    assert code == 3
    assert out[0].startswith(f"{damaged}: expected SHA-256 ")
    assert out[-1] == "1 cell will be done anew by the next run"
    main(["run", str(folder / "tiny.toml"), "--out", str(folder / "out"), "--workers", "0"])
    assert damaged.read_bytes() == before
    capsys.readouterr()
    assert run(capsys, "study", "gc", folder / "out").startswith("removed: 0 cells that no study needs, 0 files")


def test_networks_are_kept_at_a_url_and_found_there_without_being_told(tmp_path: Path, capsys: Capture) -> None:
    study, out, shared = written(tmp_path), tmp_path / "out", tmp_path / "shared"
    ran = run_json(capsys, "run", study, "--out", out, "--workers", 0, "--artifacts", f"file://{shared}")
    assert ran["cells"] == {"done": 10, "failed": 0, "blocked": 0}
    cells = run_json(capsys, "study", "show", out, "tiny")
    key = next(cell["key"] for cell in cells if cell["kind"] == "prune")
    (path,) = (entry["path"] for entry in run_json(capsys, "study", "show", out, key)["files"].values())
    assert path.startswith(f"file://{shared}/{key}/")
    run(capsys, "report", out, "--out", tmp_path / "page")
    assert run(capsys, "study", "verify", out) == "every byte as it should be\n"
    Path(path.removeprefix("file://")).unlink()
    assert main(["study", "verify", str(out)]) == 3
    assert capsys.readouterr().out.startswith(f"{path}: expected a file of the store, got FileNotFoundError: /")
    words = f"--artifacts: expected file://{shared}, where {out} keeps them since its first run, got file://{tmp_path}"
    text = complaint(capsys, "run", study, "--out", out, "--workers", 0, "--artifacts", tmp_path)
    assert text == f"windfirm run: {words}"


def test_a_folder_without_a_store_is_told_and_so_is_an_unknown_engine(tmp_path: Path, capsys: Capture) -> None:
    wanted = "expected the folder of a study, with a study.sqlite, got none"
    assert complaint(capsys, "study", "ls", tmp_path) == f"windfirm study: {tmp_path}: {wanted}"
    words = "windfirm run: --engine: expected local or ray, got slurm"
    assert complaint(capsys, "run", written(tmp_path), "--engine", "slurm") == words
    wanted = (
        "--threads: expected --workers 1 or more, as a cell in this process has all of its threads, got --workers 0"
    )
    assert complaint(capsys, "run", written(tmp_path), "--workers", 0, "--threads", 2) == f"windfirm run: {wanted}"


def test_rows_tell_the_threads_that_a_cell_had(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    run(capsys, "run", written(tmp_path), "--set", "prune.ratio=0.3", "--workers", 1, "--threads", 3, "--out", out)
    rows = run_json(capsys, "study", "rows", out)
    assert {row["about"]["hardware"].rpartition(", ")[2] for row in rows} == {"3 threads"}


def test_cells_of_a_run_that_was_killed_are_waiting(tmp_path: Path, capsys: Capture) -> None:
    with opened(tmp_path, create=True) as store:
        store.add_study("tiny", {}, [Cell("tell", {})], [])
        (key,) = store.lease(store.begin({}), [Cell("tell", {}).key])
        store.db.execute("UPDATE runs SET born = 'before', host = 'elsewhere', beat = 0")
        found = store.incoming(store.db.execute("SELECT id FROM runs").fetchone()[0])
        found.mkdir(parents=True)
        assert run_json(capsys, "study", "ls", tmp_path)[0]["cells"] == {"running": 1}  # it may only sleep
        assert found.is_dir()
        store.db.execute("UPDATE runs SET host = ?", (myself().host,))
    assert run_json(capsys, "study", "ls", tmp_path)[0]["cells"] == {"waiting": 1}
    assert run_json(capsys, "study", "show", tmp_path, key)["state"] == "waiting"


def test_looking_at_a_study_needs_no_torch(folder: Path) -> None:
    code = "import sys; from windfirm.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    for action in ("ls", "rows", "show", "verify", "gc"):
        command = [sys.executable, "-c", code, "study", action, str(folder / "out")]
        subprocess.run(command, check=True, capture_output=True)
