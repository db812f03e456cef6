import pytest
import torch
from torch import Tensor

from tests.evaluate.toys import Counting, labelled
from windfirm.errors import InputError
from windfirm.evaluate.memory import Batches, batched

GPU = torch.OutOfMemoryError("CUDA out of memory.")
HOST = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried …")


@pytest.mark.parametrize("error", [GPU, HOST, MemoryError()])
def test_batches_are_halved_until_they_fit_and_stay_so(error: Exception) -> None:
    tried = []

    def work(ids: Tensor) -> int:
        tried.append(len(ids))
        if len(ids) > 6:
            raise error
        return len(ids)

    batches = Batches(16)
    done = [(ids.tolist(), result) for ids, result in batches.over(torch.arange(10), work)]
    assert done == [([0, 1, 2, 3], 4), ([4, 5, 6, 7], 4), ([8, 9], 2)]
    assert tried == [10, 8, 4, 4, 2]
    assert batches.size == 4


def test_several_batches_may_be_worked_on_at_once() -> None:
    assert [ids.tolist() for ids, _ in Batches(2).over(torch.arange(7), len, times=3)] == [[0, 1, 2, 3, 4, 5], [6]]


@pytest.mark.parametrize(("size", "error"), [(1, GPU), (16, RuntimeError("another one"))])
def test_other_errors_and_single_images_are_not_tried_again(size: int, error: Exception) -> None:
    def work(ids: Tensor) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        list(Batches(size).over(torch.arange(3), work))
    assert caught.value is error


def test_there_is_something_to_do() -> None:
    images = labelled(Counting())
    assert batched("toy", images, 7, None).size == 7
    assert batched("toy", images, None, None).size == 100
    for some, batch, got in ((images[:0], 1, "0 and 1"), (images, 0, "40 and 0")):
        with pytest.raises(InputError) as error:
            batched("toy", some, batch, None)
        assert str(error.value) == f"toy: expected at least one image, and batches of at least 1, got {got}"
