"""The toy study on a Ray of its own. Needs the extra windfirm[ray]; takes half a minute, most of it Ray's start."""

from pathlib import Path

import pytest

from tests.study import toy
from windfirm.study.cell import Cell
from windfirm.study.on_ray import OnRay

pytest.importorskip("ray")


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_rows_are_the_same_whichever_engine_runs_them_and_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    toy.run(tmp_path / "local", toy.cells(2))
    board = toy.run(tmp_path / "ray", toy.cells(2), OnRay(toy.SPEC), url=str(tmp_path / "shared"))
    assert +board.counts == {"done": 16}
    assert toy.dump(tmp_path / "ray") == toy.dump(tmp_path / "local")
    stumble = Cell("stumble", {"mark": str(tmp_path / "mark")})
    board = toy.run(tmp_path / "ray", [stumble], OnRay("tests.study.test_drive:executors"))
    assert +board.counts == {"done": 1}
