import sys
from pathlib import Path

from windfirm.study.perform import perform
from windfirm.study.work import Result, Task


def test_an_executor_that_wants_to_end_the_process_fails_its_cell_alone(tmp_path: Path) -> None:
    def leave(task: Task) -> Result:
        sys.exit("no licence")

    task = Task("0", "attack", {}, {}, tmp_path / "new", tmp_path / "progress")
    assert perform({"attack": leave}, task).error == "SystemExit: no licence"
