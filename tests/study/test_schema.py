import sqlite3
from pathlib import Path

from tests.study import toy
from windfirm.study import listing
from windfirm.study.store import NAME, opened
from windfirm.study.upkeep import verify


def tables(path: Path) -> list[tuple[str, list[tuple[object, ...]]]]:
    """Every table and view with its columns."""
    db = sqlite3.connect(path)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type <> 'index' ORDER BY name")]
    found = [(name, db.execute(f"PRAGMA table_info({name})").fetchall()) for name in names]
    db.close()
    return found


def test_a_store_of_the_first_version_is_brought_to_ours(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / NAME)
    db.executescript(Path(__file__).with_name("version1.sql").read_text())
    db.close()
    with opened(tmp_path) as store:
        (entry,) = listing.measured(store, "one")
        assert (entry.role, entry.point, entry.macs, entry.row["count"]) == ("F", {"arch": "toy"}, 7, 8)
        assert store.artifacts is None
        assert entry.network
        (file,) = store.files(entry.network).values()
        file.path.parent.mkdir(parents=True)
        file.path.write_bytes(b"weights")
        assert verify(store) == []
    with opened(tmp_path) as store:  # and stays so
        assert [listed.name for listed in listing.studies(store)] == ["one"]
    with opened(tmp_path / "new", create=True):
        assert tables(tmp_path / NAME) == tables(tmp_path / "new" / NAME)
    toy.run(tmp_path, toy.cells(1))
