from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from windfirm.prune.criteria import rank
from windfirm.prune.criteria.rank import ranks

SIDES = st.sampled_from([1, 2, 3, 4, 5, 8, 13, 16])


def one_by_one(maps: Tensor) -> list[int]:
    """The oracle."""
    return [int(np.linalg.matrix_rank(one)) for one in maps.reshape(-1, *maps.shape[-2:]).numpy()]


def low_rank(draw: np.random.Generator, count: int, h: int, w: int) -> NDArray[Any]:
    """Products of two thin matrices, rank 0 and up."""
    inner = draw.integers(0, min(h, w) + 1, count)
    maps = [draw.normal(size=(h, r)) @ draw.normal(size=(r, w)) for r in inner]
    return np.stack(maps)


def falling(draw: np.random.Generator, count: int, h: int, w: int) -> NDArray[Any]:
    """Singular values from one down to far below the tolerance, many of them around it."""
    n = min(h, w)
    left, _ = np.linalg.qr(draw.normal(size=(count, h, n)))
    right, _ = np.linalg.qr(draw.normal(size=(count, w, n)))
    tolerance = max(h, w) * np.finfo(np.float32).eps
    values = np.sort(tolerance * 10 ** draw.uniform(-1.5, 1.5, (count, n)))[:, ::-1].copy()
    values[:, : max(1, n // 3)] = draw.uniform(0.1, 1, (count, 1))
    result: NDArray[Any] = (left * values[:, None]) @ right.swapaxes(1, 2)
    return result


def sparse(draw: np.random.Generator, count: int, h: int, w: int) -> NDArray[Any]:
    return draw.normal(size=(count, h, w)) * (draw.random((count, h, w)) < draw.random((count, 1, 1)))


def smooth(draw: np.random.Generator, count: int, h: int, w: int) -> NDArray[Any]:
    """Columns that hardly differ, as those of pictures."""
    x, y = np.linspace(0, 1, w), np.linspace(0, 1, h)[:, None]
    a, b = draw.normal(size=(2, count, 1, 1))
    result: NDArray[Any] = np.sin(a * x + b * y) + x * y
    return result


Kind = Callable[[np.random.Generator, int, int, int], NDArray[Any]]
KINDS: list[Kind] = [low_rank, falling, sparse, smooth]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), h=SIDES, w=SIDES, rectified=st.booleans(),
    scale=st.sampled_from([1.0, 1e-3, 1e5, 1e-30, 1e-38, 1e-44, 1e36]),
)  # fmt: skip
def test_ranks_are_those_of_numpy(seed: int, kind: Kind, h: int, w: int, rectified: bool, scale: float) -> None:
    maps = torch.from_numpy(kind(np.random.default_rng(seed), 12, h, w) * scale).float()
    if rectified:
        maps = maps.relu()
    assert ranks(maps).tolist() == one_by_one(maps)


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, 1e-7, 1.1920929e-07, 2.4e-7, 1e-3]), min_size=9, max_size=9)
)
def test_small_maps_of_few_values_which_make_pivots_vanish(values: list[float]) -> None:
    maps = torch.tensor(values).view(1, 3, 3)
    assert ranks(maps).tolist() == one_by_one(maps)


def test_no_count_is_trusted_after_a_pivot_that_nearly_vanishes() -> None:
    """The first row alone is as long as the shift, so that the elimination would divide by almost nothing."""
    tolerance = 2 * float(np.finfo(np.float32).eps)
    length = tolerance * 10 ** torch.linspace(-0.5, 1.5, 400, dtype=torch.float64)
    maps = torch.stack((torch.stack((length, length), 1), torch.tensor([[1.0, 0.7]]).expand(400, 2)), 1).float()
    assert ranks(maps).tolist() == one_by_one(maps)
    assert set(one_by_one(maps)) == {1, 2}


def test_values_by_hand() -> None:
    eye = torch.eye(3)
    maps = torch.stack((eye, torch.ones(3, 3), eye * 0, torch.diag(torch.tensor([1.0, 1e-3, 1e-8]))))
    assert ranks(maps).tolist() == [3, 1, 0, 2]
    assert ranks(maps.view(2, 2, 3, 3)).tolist() == [[3, 1], [0, 2]]
    assert ranks(torch.tensor([[[0.0]], [[-1e-45]]])).tolist() == [0, 1]
    assert ranks(torch.ones(0, 4, 4)).tolist() == []


def test_an_elimination_by_hand() -> None:
    matrices = torch.tensor([[[1.0, 2.0], [2.0, 3.0]], [[2.0, 0.0], [0.0, 4.0]]], dtype=torch.float64)
    count, largest = rank._eigenvalues_above(matrices, torch.tensor([0.5, 3.0], dtype=torch.float64))
    assert count.tolist() == [1, 1]
    assert largest.tolist() == [5.5, 1.0]  # pivots 0.5, 2.5 - 4 / 0.5; -1, 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    maps = torch.rand(6, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps[:, 2] = maps[:, 1] + 1e-10  # which only float64 tells apart
    maps = maps.to(dtype)
    assert ranks(maps).tolist() == one_by_one(maps if dtype == torch.float64 else maps.float())


def test_ordinary_maps_need_no_singular_values(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(300, 9, 12, generator=generator).relu()
    maps[100:200, 3] = 0
    maps[200:, :, 5:] = 0
    monkeypatch.setattr(rank, "_by_numpy", lambda some: torch.full((len(some),), -1))
    assert (ranks(maps) == torch.tensor([9, 8, 5]).repeat_interleave(100)).sum() > 290
