from hypothesis import given, settings
from hypothesis import strategies as st

from windfirm.study.cell import Cell
from windfirm.study.schedule import TRIES, Board

A = Cell("train", {"seed": 0})
B = Cell("prune", {}, {"network": A.key})
C = Cell("attack", {"on": "F"}, {"network": A.key})
D = Cell("attack", {"on": "F'"}, {"network": B.key})


def test_cells_start_when_their_inputs_are_done_the_longest_way_first() -> None:
    board = Board([C, D, B, A])
    assert board.take(9) == [A]
    assert board.take(9) == []
    board.begin(A.key)
    board.done(A.key)
    assert board.take(1) == [B]  # an attack waits for it, so it goes before the attack on F
    assert board.take(9) == [C]


def test_a_weight_in_seconds_decides_which_way_is_longest() -> None:
    board = Board([A, B, C, D], done=[A.key], weight=lambda cell: 100.0 if cell == C else 1.0)
    assert board.take(1) == [C]


def test_what_is_done_already_is_not_begun() -> None:
    board = Board([A, B, C, D], done=[A.key, B.key])
    assert board.take(9) == [C, D]
    assert board.counts["done"] == 2


def test_a_failure_blocks_what_needs_the_cell_and_nothing_else() -> None:
    board = Board([A, B, C, D])
    board.take(1)
    board.done(A.key)
    board.fail(B.key, "expected a network")
    assert (board.where("failed"), board.where("blocked")) == ([B.key], [D.key])
    assert board.take(9) == [C]
    assert not board.settled
    board.done(C.key)
    assert board.settled


def test_a_cell_that_loses_its_process_is_begun_again_but_not_for_ever() -> None:
    board = Board([A])
    for _ in range(TRIES - 1):
        assert board.take(1) == [A]
        board.begin(A.key)
        assert board.lose(A.key)
    board.take(1)
    assert not board.lose(A.key)


def test_a_cell_that_another_run_has_is_not_handed_out_until_that_run_gives_it_back() -> None:
    board = Board([A])
    board.take(1)
    board.elsewhere(A.key)
    assert board.take(1) == []
    assert not board.settled
    board.again(A.key)
    assert board.take(1) == [A]


@st.composite
def graphs(draw: st.DrawFn) -> list[Cell]:
    """Up to twelve cells, each with some of those before it as inputs."""
    cells: list[Cell] = []
    for number in range(draw(st.integers(1, 12))):
        chosen = draw(st.lists(st.sampled_from(cells), max_size=3)) if cells else []
        cells.append(Cell("toy", {"number": number}, {str(i): cell.key for i, cell in enumerate(chosen)}))
    return cells


@settings(deadline=None)
@given(graphs(), st.integers(1, 4), st.data())
def test_every_cell_ends_once_in_any_order_of_ends_with_any_failures(
    cells: list[Cell], slots: int, data: st.DataObject
) -> None:
    """Held against the definition: a cell is blocked if and only if a cell that it needs, however far, failed."""
    board, running = Board(cells), list[str]()
    done, failed = set[str](), set[str]()
    while not board.settled:
        for cell in board.take(slots - len(running)):
            assert set(cell.inputs.values()) <= done
            board.begin(cell.key)
            running.append(cell.key)
        key = running.pop(data.draw(st.integers(0, len(running) - 1)))
        assert key not in done | failed
        if data.draw(st.booleans()):
            board.done(key)
            done.add(key)
        else:
            board.fail(key, "no")
            failed.add(key)
    hopeless = set(failed)
    for cell in cells:
        if hopeless & set(cell.inputs.values()):
            hopeless.add(cell.key)
    assert set(board.where("blocked")) == hopeless - failed
    assert set(board.where("done")) == {cell.key for cell in cells} - hopeless == done
