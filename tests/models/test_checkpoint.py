import errno
import json
import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from torch import Tensor, nn

from windfirm import data
from windfirm.data.augment import to_float
from windfirm.errors import CheckpointError, InputError
from windfirm.models import manifest
from windfirm.models.blueprint import Blueprint, apply, blueprint_of, origin_of
from windfirm.models.checkpoint import load, read_manifest, read_notes, save
from windfirm.models.factory import NAMES, UNNAMED
from windfirm.models.foreign import load_weights
from windfirm.models.manifest import Manifest
from windfirm.models.registry import build
from windfirm.models.shrink import Kept
from windfirm.models.source import WEIGHTS

KEPT: Kept = {
    "0.weight": {0: [0, 2]},
    "0.bias": {0: [0, 2]},
    "1.weight": {0: [0, 2]},
    "1.bias": {0: [0, 2]},
    "1.running_mean": {0: [0, 2]},
    "1.running_var": {0: [0, 2]},
    "3.weight": {1: [0, 2]},
}
CUT = Blueprint(KEPT, {"3.dilation": [1, 1]}, {"2": "skip"})


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
    """A file of the first format, with no tensors, whose description is sound but for ``values``."""
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


def test_a_pruned_network_is_rebuilt_from_the_full_factory_and_its_blueprint(tmp_path: Path) -> None:
    model = trained()
    apply(model, CUT)
    save(model, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors", toy)
    assert torch.equal(loaded(images()), model(images()))
    assert loaded.get_parameter("0.weight").shape == (2, 3, 3, 3)
    assert blueprint_of(loaded) == CUT
    origin = origin_of(loaded)
    assert origin is not None
    assert origin.get_parameter("0.weight").shape == (4, 3, 3, 3)


def test_a_blueprint_can_be_given_for_a_network_that_does_not_remember_it(tmp_path: Path) -> None:
    small = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 5, 2), nn.Flatten()).eval()
    save(small, tmp_path / "m.safetensors", blueprint=Blueprint(KEPT))
    assert torch.equal(load(tmp_path / "m.safetensors", toy)(images()), small(images()))


def test_a_factory_may_make_the_network_as_cut_but_not_one_cut_otherwise(tmp_path: Path) -> None:
    def cut() -> nn.Module:
        model = toy()
        apply(model, CUT)
        return model

    model, path = cut().eval(), tmp_path / "m.safetensors"
    save(model, path)
    assert torch.equal(load(path, cut)(images()), model(images()))
    save(model, path, blueprint=Blueprint(KEPT))
    assert (
        complaint(path, factory=cut) == f"{path}: expected a factory of networks before their first cut, got a cut one"
    )


def test_the_manifest_says_what_save_was_told(tmp_path: Path) -> None:
    notes = {"accuracy": 0.9, "data": "cifar10", "history": [1, 2]}
    save(trained(), tmp_path / "m.safetensors", blueprint=CUT, classes=5, notes=notes)
    assert read_manifest(tmp_path / "m.safetensors") == Manifest(None, 5, CUT, notes)
    assert read_notes(tmp_path / "m.safetensors") == notes
    save(trained(), tmp_path / "m.safetensors", arch="timm/resnet18.a1_in1k")
    assert read_manifest(tmp_path / "m.safetensors") == Manifest("timm/resnet18.a1_in1k")


def test_a_file_of_the_first_format_still_loads(tmp_path: Path) -> None:
    model, path = trained(), tmp_path / "m.safetensors"
    apply(model, Blueprint(KEPT))
    kept = {name: {str(axis): indices for axis, indices in axes.items()} for name, axes in KEPT.items()}
    values = {"format": "windfirm-1", "arch": None, "classes": 5, "kept": kept, "notes": {"a": 1}}
    save_file(model.state_dict(), path, {"windfirm": json.dumps(values)})
    assert torch.equal(load(path, toy)(images()), model(images()))
    assert read_manifest(path) == Manifest(None, 5, Blueprint(KEPT), {"a": 1})


@pytest.mark.parametrize("arch", ["resnet56", "mobilenet-v2"])
def test_the_weights_inside_the_package_load_and_are_as_good_as_their_record_says(arch: str) -> None:
    path = WEIGHTS / f"{arch}.safetensors"
    assert path.stat().st_size <= 5_000_000
    assert read_manifest(path).arch == read_manifest(WEIGHTS / f"{arch}-initial.safetensors").arch == arch
    loaded = load(path)
    assert [module.training for module in loaded.modules()] == [False] * len(list(loaded.modules()))
    record = json.loads((WEIGHTS / f"{arch}.json").read_text(encoding="utf-8"))["test"]
    assert record["accuracy"] == record["right"] / record["of"]
    tests = data.load("embedded", "test")[:200]
    with torch.no_grad():
        right = int((loaded(to_float(tests.images)).argmax(1) == tests.labels).sum())
    assert binomtest(right, 200, record["accuracy"]).pvalue > 1e-3


def test_flipping_any_byte_gives_an_error_or_the_same_network(tmp_path: Path) -> None:
    def tiny() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    model, path = tiny().eval(), tmp_path / "m.safetensors"
    apply(model, Blueprint({"0.weight": {1: [0]}}, {"0.in_features": 1}, {"1": "skip"}))
    save(model, path, arch="timm/tiny", classes=2, notes={"a": [1, 0.5], "b": None})
    whole = path.read_bytes()
    manifest, wanted = read_manifest(path), load(path, tiny)
    same = 0
    refused = []
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 + 37 * place % 255  # some bits at every place, others at the next
        path.write_bytes(damaged)
        try:
            loaded = load(path, tiny)
        except CheckpointError as error:
            refused.append(str(error))
            continue
        same += 1
        assert read_manifest(path) == manifest
        assert [str(module) for module in loaded.modules()] == [str(module) for module in wanted.modules()]
        assert all(torch.equal(loaded.state_dict()[name], value) for name, value in wanted.state_dict().items())
    assert same + len(refused) == len(whole)
    assert len(refused) > 0.9 * len(whole)
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize("change", ["tensor", "name", "notes", "digest", "no digest"])
def test_tensors_and_description_must_be_those_that_were_written(tmp_path: Path, change: str) -> None:
    path = tmp_path / "m.safetensors"
    save(trained(), path, notes={"accuracy": 0.9})
    with safe_open(path, "pt") as file:
        values = json.loads(file.metadata()["windfirm"])
    tensors = load_file(path)
    stated = values["digest"]
    if change == "tensor":
        tensors["0.bias"] += 1
    elif change == "name":  # both have four numbers
        tensors["1.bias"], tensors["1.weight"] = tensors["1.weight"], tensors["1.bias"]
    elif change == "notes":
        values["notes"]["accuracy"] = 1.0
    elif change == "digest":
        values["digest"] = stated = "0" * 64
    else:
        del values["digest"]
        stated = None
    save_file(tensors, path, {"windfirm": json.dumps(values)})
    wanted = f"{path}: expected tensors and a description of digest {stated}, got others, "
    assert complaint(path, factory=toy).startswith(wanted)


def test_a_file_that_another_tool_wrote_anew_is_the_same(tmp_path: Path) -> None:
    path, model = tmp_path / "m.safetensors", trained()
    save(model, path, notes={"b": 1, "a": 2})
    with safe_open(path, "pt") as file:
        values = json.loads(file.metadata()["windfirm"])
    save_file(load_file(path), path, {"windfirm": json.dumps(values, indent=2, sort_keys=True)})
    assert torch.equal(load(path, toy)(images()), model(images()))


def test_a_description_under_a_damaged_name_is_not_taken_for_a_plain_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(trained(), path)
    path.write_bytes(path.read_bytes().replace(b'"windfirm":', b'"windfern":'))
    assert complaint(path, factory=toy) == f"{path}: expected a description under windfirm, got one under 'windfern'"


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
    assert (
        complaint(tmp_path)
        == f"{tmp_path}: expected a safetensors file, such as {tmp_path}/model.safetensors, got a folder"
    )


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
    describe(path, format="windfirm-3")
    wanted = f"{path}: expected the format windfirm-2, got windfirm-3; a newer Windfirm may read it"
    assert complaint(path) == wanted
    with pytest.raises(CheckpointError) as error:
        read_notes(path)
    assert str(error.value) == wanted


def test_neither_name_nor_factory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(trained(), path)
    assert complaint(path) == f"{path}: expected {UNNAMED}, got neither"


@pytest.mark.parametrize(
    ("given", "got"), [(toy(), "Sequential"), (lambda: 3, "int"), (lambda width: toy(), "TypeError")]
)
def test_what_makes_no_network_is_no_factory(tmp_path: Path, given: Any, got: str) -> None:
    path = tmp_path / "m.safetensors"
    save(trained(), path)
    with pytest.raises(InputError, match=f"factory: expected a function that makes a torch.nn.Module, got {got}"):
        load(path, given)


@pytest.mark.parametrize("name", ["os:system", "timm/hf-hub:some/net", "torchvision/../x", "windfirm.models.resnet"])
def test_a_name_in_the_file_is_only_ever_looked_up(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.safetensors"
    describe(path, arch=name)
    assert complaint(path) == f"{path}: architecture: expected {NAMES}, got {name!r}"


def test_a_network_of_another_library_loads_by_the_name_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(name: str, pretrained: bool, num_classes: int = 5) -> nn.Module:
        assert (name, pretrained) == ("toy", False)
        return nn.Sequential(*list(toy().children())[:3], nn.Conv2d(4, num_classes, 2), nn.Flatten())

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=make))
    model, path = trained(), tmp_path / "m.safetensors"
    apply(model, CUT)
    save(model, path, arch="timm/toy")
    assert torch.equal(load(path)(images()), model(images()))
    assert torch.equal(load(path, "timm/toy")(images()), model(images()))
    model = make("toy", False, 7).eval()
    save(model, path, arch="timm/toy", classes=7)
    assert torch.equal(load(path)(images()), model(images()))
    assert complaint(path, classes=6).endswith("3.weight: expected shape (6, 4, 2, 2), got shape (7, 4, 2, 2)")


def test_a_factory_can_be_named_as_on_the_command_line(tmp_path: Path) -> None:
    model, path = trained(), tmp_path / "m.safetensors"
    save(model, path)
    assert torch.equal(load(path, f"{__name__}:toy")(images()), model(images()))
    with pytest.raises(InputError, match="expected a module:factory that can be imported, got ModuleNotFoundError"):
        load(path, "nowhere.at_all:toy")
    save(build("resnet20", 3), path)
    assert str(load(path, "resnet20", classes=3)) == str(build("resnet20", 3))


@pytest.mark.parametrize(
    "damage",
    [
        {"kept": [1]},
        {"kept": {"0.weight": {"zero": [1]}}},
        {"kept": {"0.weight": {"0": [1.5]}}},
        {"kept": {"0.weight": {"0": 3}}},
        {"classes": "ten"},
        {"classes": True},
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


def test_numbers_of_another_kind_are_refused(tmp_path: Path) -> None:
    path, tensors = tmp_path / "m.safetensors", trained().state_dict()
    save_file(tensors | {"1.num_batches_tracked": torch.tensor(0.5)}, path)
    wanted = f"{path}: 1.num_batches_tracked: expected numbers like torch.int64, got torch.float32"
    assert complaint(path, factory=toy) == wanted


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
    assert str(error.value) == f"{path}: expected {NAMES}, or no arch, got 'resnet'"
    with pytest.raises(InputError):
        save(trained(), path, arch="os:system")
    with pytest.raises(InputError, match="expected a whole number of classes, or none, got '10'"):
        save(trained(), path, classes="10")  # type: ignore[arg-type]
    with pytest.raises(InputError) as error:
        save(trained(), path, notes={"path": path})
    assert str(error.value) == f"{path}: expected notes that JSON can hold, got {error.value.__cause__}"
    assert list(tmp_path.iterdir()) == []


def test_the_format_s_name_is_part_of_the_contract() -> None:
    assert (manifest.FORMAT, manifest.FIRST) == ("windfirm-2", "windfirm-1")


class Versioned(nn.Linear):
    """A module that, like torchvision's MNASNet, wants to know the version of what it is given."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: dict[str, Any], *rest: Any) -> None:
        if metadata.get("version") != 2:
            raise ValueError("version should be set")
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def test_modules_that_ask_for_their_version_are_told(tmp_path: Path) -> None:
    model = nn.Sequential(Versioned(3, 2))
    save(model, tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors", lambda: nn.Sequential(Versioned(3, 2)))
    assert torch.equal(again.get_parameter("0.weight"), model.get_parameter("0.weight"))


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "theirs.safetensors"
    save(toy(), path)

    def closed(path: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", closed)
    assert complaint(path) == f"{path}: expected a whole safetensors file, got Permission denied"


def test_a_state_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    class Versioned(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"version": 1}

    with pytest.raises(InputError, match=r"tensors alone, also as 0\._extra_state, got dict"):
        save(nn.Sequential(Versioned(2, 2)), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_loading_leaves_the_random_numbers_of_the_caller_alone(tmp_path: Path) -> None:
    save(build("resnet20"), tmp_path / "a.safetensors", arch="resnet20")
    before = torch.get_rng_state()
    load(tmp_path / "a.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


class Keeping(nn.Sequential):
    """A network that also holds a buffer."""

    table: Tensor | None

    def __init__(self, table: Tensor | None = None, *, persistent: bool = True) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten())
        self.register_buffer("table", table, persistent)


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (Keeping(torch.zeros(2, dtype=torch.complex128)), "table: expected {wanted}, got torch.complex128"),
        (Keeping(torch.eye(2).to_sparse()), "table: expected {wanted}, got torch.sparse_coo"),
        (Keeping().to("meta"), "0.weight: expected {wanted}, got one on the meta device"),
    ],
)
def test_a_tensor_that_no_file_holds_is_named(tmp_path: Path, model: nn.Module, got: str) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError) as error:
        save(model, path)
    assert str(error.value) == f"{path}: {got.format(wanted='a dense tensor of a type that safetensors holds')}"
    assert not list(tmp_path.iterdir())


class Renamed(Keeping):
    """A network whose state dict names its tensors otherwise, and takes them back as well if ``both``."""

    def __init__(self, *, both: bool = True) -> None:
        super().__init__()
        self.both = both
        rename = partial(_rename, before="", after="net.")
        self._register_state_dict_hook(lambda _, state, *more: rename(state))  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, state: dict[str, Any], *rest: Any) -> None:
        if self.both:
            _rename(state, "net.", "")
        super()._load_from_state_dict(state, *rest)


def _rename(state: dict[str, Any], before: str, after: str) -> None:
    for name in list(state):
        state[after + name.removeprefix(before)] = state.pop(name)


def test_half_finds_matrices_under_the_names_that_a_state_dict_gives_them(tmp_path: Path) -> None:
    model, path = Renamed().eval(), tmp_path / "m.safetensors"
    save(model, path, half=True)
    assert {name: tensor.dtype for name, tensor in load_file(path).items()} == {
        "net.0.weight": torch.float16,
        "net.0.bias": torch.float32,
    }
    torch.testing.assert_close(load(path, Renamed)(images()), model(images()), rtol=2e-3, atol=2e-3)


def test_names_that_a_network_gives_and_does_not_take_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(Renamed(both=False), path)
    wanted = f"{path}: expected tensors that the network takes, got Missing key(s) in state_dict: "
    assert complaint(path, factory=lambda: Renamed(both=False)).startswith(wanted)


def test_a_buffer_whose_numbers_share_their_memory_is_loaded(tmp_path: Path) -> None:
    def make() -> nn.Module:
        return Keeping(torch.zeros(1).expand(4))

    model = Keeping(torch.arange(4.0))
    save(model, tmp_path / "m.safetensors")
    assert torch.equal(load(tmp_path / "m.safetensors", make).get_buffer("table"), torch.arange(4.0))


def test_a_factory_that_makes_no_data_is_refused(tmp_path: Path) -> None:
    save(Keeping(), tmp_path / "m.safetensors")
    wanted = "0.weight: expected a tensor with data, got one on the meta device"
    assert complaint(tmp_path / "m.safetensors", factory=lambda: Keeping().to("meta")).endswith(wanted)


def test_a_factory_of_what_has_no_eval_mode_is_refused(tmp_path: Path) -> None:
    def make() -> nn.Module:
        return torch.export.export(Keeping(), (images(),)).module()

    save(make(), tmp_path / "m.safetensors")
    wanted = (
        "GraphModule: expected a network that can be switched to eval mode, got Calling train() is not supported yet."
    )
    assert complaint(tmp_path / "m.safetensors", factory=make) == f"{tmp_path / 'm.safetensors'}: {wanted}"


def test_buffers_that_a_state_dict_leaves_out_come_back_where_there_are_some_of_that_shape(tmp_path: Path) -> None:
    def make(*shape: int) -> Keeping:
        return Keeping(torch.randn(*shape), persistent=False)

    model, path = make(3), tmp_path / "m.safetensors"
    save(model, path)
    assert torch.equal(load(path, lambda: make(3)).get_buffer("table"), model.get_buffer("table"))
    load_weights(other := make(3), path)
    assert torch.equal(other.get_buffer("table"), model.get_buffer("table"))
    for unlike in (lambda: make(4), lambda: Keeping(None, persistent=False), lambda: Keeping()):
        assert torch.equal(load(path, unlike)(images()), model(images()))  # made while it ran, perhaps
    for tensor in (torch.full((3,), torch.nan), torch.eye(3).to_sparse(), torch.zeros(3, device="meta")):
        save(Keeping(tensor, persistent=False), path)  # and such ones stay out
        assert list(load_file(path)) == ["0.bias", "0.weight"]


class Drawing(nn.Sequential):
    """A network that draws tensors which it does not register, and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten())
        self.scale, self.more = torch.rand(1).expand(4), {"shift": torch.rand(4, 1, 1)}
        self.layers = [nn.Conv2d(3, 3, 1), self[0]]
        self.alias, self.seen = self[0].weight.data, torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self[0](self.layers[0](x)) * self.scale.view(4, 1, 1) + self.more["shift"]
        return self[1](self.seen)  # type: ignore[no-any-return]


def test_tensors_and_modules_that_no_network_registers_come_back_as_well(tmp_path: Path) -> None:
    model, path = Drawing().eval(), tmp_path / "m.safetensors"
    wanted = model(images())
    save(model, path)
    names = {"scale", "more.shift", "layers.0.weight", "layers.0.bias"}
    assert load_file(path).keys() == {"0.weight", "0.bias", *(f"{name}:beside" for name in names)}
    assert torch.equal(load(path, Drawing)(images()), wanted)
    other = Drawing().eval()
    load_weights(other, path)
    assert torch.equal(other(images()), wanted)


def test_files_of_the_networks_inside_hold_what_their_state_dicts_hold(tmp_path: Path) -> None:
    model = build("resnet20")  # whose shortcuts have zeros beside it
    save(model, tmp_path / "F.safetensors", arch="resnet20")
    assert load_file(tmp_path / "F.safetensors").keys() == model.state_dict().keys()
