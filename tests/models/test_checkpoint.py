import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from windfirm.errors import CheckpointError, InputError
from windfirm.models import checkpoint
from windfirm.models.checkpoint import Manifest, load, read_manifest, read_notes, save
from windfirm.models.registry import ARCHITECTURES, build
from windfirm.models.shrink import Kept, kept_of, shrink

KEPT: Kept = {
    "0.weight": {0: [0, 2]},
    "0.bias": {0: [0, 2]},
    "1.weight": {0: [0, 2]},
    "1.bias": {0: [0, 2]},
    "1.running_mean": {0: [0, 2]},
    "1.running_var": {0: [0, 2]},
    "3.weight": {1: [0, 2]},
}


def toy() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 2), nn.Flatten())


def trained(seed: int = 0) -> nn.Module:
    """A toy network with weights and statistics that no fresh one has."""
    torch.manual_seed(seed)
    model = toy()
    model(torch.rand(8, 3, 4, 4))
    return model.eval()


def images() -> Tensor:
    return torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def complaint(path: Path, **how: object) -> str:
    with pytest.raises(CheckpointError) as error:
        load(path, **how)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def describe(path: Path, **values: object) -> None:
    """A file with no tensors whose description is sound but for ``values``."""
    sound: dict[str, object] = {"format": "windfirm-1", "arch": None, "classes": 10, "kept": {}, "notes": {}}
    save_file({}, path, {"windfirm": json.dumps(sound | values)})


def test_a_network_comes_back_with_identical_logits_in_eval_mode(tmp_path: Path) -> None:
    model = trained()
    save(model, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors", toy)
    assert torch.equal(loaded(images()), model(images()))
    assert not any(module.training for module in loaded.modules())


def test_a_built_in_network_loads_by_the_name_in_its_file(tmp_path: Path) -> None:
    model = build("resnet20", classes=3).eval()
    save(model, tmp_path / "m.safetensors", arch="resnet20", classes=3)
    example = torch.rand(1, 3, 32, 32)
    assert torch.equal(load(tmp_path / "m.safetensors")(example), model(example))


def test_a_pruned_network_is_rebuilt_from_the_full_factory_and_what_was_kept(tmp_path: Path) -> None:
    model = trained()
    shrink(model, KEPT)
    save(model, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors", toy)
    assert torch.equal(loaded(images()), model(images()))
    assert loaded.get_parameter("0.weight").shape == (2, 3, 3, 3)
    assert kept_of(loaded) == KEPT


def test_kept_indices_can_be_given_for_a_network_that_does_not_remember_them(tmp_path: Path) -> None:
    small = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 5, 2), nn.Flatten()).eval()
    save(small, tmp_path / "m.safetensors", kept=KEPT)
    assert torch.equal(load(tmp_path / "m.safetensors", toy)(images()), small(images()))


def test_the_manifest_says_what_save_was_told(tmp_path: Path) -> None:
    notes = {"accuracy": 0.9, "data": "cifar10", "history": [1, 2]}
    save(trained(), tmp_path / "m.safetensors", kept=KEPT, classes=5, notes=notes)
    assert read_manifest(tmp_path / "m.safetensors") == Manifest(None, 5, KEPT, notes)
    assert read_notes(tmp_path / "m.safetensors") == notes


def test_the_file_is_plain_safetensors_that_other_accounts_may_read(tmp_path: Path) -> None:
    model = trained()
    save(model, tmp_path / "m.safetensors")
    tensors = load_file(tmp_path / "m.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in model.state_dict().items())
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o644
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert list(file.metadata()) == ["windfirm"]


def test_channels_last_and_shared_tensors_survive(tmp_path: Path) -> None:
    def shared() -> nn.Module:
        model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1))
        model[1].weight = model[0].weight
        return model

    model = shared().to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    save(model, tmp_path / "m.safetensors")
    torch.testing.assert_close(load(tmp_path / "m.safetensors", shared)(images()), model(images()))


def test_half_stores_matrices_in_two_bytes_and_loads_float32_with_close_logits(tmp_path: Path) -> None:
    model = trained()
    save(model, tmp_path / "m.safetensors", half=True)
    stored = load_file(tmp_path / "m.safetensors")
    halved = {name for name, value in stored.items() if value.dtype == torch.float16}
    assert halved == {"0.weight", "3.weight"}
    loaded = load(tmp_path / "m.safetensors", toy)
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded(images()), model(images()), rtol=2e-3, atol=2e-3)
    assert not torch.equal(loaded(images()), model(images()))


@pytest.mark.parametrize("scale", [1e6, 1e-9])
def test_half_keeps_a_weight_whole_when_one_filter_is_beyond_float16(tmp_path: Path, scale: float) -> None:
    model = trained()
    with torch.no_grad():
        model.get_parameter("0.weight")[1] *= scale
    save(model, tmp_path / "m.safetensors", half=True)
    stored = load_file(tmp_path / "m.safetensors")
    assert torch.equal(stored["0.weight"], model.get_parameter("0.weight"))
    assert stored["3.weight"].dtype == torch.float16


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, path = trained(), tmp_path / "m.safetensors"
    save(old, path)

    def half_way(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half_way)
    with pytest.raises(KeyboardInterrupt):
        save(trained(seed=1), path)
    assert torch.equal(load(path, toy)(images()), old(images()))
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_dict_from_elsewhere_loads_with_a_factory_or_an_architecture(tmp_path: Path) -> None:
    model, path = trained(), tmp_path / "m.safetensors"
    save_file(model.state_dict(), path)
    assert torch.equal(load(path, toy)(images()), model(images()))
    assert read_manifest(path) == Manifest()
    resnet = build("resnet20", classes=4).eval()
    save_file(resnet.state_dict(), path)
    example = torch.rand(1, 3, 32, 32)
    assert torch.equal(load(path, arch="resnet20", classes=4)(example), resnet(example))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    assert complaint(path) == f"{path}: expected a safetensors file, got no such file"


@pytest.mark.parametrize("size", [0, 5, 200, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "m.safetensors"
    save(trained(), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError) as error:
        load(path, toy)
    assert str(error.value) == f"{path}: expected a whole safetensors file, got {error.value.__cause__}"
    assert complaint(path).startswith(
        f"{path}: expected a whole safetensors file, got Error while deserializing header"
    )


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(trained(), path)
    assert complaint(path, factory=toy).startswith(f"{path}: expected a whole safetensors file, got ")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    describe(path, format="windfirm-2")
    wanted = f"{path}: expected the format windfirm-1, got windfirm-2; a newer Windfirm may read it"
    assert complaint(path) == wanted
    with pytest.raises(CheckpointError) as error:
        read_notes(path)
    assert str(error.value) == wanted


def test_neither_name_nor_factory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(trained(), path)
    assert complaint(path) == f"{path}: expected the name of an architecture or a factory, got neither"


def test_a_name_in_the_file_is_only_ever_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    describe(path, arch="os:system")
    known = ", ".join(ARCHITECTURES)
    assert complaint(path) == f"{path}: architecture: expected one of {known}, got 'os:system'"


@pytest.mark.parametrize(
    "damage",
    [
        {"kept": [1]},
        {"kept": {"0.weight": {"zero": [1]}}},
        {"kept": {"0.weight": {"0": [1.5]}}},
        {"kept": {"0.weight": {"0": 3}}},
        {"classes": "ten"},
        {"arch": ["resnet20"]},
        {"notes": 3},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    path = tmp_path / "m.safetensors"
    describe(path, **damage)
    assert complaint(path).startswith(f"{path}: expected a readable description of the network, got ")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "7", "{}", "[" * 100_000])
def test_a_description_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.safetensors"
    save_file({}, path, {"windfirm": text})
    assert complaint(path).startswith(f"{path}: expected a readable description of the network, got ")


def test_kept_indices_that_the_network_does_not_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    describe(path, kept={"0.weight": {"0": [0, 4]}})
    wanted = f"{path}: 0.weight: expected ascending indices below 4 along axis 0, got [0, 4]"
    assert complaint(path, factory=toy) == wanted


def test_tensors_that_do_not_fit_are_named_first_one_first(tmp_path: Path) -> None:
    path, tensors = tmp_path / "m.safetensors", trained().state_dict()
    save_file(tensors | {"0.weight": torch.zeros(2, 3, 3, 3), "3.weight": torch.zeros(1)}, path)
    assert complaint(path, factory=toy) == f"{path}: 0.weight: expected shape (4, 3, 3, 3), got shape (2, 3, 3, 3)"
    save_file({name: tensor for name, tensor in tensors.items() if name != "1.running_var"}, path)
    assert complaint(path, factory=toy) == f"{path}: 1.running_var: expected shape (4,), got no such tensor"
    save_file(tensors | {"head.bias": torch.zeros(3)}, path)
    assert complaint(path, factory=toy) == f"{path}: head.bias: expected no such tensor, got shape (3,)"


def test_nan_is_refused_when_reading_and_when_writing(tmp_path: Path) -> None:
    path, model = tmp_path / "m.safetensors", trained()
    nn.init.constant_(model.get_parameter("3.bias"), torch.nan)
    save_file(model.state_dict(), path)
    wanted = f"{path}: 3.bias: expected numbers, got NaN"
    assert complaint(path, factory=toy) == wanted
    with pytest.raises(CheckpointError) as error:
        save(model, path)
    assert str(error.value) == wanted


def test_save_refuses_what_load_could_not_use(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError) as error:
        save(trained(), path, arch="resnet")
    assert str(error.value) == f"{path}: expected one of {', '.join(ARCHITECTURES)}, or no arch, got 'resnet'"
    with pytest.raises(InputError) as error:
        save(trained(), path, notes={"path": path})
    assert str(error.value) == f"{path}: expected notes that JSON can hold, got {error.value.__cause__}"
    assert list(tmp_path.iterdir()) == []


def test_the_format_s_name_is_part_of_the_contract() -> None:
    assert checkpoint.FORMAT == "windfirm-1"
