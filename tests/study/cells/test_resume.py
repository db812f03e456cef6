"""Cells that train, interrupted in the middle of an epoch, beside cells that were not."""

import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from tests.study import toy
from windfirm.adjust import train
from windfirm.adjust.epoch import epoch as whole
from windfirm.adjust.recipe import Epoch, Progress
from windfirm.adjust.training import Training
from windfirm.models.source import INITIAL, MODEL
from windfirm.study.drive import drive
from windfirm.study.expand import expand
from windfirm.study.listing import shown
from windfirm.study.local import InProcess
from windfirm.study.plan import read
from windfirm.study.schedule import Board
from windfirm.study.store import opened

#: F, F' and the control: three cells that train.
STUDY = """
[network]
arch = "tests.study.nets:tiny"
[data]
train = 16
test = 4
[train]
epochs = 3
batch = 8
[adjust]
name = "scratch-e"
epochs = 2
[prune]
structure = "filters"
criterion = "l1"
ratio = 0.4
[[attack]]
name = "clean"
"""


def ran(folder: Path) -> None:
    """Run the study in ``folder``, or what is left of it."""
    folder.mkdir(exist_ok=True)
    (folder / "s.toml").write_text(STUDY)
    plan = read(folder / "s.toml")
    graph = expand(plan)
    cells = list(graph.cells.values())
    with opened(folder, create=True) as store:
        store.add_study("s", plan.to_json(), cells, graph.places)
        done = [key for key, state in store.states(graph.cells).items() if state.state == "done"]
        board = Board(cells, done)
        drive(store, store.begin({}), board, InProcess("windfirm.study.cells:executors"))
    assert board.errors == {}


def test_cells_that_were_interrupted_go_on_from_their_last_epoch_and_end_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(tmp_path / "undisturbed")
    events: list[object] = []

    def epoch(training: Training, network: nn.Module, progress: Progress | None) -> Generator[None, None, Epoch]:
        """As it is, but a second epoch is interrupted after a step when it is begun for the first time."""
        number = len(training.history) + 1
        steps = whole(training, network, progress)
        if number == 2 and events[-1] != "interrupt":
            next(steps)
            events.append("interrupt")
            raise KeyboardInterrupt
        entry = yield from steps
        events.append(number)
        return replace(entry, seconds=100.0)

    monkeypatch.setattr(train, "epoch", epoch)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            ran(tmp_path / "disturbed")
        assert len(states(tmp_path / "disturbed")) == 1
    ran(tmp_path / "disturbed")
    trained, adjusted = [1, "interrupt", 2, 3], [1, "interrupt", 2]
    assert events == [*trained, *adjusted, *adjusted]
    assert toy.dump(tmp_path / "disturbed") == toy.dump(tmp_path / "undisturbed")
    with opened(tmp_path / "disturbed") as store:
        took = [entry.seconds for entry in shown(store) if entry.kind in ("train", "adjust")]
    assert took == [300.0, 200.0, 200.0]  # those before the interrupts are not forgotten
    assert states(tmp_path / "disturbed") == []


def test_a_cell_whose_run_was_taken_for_dead_while_it_trained_ends_with_all_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epoch(training: Training, network: nn.Module, progress: Progress | None) -> Generator[None, None, Epoch]:
        """As it is; what was written so far is removed, as a run on another machine would do."""
        shutil.rmtree(tmp_path / "incoming", ignore_errors=True)
        return (yield from whole(training, network, progress))

    monkeypatch.setattr(train, "epoch", epoch)
    ran(tmp_path)
    names = sorted(path.name.partition("-")[2] for path in tmp_path.glob("artifacts/*/*"))
    assert names == [INITIAL, *4 * [MODEL]]  # F; F cut, F cut and adjusted, the control


def states(folder: Path) -> list[Path]:
    return list((folder / "progress").iterdir())
