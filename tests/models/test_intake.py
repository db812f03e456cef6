from pathlib import Path

import pytest
import torch
from torch import nn

from windfirm.errors import CheckpointError, InputError
from windfirm.models.checkpoint import save
from windfirm.models.intake import CIFAR, IMAGENET, UNKNOWN, Intake, fed, own_intake
from windfirm.models.normalize import Normalize, Normalized, taken_apart
from windfirm.models.source import open_model

MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 1.0)
ASKED = Intake(mean=MEAN, std=STD)
HERE = "tests.models.test_intake"
NUMBERS = "normalisation: expected a mean in [0, 1], as pixels are, and a finite std above 0 for each channel, got "

#: One image, and what a network behind MEAN and STD sees of it.
IMAGE = torch.full((1, 3, 2, 2), 0.75)
SEEN = torch.tensor([1.0, 1.0, 0.625])


class Channels(nn.Module):
    """Outputs the mean of each channel of what it is given."""

    def __init__(self, **configuration: object) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        if configuration:
            self.pretrained_cfg = configuration

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) * self.scale


def plain() -> nn.Module:
    return Channels()


def configured() -> nn.Module:
    return Channels(input_size=(3, 64, 48), mean=MEAN, std=STD)


def own_layer() -> nn.Module:
    return nn.Sequential(Normalize(MEAN, STD), Channels())


def nonsense() -> nn.Module:
    return Channels(input_size="large")


def test_a_network_behind_its_normalisation_sees_normalised_images() -> None:
    network = Channels()
    model, intake = fed(network, ASKED, None, UNKNOWN)
    assert torch.equal(model(IMAGE), SEEN[None])
    assert intake == ASKED
    inner, normalised = taken_apart(model)
    assert inner is network
    assert torch.equal(normalised(nn.Identity())(IMAGE).mean((2, 3)), SEEN[None])


def test_a_network_without_normalisation_is_left_alone() -> None:
    network = Channels()
    assert fed(network, UNKNOWN, None, CIFAR) == (network, CIFAR)
    inner, normalised = taken_apart(network)
    assert inner is network
    assert normalised(network) is network


def test_the_configuration_of_a_network_is_found_where_timm_keeps_it() -> None:
    assert own_intake(configured()) == Intake((3, 64, 48), MEAN, STD)
    older = Channels()
    older.default_cfg = {"input_size": [1, 28, 28], "mean": [0.5], "std": [0.5], "url": ""}  # type: ignore[assignment]
    assert own_intake(older) == Intake((1, 28, 28), (0.5,), (0.5,))
    assert own_intake(plain()) == UNKNOWN


def test_flags_go_before_the_configuration_and_that_before_what_is_usual() -> None:
    other = Intake((3, 8, 8), (0.1,), (0.2,))
    assert fed(configured(), other, None, IMAGENET)[1] == other
    assert fed(configured(), UNKNOWN, None, IMAGENET)[1] == Intake((3, 64, 48), MEAN, STD)
    assert fed(plain(), UNKNOWN, None, IMAGENET)[1] == IMAGENET
    assert fed(plain(), Intake((3, 8, 8)), None, IMAGENET)[1] == Intake((3, 8, 8), IMAGENET.mean, IMAGENET.std)


def test_a_normalisation_that_the_network_has_cannot_be_replaced() -> None:
    stated = Intake((3, 8, 8), MEAN, STD)
    assert fed(configured(), ASKED, stated, UNKNOWN)[1] == stated
    assert fed(own_layer(), Intake((3, 9, 9)), None, UNKNOWN)[1] == Intake((3, 9, 9))
    other = Intake(mean=(0.1,), std=(0.2,))
    for model, known, has in (
        (plain(), stated, "mean 0.5,0.25,0.125, std 0.25,0.5,1"),
        (plain(), Intake((3, 8, 8)), "none"),
        (own_layer(), None, "its first layer's"),
    ):
        with pytest.raises(InputError) as caught:
            fed(model, other, known, UNKNOWN)
        assert str(caught.value) == f"normalisation: expected the network's own ({has}), got mean 0.1, std 0.2"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": MEAN}, "normalisation: expected mean and std together, got one of them"),
        ({"shape": (3, 0, 8)}, "input: expected a size (c, h, w), got (3, 0, 8)"),
        (
            {"shape": (1, 8, 8), "mean": MEAN, "std": STD},
            f"{NUMBERS}{MEAN} and {STD}",
        ),
        (
            {"mean": (0.5,), "std": (0.0,)},
            f"{NUMBERS}(0.5,) and (0.0,)",
        ),
        ({"mean": (128.0,), "std": (64.0,)}, f"{NUMBERS}(128.0,) and (64.0,)"),
        ({"mean": [], "std": []}, f"{NUMBERS}() and ()"),
        (
            {"shape": "large"},
            "configuration: expected input_size (c, h, w), mean and std, got {'shape': 'large'}",
        ),
    ],
)
def test_values_that_make_no_sense(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Intake.from_json(values)
    assert str(caught.value) == message


def test_plain_values_read_back() -> None:
    for intake in (UNKNOWN, CIFAR, IMAGENET, ASKED):
        assert Intake.from_json(intake.to_json()) == intake


def test_opening_a_network_puts_its_normalisation_before_it() -> None:
    source = open_model(f"{HERE}:configured")
    assert source.intake == Intake((3, 64, 48), MEAN, STD)
    assert isinstance(source.model, Normalized)
    assert not source.model.training
    assert torch.equal(source.model(IMAGE), SEEN[None])
    assert open_model("resnet56").intake == CIFAR
    with pytest.raises(InputError) as caught:
        open_model(f"{HERE}:nonsense")
    begin = f"{HERE}:nonsense: configuration: expected input_size (c, h, w), mean and std, got "
    assert str(caught.value).startswith(begin)


def test_a_checkpoint_without_the_normalisation_comes_back_with_it(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save(Channels(), path, notes={"intake": Intake((3, 8, 8), MEAN, STD).to_json()})
    source = open_model(str(path), factory=f"{HERE}:plain", asked=Intake((3, 9, 9)))
    assert source.intake == Intake((3, 9, 9), MEAN, STD)
    assert torch.equal(source.model(IMAGE), SEEN[None])


def test_a_checkpoint_tells_which_function_made_it_but_never_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save(Channels(), path, notes={"factory": f"{HERE}:plain"})
    with pytest.raises(CheckpointError) as caught:
        open_model(str(path))
    wanted = f"what made the network, --factory {HERE}:plain"
    assert str(caught.value) == f"{path}: expected {wanted}, got none"


def test_weights_from_a_file_go_into_what_a_name_makes(tmp_path: Path) -> None:
    torch.save({"scale": torch.tensor([1.0, 2.0, 3.0])}, tmp_path / "w.pt")
    source = open_model(f"{HERE}:configured", file=str(tmp_path / "w.pt"))
    assert torch.equal(source.model(IMAGE), (SEEN * torch.tensor([1.0, 2.0, 3.0]))[None])
    with pytest.raises(CheckpointError) as caught:
        open_model("resnet20", file=str(tmp_path / "w.pt"))
    assert "got no such tensor" in str(caught.value)


def test_a_name_makes_as_many_classes_as_asked_for() -> None:
    source = open_model("resnet20", classes=100, weights=False)
    assert (source.model(torch.zeros(1, 3, 8, 8)).shape, source.classes) == ((1, 100), 100)
