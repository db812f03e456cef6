"""kill -9 at random moments. The long version is benchmarks/faults.py."""

import random
from pathlib import Path

import pytest

from tests.study import toy
from tests.study.drill import killed_until_done, start
from windfirm.study.store import opened
from windfirm.study.upkeep import sweep, verify

CHAINS = 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    toy.run(folder, toy.cells(CHAINS))
    return toy.dump(folder)


@pytest.mark.parametrize(("seed", "workers"), [(0, 0), (1, 0), (2, 2)])
def test_a_study_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(
    tmp_path: Path, undisturbed: list[tuple[object, ...]], seed: int, workers: int
) -> None:
    assert killed_until_done(tmp_path, random.Random(seed), 6, workers, CHAINS) > 1
    assert toy.dump(tmp_path) == undisturbed
    with opened(tmp_path) as store:
        assert verify(store) == []
        sweep(store)
    assert toy.dump(tmp_path) == undisturbed
    files = [path for part in ("artifacts", "incoming") for path in (tmp_path / part).rglob("*") if path.is_file()]
    assert len(files) == sum(cell.kind != "measure" for cell in toy.cells(CHAINS))


def test_two_runs_in_one_folder_share_the_work_and_do_nothing_twice(
    tmp_path: Path, undisturbed: list[tuple[object, ...]]
) -> None:
    first, second = (start(tmp_path, 0, CHAINS) for _ in range(2))
    ends = [process.communicate() and process.returncode for process in (first, second)]
    assert ends == [0, 0]
    assert toy.dump(tmp_path) == undisturbed
