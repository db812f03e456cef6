from pathlib import Path

import pytest

from windfirm.study.cell import Cell
from windfirm.study.estimate import Estimate, estimate
from windfirm.study.store import opened
from windfirm.study.work import Ended, Result


def estimated(folder: Path, done: list[tuple[Cell, float]]) -> Estimate:
    with opened(folder, create=True) as store:
        store.add_study("s", {}, [cell for cell, _ in done], [])
        run = store.begin({})
        store.commit(run, [Ended(cell.key, seconds, Result()) for cell, seconds in done])
        return estimate(store)


def test_cells_take_as_long_as_those_that_differ_in_their_seed_alone_else_as_their_kind(tmp_path: Path) -> None:
    done = [
        (Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 0}), 2.0),
        (Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 1}), 4.0),
        (Cell("attack", {"attack": "clean", "eps": 1e-05, "seed": 0}), 1.0),
    ]
    seconds = estimated(tmp_path, done)
    assert seconds(Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 9})) == 3.0
    assert seconds(Cell("attack", {"attack": "clean", "eps": 1e-05, "seed": 9})) == 1.0
    assert seconds(Cell("attack", {"attack": "pgd", "seed": 0})) == 2.0  # the mean of 3 and 1
    assert seconds(Cell("train", {"seed": 0})) is None


def test_what_is_known_is_scaled_to_other_numbers_of_epochs_and_images(tmp_path: Path) -> None:
    def adjust(epochs: int, images: int | None = 500, name: str = "fine-tuning") -> Cell:
        return Cell("adjust", {"name": name, "epochs": epochs, "data": {"images": images}, "seed": 0})

    seconds = estimated(tmp_path, [(adjust(2), 10.0), (adjust(6), 36.0), (adjust(1, name="scratch-e"), 100.0)])
    assert seconds(adjust(2)) == 10.0
    assert seconds(adjust(4)) == 4 * 5.5  # 5 and 6 seconds an epoch
    assert seconds(adjust(4, images=50)) == pytest.approx(0.4 * 5.5)
    assert seconds(adjust(4, name="scratch-e")) == 400.0
    assert seconds(adjust(4, images=None)) == 146 / 3  # all of a data set, whose size is not known: only the kind helps


def test_another_eps_takes_as_long(tmp_path: Path) -> None:
    def attack(eps: float) -> Cell:
        return Cell("attack", {"attack": "pgd", "eps": eps, "options": {"steps": 50}, "seed": 0})

    seconds = estimated(tmp_path, [(attack(0.1), 8.0), (Cell("attack", {"attack": "clean", "seed": 0}), 1.0)])
    assert seconds(attack(0.2)) == 8.0
