from tests.study import toy
from windfirm.commands.progress import telling, total, words
from windfirm.study.cell import Cell
from windfirm.study.schedule import Board
from windfirm.study.work import Ended, Result

F = Cell("train", {"arch": "resnet56", "seed": 2})
FGSM = Cell("attack", {"attack": "fgsm", "eps": 8 / 255, "seed": 2}, {"network": F.key})
OTHER = Cell("train", {"arch": "resnet20", "seed": 2})
CLEAN = Cell("attack", {"attack": "clean", "seed": 2}, {"network": F.key})


def test_progress_tells_what_runs_how_long_it_takes_and_the_last_result() -> None:
    told: list[tuple[int, int, str]] = []
    board = Board([F, FGSM, CLEAN])
    tell = telling(board, lambda cell: None, 2, lambda done, of, note: told.append((done, of, note)))
    board.take(1)
    board.begin(F.key)
    tell(board, [])
    board.done(F.key)
    board.begin(FGSM.key)
    tell(board, [Ended(F.key, 30.0, Result())])
    board.fail(FGSM.key, "no")
    tell(board, [Ended(FGSM.key, 10.0, error="no")])
    assert told == [
        (0, 3, "1 running"),
        (1, 3, "1 running; train resnet56, seed 2"),  # of attacks, all that is left, nothing is known yet
        (1, 3, "1 failed, 5 s left; attack fgsm, 8/255, seed 2 failed: no"),  # one of 10 s, two at a time
    ]


def test_where_a_kind_of_cell_is_new_the_time_left_is_what_is_known_of_the_others() -> None:
    told: list[str] = []
    board = Board([F, FGSM, CLEAN])
    tell = telling(board, lambda cell: {"train": 60.0}.get(cell.kind), 1, lambda done, of, note: told.append(note))
    board.take(1)
    board.begin(F.key)
    tell(board, [])
    assert told == ["1 running, more than 60 s left"]


def test_a_cell_that_was_done_and_has_to_be_done_again_is_told_as_any() -> None:
    told: list[str] = []
    board = Board([F, CLEAN], {F.key})
    tell = telling(board, lambda cell: 5.0, 1, lambda done, of, note: told.append(note))
    tell(board, [Ended(F.key, 30.0, Result())])
    assert told == ["5 s left; train resnet56, seed 2"]


def test_a_measurement_is_told_with_its_row() -> None:
    row = toy.row(bytes([1] * 4 + [2] * 28), 0.5)
    assert words(CLEAN, Ended(CLEAN.key, 1.0, Result({}, [row]))) == "attack clean, seed 2: 4 of 16 right"


def test_the_time_of_several_cells_is_shared_by_the_workers_and_unknown_when_one_is() -> None:
    assert total([10.0, 20.0], 2) == 15.0
    assert total([10.0, None], 2) is None
    assert total([], 0) == 0.0


def test_what_a_failure_blocks_and_what_another_run_has_done_takes_no_time_any_more() -> None:
    told: list[str] = []
    board = Board([F, FGSM, CLEAN, OTHER])
    tell = telling(board, lambda cell: 100.0, 1, lambda done, of, note: told.append(note))
    board.take(2)
    board.fail(F.key, "no")
    board.elsewhere(OTHER.key)
    tell(board, [])
    board.done(OTHER.key)
    tell(board, [])
    assert told == ["1 elsewhere, 1 failed, 2 blocked, 2 min left", "1 failed, 2 blocked"]
