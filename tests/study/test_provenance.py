import pytest
import torch

from windfirm.study.provenance import hardware


@pytest.mark.parametrize(("threads", "said"), [(1, ", 1 thread"), (2, ", 2 threads")])
def test_the_threads_of_a_processor_are_told(monkeypatch: pytest.MonkeyPatch, threads: int, said: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert hardware(torch.device("cpu")).endswith(said)
    assert hardware(torch.device("cpu"), 12).endswith(", 12 threads")
