from pathlib import Path

import pytest
import torch
from torch import nn

from tests.commands.toys import NET, checkpoint, network
from tests.models.test_factory import make_known
from windfirm.errors import CheckpointError, InputError
from windfirm.models.checkpoint import save
from windfirm.models.factory import UNNAMED
from windfirm.models.intake import Intake
from windfirm.models.registry import build
from windfirm.models.source import open_model


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_built_in_name_without_weights_is_made_the_same_each_time() -> None:
    one, two = (open_model("resnet20", weights=False) for _ in range(2))
    assert (one.name, one.arch, one.model.training) == ("resnet20", "resnet20", False)
    assert same(one.model, two.model)


def test_opening_a_fresh_network_leaves_the_random_numbers_of_the_caller_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    open_model(NET)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_checkpoint_says_what_it_is_and_a_folder_stands_for_its_model(tmp_path: Path) -> None:
    model = build("resnet20", 3)
    save(model, tmp_path / "run" / "model.safetensors", arch="resnet20", classes=3)
    for spec in (tmp_path / "run", tmp_path / "run" / "model.safetensors"):
        source = open_model(str(spec))
        assert (source.name, source.arch) == ("run", "resnet20")
        assert same(source.model, model)


def test_a_factory_makes_the_network_of_a_checkpoint_that_names_none(tmp_path: Path) -> None:
    source = open_model(str(checkpoint(tmp_path / "F.safetensors")), factory=NET)
    assert (source.name, source.arch) == ("F", None)
    assert [p.shape for p in source.model.parameters()] == [p.shape for p in network().parameters()]


def test_a_plain_state_dict_is_opened_by_the_name_of_its_architecture(tmp_path: Path) -> None:
    save(build("resnet20"), tmp_path / "plain.safetensors")
    assert open_model(str(tmp_path / "plain.safetensors"), arch="resnet20").arch == "resnet20"


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_names_of_other_libraries(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    make_known(monkeypatch, library)
    source = open_model(f"{library}/tiny", weights=False)
    assert (source.name, source.arch) == (f"{library}/tiny", f"{library}/tiny")
    with pytest.raises(InputError) as error:
        open_model(f"{library}/tiny")
    assert str(error.value) == f"{library}/tiny: expected trained weights, got none; see --weights"


def test_a_checkpoint_of_another_library_is_opened_by_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_known(monkeypatch, "timm")
    path = checkpoint(tmp_path / "F.safetensors", classes=3)
    for source in (open_model(str(path), factory="timm/tiny"), open_model(str(path), arch="timm/tiny")):
        assert (source.arch, source.classes) == ("timm/tiny", 3)
        assert source.model(torch.zeros(1, 3, 8, 8)).shape == (1, 3)


def test_weights_of_torch_save_are_opened_with_the_name_of_their_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = network(), tmp_path / "F.pth"
    torch.save(model.state_dict(), path)
    source = open_model(str(path), factory=NET)
    assert (source.name, source.arch, source.model.training) == ("F", None, False)
    assert same(source.model, model)
    torch.save(build("resnet20").state_dict(), path)
    assert open_model(str(path), arch="resnet20").arch == "resnet20"
    with pytest.raises(CheckpointError) as error:
        open_model(str(path))
    assert str(error.value) == f"{path}: expected {UNNAMED}, got neither"


def test_a_file_of_a_network_inside_wants_the_same_images_as_its_name_unless_it_says_otherwise(tmp_path: Path) -> None:
    save(build("resnet20"), tmp_path / "a.safetensors", arch="resnet20")
    torch.save(build("resnet20").state_dict(), tmp_path / "b.pt")
    notes = {"intake": Intake((3, 64, 64)).to_json()}
    save(build("resnet20"), tmp_path / "c.safetensors", arch="resnet20", notes=notes)
    for name, shape in (("a.safetensors", (3, 32, 32)), ("b.pt", (3, 32, 32)), ("c.safetensors", (3, 64, 64))):
        assert open_model(str(tmp_path / name), arch="resnet20").intake.shape == shape
    save(network(), tmp_path / "d.safetensors")
    assert open_model(str(tmp_path / "d.safetensors"), factory=NET).intake.shape is None
