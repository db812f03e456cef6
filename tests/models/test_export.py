import io
import logging
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from windfirm.errors import InputError
from windfirm.models import export as module
from windfirm.models.blueprint import Blueprint, apply
from windfirm.models.export import Exported, export


class Net(nn.Module):
    """A normalised convolution and a residual branch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.branch = nn.Conv2d(4, 4, 1)
        self.linear = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu()
        x = x + self.branch(x)
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]


def pruned() -> nn.Module:
    """Lost two channels and its branch, and is in training mode."""
    torch.manual_seed(0)
    model = Net()
    model(torch.rand(8, 3, 6, 6))
    one = {0: [0, 3]}
    lost = {name: one for name, tensor in model.state_dict().items() if name[:4] in ("conv", "norm") and tensor.ndim}
    apply(model, Blueprint({**lost, "linear.weight": {1: [0, 3]}}, replaced={"branch": "silence"}))
    return model


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_images_have_the_precision_of_the_real_weights(tmp_path: Path) -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    model.turn = nn.Parameter(torch.tensor(1j))
    model.register_forward_hook(lambda m, x, out: (out * m.turn).abs())
    assert next(model.parameters()).is_complex()
    assert export(model, tmp_path / "m.pt2", images(), "pt2").difference <= 1e-6


def test_onnx_is_one_file_that_takes_any_batch_and_computes_the_same(tmp_path: Path) -> None:
    model = pruned()
    done = export(model, tmp_path / "new" / "m.onnx", images(), "onnx")
    assert done.difference <= 1e-5
    assert (done.images, [path.name for path in (tmp_path / "new").iterdir()]) == (3, ["m.onnx"])
    assert done.size == (tmp_path / "new" / "m.onnx").stat().st_size
    session = onnxruntime.InferenceSession(tmp_path / "new" / "m.onnx", providers=["CPUExecutionProvider"])
    assert [(entry.name, entry.shape) for entry in session.get_inputs()] == [("images", ["batch", 3, 6, 6])]
    assert [(entry.name, entry.shape) for entry in session.get_outputs()] == [("logits", ["batch", 5])]
    assert model.training
    for count in (1, 4):
        (got,) = session.run(None, {"images": images(count).numpy()})
        torch.testing.assert_close(torch.from_numpy(got), model.eval()(images(count)).detach())


def test_exporters_are_not_heard(tmp_path: Path) -> None:
    """They would tell of each library that is not installed, and that the network does not need."""
    said = io.StringIO()
    log, handler = logging.getLogger("torch.onnx"), logging.StreamHandler(said)
    log.addHandler(handler)
    try:
        export(pruned(), tmp_path / "m.onnx", images(), "onnx")
        assert said.getvalue() == ""
        log.warning("afterwards")
        assert said.getvalue() == "afterwards\n"
    finally:
        log.removeHandler(handler)


def test_pt2_is_one_file_that_takes_any_batch_and_computes_the_same(tmp_path: Path) -> None:
    model = pruned()
    done = export(model, tmp_path / "m.pt2", images(60), "pt2")
    assert done == Exported(done.difference, 60, (tmp_path / "m.pt2").stat().st_size)
    loaded = torch.export.load(tmp_path / "m.pt2").module()
    for count in (1, 4):
        torch.testing.assert_close(loaded(images(count)), model.eval()(images(count)))
    assert "_windfirm_origin" not in "".join(name for name, _ in loaded.named_modules())


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_a_network_that_changes_its_input_in_place_is_exported(tmp_path: Path, format: str) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = pruned()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(0.5))  # type: ignore[no-any-return]

    given = images()
    assert export(InPlace(), tmp_path / f"m.{format}", given, format).difference <= 1e-5
    assert torch.equal(given, images())


def test_a_file_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pt2", lambda network, example, outputs: b"")
    monkeypatch.setattr(module, "_read_pt2", lambda content: lambda x: [pruned().eval()(x) + 2e-4 * (len(x) > 1)])
    with pytest.raises(InputError) as error:
        export(pruned(), tmp_path / "m.pt2", images(), "pt2")
    assert str(error.value) == "Net: expected the network's logits within 0.0001, got a file that differs by 0.0002"
    assert list(tmp_path.iterdir()) == []
    assert export(pruned(), tmp_path / "m.pt2", images(), "pt2", tolerance=1e-3).difference == pytest.approx(2e-4, 1e-2)


def test_logits_that_are_masked_on_both_sides_do_not_differ(tmp_path: Path) -> None:
    class Masked(nn.Flatten):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return logits.masked_fill(torch.arange(logits.shape[1]) < 2, -torch.inf)

    assert export(Masked(), tmp_path / "m.pt2", images(), "pt2").difference == 0


@pytest.mark.parametrize("wrong", [torch.full((1, 5), torch.nan), torch.zeros(1, 6)])
def test_a_file_that_computes_no_numbers_or_other_shapes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Tensor
) -> None:
    monkeypatch.setattr(module, "_pt2", lambda network, example, outputs: b"")
    monkeypatch.setattr(module, "_read_pt2", lambda content: lambda x: [wrong])
    with pytest.raises(InputError, match="got a file that differs by inf"):
        export(pruned(), tmp_path / "m.pt2", images(1), "pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float(x.sum())

    path = tmp_path / "m.pt2"
    with pytest.raises(InputError) as error:
        export(Counting(), path, images(), "pt2")
    assert str(error.value).startswith("Counting: expected a network that pt2 can hold, got ")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError) as error:
        export(pruned(), path, torch.rand(2, 4, 6, 6), "pt2")
    assert str(error.value).startswith("Net: expected a network that takes images of (4, 6, 6), got Given groups=1")
    with pytest.raises(InputError) as error:
        export(pruned(), path, images(), "tflite")
    assert str(error.value) == "format: expected onnx or pt2, got tflite"
    assert list(tmp_path.iterdir()) == []


def test_the_extra_and_the_limit_of_onnx_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr(module, "ONNX_LIMIT", 100)
        with pytest.raises(InputError) as error:
            export(pruned(), tmp_path / "m.onnx", images(), "onnx")
        assert str(error.value) == "Net: expected a network below 100 bytes, or pt2, got 324"
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError) as error:
        export(pruned(), tmp_path / "m.onnx", images(), "onnx")
    assert str(error.value) == "Net: expected the extra windfirm[onnx], got no onnxscript here"


def test_a_network_in_float64_is_exported_as_such(tmp_path: Path) -> None:
    export(pruned().double(), tmp_path / "m.pt2", images(), "pt2")
    loaded: Any = torch.export.load(tmp_path / "m.pt2").module()
    assert loaded(images().double()).dtype == torch.float64
