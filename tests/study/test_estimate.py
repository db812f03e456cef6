from pathlib import Path

from windfirm.study.cell import Cell
from windfirm.study.estimate import estimate
from windfirm.study.store import opened
from windfirm.study.work import Ended, Result


def test_cells_take_as_long_as_those_that_differ_in_their_seed_alone_else_as_their_kind(tmp_path: Path) -> None:
    done = [
        (Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 0}), 2.0),
        (Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 1}), 4.0),
        (Cell("attack", {"attack": "clean", "eps": 1e-05, "seed": 0}), 1.0),
    ]
    with opened(tmp_path, create=True) as store:
        store.add_study("s", {}, [cell for cell, _ in done], [])
        run = store.begin({})
        store.exchange(run, [Ended(cell.key, seconds, Result()) for cell, seconds in done], [])
        seconds = estimate(store)
    assert seconds(Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 9})) == 3.0
    assert seconds(Cell("attack", {"attack": "clean", "eps": 1e-05, "seed": 9})) == 1.0
    assert seconds(Cell("attack", {"attack": "pgd", "seed": 0})) == 2.0  # the mean of 3 and 1
    assert seconds(Cell("train", {"seed": 0})) is None
