import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from windfirm.errors import CheckpointError
from windfirm.models.blueprint import Blueprint, apply
from windfirm.models.checkpoint import save
from windfirm.models.foreign import load_weights


def toy(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


def complaint(path: Path, model: nn.Module | None = None) -> str:
    """What load_weights says; it leaves the network as it was."""
    model = model or toy(1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_weights(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert "\n" not in str(error.value)
    return str(error.value)


def stored(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "wrapped", ["plain", "state_dict", "model", "tutorial", "net", "both", "parallel", "compiled", "old"]
)
def test_weights_of_torch_save_are_found(tmp_path: Path, wrapped: str) -> None:
    wanted, model, path = toy(), toy(1), tmp_path / "w.pth"
    state = wanted.state_dict()
    content: dict[str, object] = {
        "plain": state,
        "state_dict": {"epoch": 3, "best": 0.9, "state_dict": state},
        "model": {"model": state, "optimizer": {"lr": 0.1}},
        "tutorial": {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {"lr": 0.1}, "loss": 0.5},
        "net": {"net": state, "acc": 93.4, "epoch": 199},
        "both": {"model": {"state_dict": state}},
        "parallel": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        "compiled": {f"_orig_mod.module.{name}": value for name, value in state.items()},
        "old": {name: value for name, value in state.items() if name != "1.num_batches_tracked"},
    }[wrapped]
    load_weights(model, stored(path, content))
    assert same(model, wanted)
    assert model.training


def test_safetensors_and_the_old_format_of_torch_are_read_as_well(tmp_path: Path) -> None:
    wanted = toy()
    for path in (tmp_path / "w.safetensors", tmp_path / "w.pt"):
        model = toy(1).double()
        if path.suffix == ".pt":
            torch.save(wanted.state_dict(), path, _use_new_zipfile_serialization=False)
        else:
            save_file(wanted.state_dict(), path)
        load_weights(model, path)
        assert same(model.float(), wanted)


def test_a_network_whose_own_names_begin_with_module_keeps_them(tmp_path: Path) -> None:
    wanted, model = nn.DataParallel(toy()), nn.DataParallel(toy(1))
    load_weights(model, stored(tmp_path / "w.pt", wanted.state_dict()))
    assert same(model, wanted)


def test_a_network_called_model_is_no_wrapper(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Parameter(torch.rand(2))

    wanted, model = Named(), Named()
    load_weights(model, stored(tmp_path / "w.pt", wanted.state_dict()))
    assert same(model, wanted)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("sprung",)


def test_code_in_a_file_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = stored(Path("w.pt"), {"state_dict": toy().state_dict(), "trap": Trap()})
    wanted = "w.pt: expected tensors and plain values, got a pickle that could run "
    assert complaint(path) == wanted + f"{os.name}.mkdir; save model.state_dict() alone"
    assert not Path("sprung").exists()
    assert complaint(stored(path, {"args": Namespace(lr=0.1)})).startswith(wanted + "argparse.Namespace; ")
    assert complaint(stored(path, toy())).startswith(wanted + "torch.nn.modules.")


@pytest.mark.parametrize("content", [b"", b"abc", b"<html>", b"\x80\x02}q\x00.", b"PK\x03\x04abcdef"])
def test_what_is_no_file_of_torch_save_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    assert complaint(path).startswith(f"{path}: expected a whole file that torch.save wrote, got ")
    assert "weights_only" not in complaint(path)


def test_a_missing_file_and_files_without_a_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    assert complaint(path) == f"{path}: expected a file of weights, got no such file"
    assert complaint(tmp_path) == f"{tmp_path}: expected a file of weights, got a folder"
    assert complaint(stored(path, [1, 2])) == f"{path}: expected a state dict, got a list"
    assert complaint(stored(path, {})) == f"{path}: expected a state dict, got a dict"
    assert complaint(stored(path, {"state_dict": 3})) == f"{path}: expected a state dict, got a int"
    assert complaint(stored(path, {"epoch": 3})) == f"{path}: 'epoch': expected a tensor, got a int"
    assert complaint(stored(path, {3: torch.zeros(2)})) == f"{path}: 3: expected a tensor, got a Tensor"


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path, state = tmp_path / "w.pt", dict(toy().state_dict())

    def with_weight(weight: Tensor) -> str:
        return complaint(stored(path, state | {"0.weight": weight}))

    assert with_weight(torch.zeros(2)) == f"{path}: 0.weight: expected shape (2, 3), got shape (2,)"
    assert with_weight(torch.full((2, 3), torch.nan)) == f"{path}: 0.weight: expected numbers, got NaN"
    wanted = f"{path}: 0.weight: expected numbers like torch.float32, got torch.complex64"
    assert with_weight(torch.zeros(2, 3, dtype=torch.complex64)) == wanted
    dense = f"{path}: 0.weight: expected a dense tensor with data, got torch.float32 torch."
    assert with_weight(torch.zeros(2, 3).to_sparse()) == dense + "sparse_coo on cpu"
    assert with_weight(torch.zeros(2, 3, device="meta")) == dense + "strided on meta"
    missing = {name: value for name, value in state.items() if name != "0.bias"}
    assert complaint(stored(path, missing)) == f"{path}: 0.bias: expected shape (2,), got no such tensor"


def test_a_checkpoint_of_a_cut_network_fits_only_a_network_cut_alike(tmp_path: Path) -> None:
    def cut(inputs: list[int]) -> nn.Module:
        model = toy()
        apply(model, Blueprint({"0.weight": {1: inputs}}))
        return model

    path = tmp_path / "w.safetensors"
    save(cut([0, 2]), path)
    model = cut([0, 2])
    load_weights(model, path)
    assert same(model, cut([0, 2]))
    wanted = (
        f"{path}: expected weights of this network, got those of one that was cut, which is opened by itself, "
        "with the function as its factory"
    )
    assert complaint(path, cut([1, 2])) == wanted
    assert complaint(path, toy()) == wanted


def test_a_file_that_holds_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pt")
    assert complaint(tmp_path / "w.pt").endswith("'model': expected a tensor, got a dict")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    model = toy()
    state = {
        name: value.mul(100).to(torch.int8) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    with pytest.raises(CheckpointError, match=r"expected numbers like torch\.float32, got torch\.int8"):
        load_weights(model, stored(tmp_path / "w.pth", state))
