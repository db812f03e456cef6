import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from tests.adjust.pair import COUNTS, EXTRAS, RECIPE
from tests.adjust.toys import data, toy, what_was_computed
from windfirm.adjust import distributed
from windfirm.adjust import train as loop
from windfirm.adjust.distributed import agree_on, joined, processes, rank, share, synchronised
from windfirm.adjust.train import Epoch, Extras, train
from windfirm.errors import CheckpointError, InputError


@pytest.mark.parametrize("count", COUNTS)
def test_two_processes_train_the_network_that_one_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    subprocess.run([sys.executable, "-m", "tests.adjust.pair", str(tmp_path), str(count)], check=True)
    monkeypatch.setattr("windfirm.models.device.has_bfloat16", lambda _: False)
    alone = toy()
    expected = train(alone, *data(count + EXTRAS.probe), RECIPE, extras=EXTRAS)
    found = [Epoch(**values) for values in json.loads((tmp_path / "history").read_text())]
    for one, other in zip(what_was_computed(found), what_was_computed(expected), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    weights = load_file(tmp_path / "weights")
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "progress").is_file()


@pytest.mark.parametrize("count", [2, 7, 128])
@pytest.mark.parametrize("size", [1, 2])
def test_the_shares_of_all_processes_are_the_batch(monkeypatch: pytest.MonkeyPatch, count: int, size: int) -> None:
    monkeypatch.setattr(distributed, "processes", lambda: size)
    found: list[int] = []
    for number in range(size):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        found += range(count)[share(count)]
    assert found == list(range(count))


def test_the_statistics_of_a_group_of_one_are_those_of_batch_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formula, its gradient and the running statistics, where the sum over all processes is the only one's."""
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(distributed, "total", lambda values: values)
    for momentum, affine in [(0.3, True), (None, False)]:
        ours, theirs = (nn.BatchNorm2d(4, momentum=momentum, affine=affine).double() for _ in range(2))
        for part in range(2):
            torch.manual_seed(part)
            x = torch.randn(5, 4, 3, 3, dtype=torch.float64, requires_grad=True)
            weights = torch.randn(5, 4, 3, 3, dtype=torch.float64)
            with synchronised(ours):
                found = ours(x)
            wanted = theirs(x)
            torch.testing.assert_close(found, wanted)
            gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, wanted)]
            torch.testing.assert_close(*gradients)
        assert len(ours.state_dict()) == len(theirs.state_dict())
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value)
        with synchronised(ours):
            torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_a_process_alone_joins_nobody() -> None:
    with joined(torch.device("cpu")) as device:
        assert (device, processes(), rank(), dist.is_initialized()) == (torch.device("cpu"), 1, 0, False)


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        (Extras(), "torchrun: expected a last batch with an image for each of 3 processes, got 2"),
        (Extras(compile="default"), "compile: expected one process, got 3 of torchrun"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, extras: Extras, message: str
) -> None:
    monkeypatch.setattr(loop, "processes", lambda: 3)
    with pytest.raises(InputError) as error:
        train(toy(), *data(COUNTS[0]), RECIPE, extras=extras)
    assert str(error.value) == message


def test_processes_that_found_other_states_do_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(found: list[int], mine: int) -> None:
        found[:] = [mine, 0]

    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    agree_on(0)
    with pytest.raises(CheckpointError) as error:
        agree_on(3)
    assert str(error.value) == "torchrun: expected a folder that all processes share, got 3, 0 epochs done"
