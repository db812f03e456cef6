from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.evaluate.toys import labelled, small_network
from tests.evaluate.toys_masked import AlwaysDropout
from windfirm.attack import build
from windfirm.errors import CutError, InputError
from windfirm.evaluate.api import as_images, attack, perturb
from windfirm.evaluate.calibration import logits
from windfirm.evaluate.curves import against_eps
from windfirm.evaluate.distance import distances
from windfirm.evaluate.examples import examples
from windfirm.evaluate.loop import curve, evaluate
from windfirm.evaluate.occlusion_map import occlusion_map
from windfirm.evaluate.transfer import transfer
from windfirm.study.checks import checks

MODEL = small_network()
DATA = labelled(MODEL)


def test_clean_accuracy_of_floats_and_of_bytes_is_that_of_the_labels() -> None:
    for images in (DATA.images, DATA.images / 255):
        outcome = attack(MODEL, images, DATA.labels, "clean")
        assert outcome.correct.tolist() == [0] * 8 + [1] * 32


def test_options_go_to_the_attack_and_eps_may_be_written_as_people_do() -> None:
    assert attack(MODEL, DATA.images, DATA.labels, "occlusion", trials=3).trials == 3
    assert attack(MODEL, DATA.images, DATA.labels, "fgsm", eps="8/255").eps == 8 / 255


def test_an_attack_that_goes_by_l2_wants_a_length_and_others_go_as_far_as_papers_do() -> None:
    assert attack(MODEL, DATA.images, DATA.labels, "pgd").eps == 8 / 255
    assert attack(MODEL, DATA.images, DATA.labels, "pgd", norm="l2", eps=1.5).eps == 1.5
    l2, wanted = build("pgd", 8, norm="l2"), "^eps: expected a length in L2 for pgd, such as 0.5, got none$"
    for ask in (
        lambda: attack(MODEL, DATA.images, DATA.labels, "pgd", norm="l2"),
        lambda: perturb(MODEL, DATA.images, DATA.labels, "pgd", norm="l2"),
        lambda: evaluate(MODEL, DATA, l2),
        lambda: transfer(MODEL, {"F": MODEL}, DATA, l2),
        lambda: examples({"F": MODEL}, DATA, l2, [0]),
    ):
        with pytest.raises(InputError, match=wanted):
            ask()


@pytest.mark.parametrize(
    ("name", "options"), [("fgsm", {}), ("pgd", {"steps": 5}), ("square", {"queries": 20}), ("semantic", {"trials": 1})]
)
def test_perturbed_images_are_those_that_an_outcome_counts(name: str, options: dict[str, Any]) -> None:
    made = perturb(MODEL, DATA.images, DATA.labels, name, eps="4/255", **options)
    with torch.no_grad():
        right = MODEL(made).argmax(1) == DATA.labels
        if name != "semantic":  # others do not look at what is wrong before
            right &= MODEL(DATA.images / 255).argmax(1) == DATA.labels
    assert (
        right.long().tolist() == attack(MODEL, DATA.images, DATA.labels, name, eps="4/255", **options).correct.tolist()
    )
    assert 0 <= made.min() <= made.max() <= 1
    assert name == "semantic" or 0 < (made - DATA.images / 255).abs().max() <= 4 / 255 + 1e-6


@pytest.mark.parametrize("shape", [(10, 3, 8, 24), (10, 3, 24, 8)])
def test_what_an_attack_does_is_measured_by_the_shorter_side(shape: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert as_images(model, images, torch.zeros(10).long()).side == 8
    squares = [build("occlusion", 8).title, attack(model, images, torch.zeros(10).long(), "occlusion").title]
    assert squares[0] == squares[1]


def test_images_have_as_many_classes_as_the_network_tells_apart() -> None:
    assert as_images(MODEL, DATA.images, DATA.labels).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (DATA.images, None, "labels: expected one for each image, got none"),
        (
            DATA.images.float(),
            DATA.labels,
            "images: expected uint8, or floating point in [0, 1], got torch.float32 in [0, 255]",
        ),
        (DATA.images[0], DATA.labels, "images: expected at least one, of shape (n, c, h, w), got shape (3, 8, 8)"),
        (DATA.images[:0], DATA.labels, "images: expected at least one, of shape (n, c, h, w), got shape (0, 3, 8, 8)"),
        (
            DATA.images[:0].long(),
            DATA.labels,
            "images: expected at least one, of shape (n, c, h, w), got shape (0, 3, 8, 8)",
        ),
        (
            DATA.images.to(torch.uint16),
            DATA.labels,
            "images: expected uint8, or floating point in [0, 1], got torch.uint16",
        ),
        (DATA.images, DATA.labels[:3], "images: expected labels (40,) of torch.int64, got (3,) torch.int64"),
        (DATA.images, DATA.labels + 0.9, "labels: expected whole numbers, got torch.float32"),
        ("a.png", DATA.labels, "images: expected a tensor, got str"),
        (DATA, None, "images: expected a tensor, or windfirm.evaluate for Images, got Images"),
        (DATA.images, DATA.labels + 3, "images: expected labels from 0 to 2, got 4 to 5"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_used(images: Any, labels: torch.Tensor | None, text: str) -> None:
    with pytest.raises(InputError) as error:
        as_images(MODEL, images, labels)
    assert str(error.value) == text


def test_images_of_a_size_that_the_network_does_not_take() -> None:
    with pytest.raises(InputError) as error:
        attack(MODEL, DATA.images[..., :6], DATA.labels, "clean")
    begin = "model: expected a network that takes images of shape (40, 3, 8, 6), got an error: "
    assert str(error.value).startswith(begin)


def test_a_network_that_keeps_what_it_computed_is_attacked_as_one_that_does_not() -> None:
    network: Any = small_network()
    network.seen = [network(DATA.images / 255)]
    assert attack(network, DATA.images, DATA.labels, "clean").count == 32


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    network: Any = small_network()
    network.lock = Lock()
    with pytest.raises(CutError, match="Sequential: expected a network that can be copied, got cannot pickle"):
        attack(network, DATA.images, DATA.labels, "clean")


def test_arrays_and_the_names_of_devices_are_taken_as_well() -> None:
    outcome = attack(MODEL, DATA.images.numpy(), DATA.labels.numpy(), "clean", device="cpu")
    assert outcome.count == 32
    with pytest.raises(InputError, match="device: expected a device of PyTorch such as cpu or cuda:0, got 'gpu'"):
        attack(MODEL, DATA.images, DATA.labels, "clean", device="gpu")


@pytest.mark.parametrize(
    "measure",
    [
        lambda device: curve(MODEL, DATA, [0], device=device)[0].correct,
        lambda device: distances(MODEL, DATA, build("deepfool", 8), device=device).sizes,
        lambda device: examples({"F": MODEL}, DATA, build("fgsm", 8), [9], device=device)[0].views["F"].image,
        lambda device: logits(MODEL, DATA, device=device),
        lambda device: occlusion_map(MODEL, DATA, device=device),
        lambda device: transfer(MODEL, {"F": MODEL}, DATA, build("fgsm", 8), device=device)["F"].correct,
        lambda device: np.array([finding.text for finding in checks(MODEL, DATA, device=device).findings]),
    ],
)
def test_whatever_is_measured_takes_the_name_of_a_device(measure: Callable[[str | None], Any]) -> None:
    assert (measure("cpu") == measure(None)).all()
    with pytest.raises(InputError, match="device: expected a device of PyTorch such as cpu or cuda:0, got 'gpu'"):
        measure("gpu")


@pytest.mark.parametrize(
    "measure",
    [
        lambda model: attack(model, DATA.images, DATA.labels, "fgsm", seed=3).correct,
        lambda model: attack(model, DATA.images, DATA.labels, "pgd", seed=3).correct,
        lambda model: distances(model, DATA, build("deepfool", 8), seed=3).sizes,
        lambda model: examples({"F": model}, DATA, build("fgsm", 8), range(40), seed=3)[0].views["F"].image,
        lambda model: transfer(model, {"F": model}, DATA, build("fgsm", 8), seed=3)["F"].correct,
        lambda model: logits(model, DATA),
        lambda model: occlusion_map(model, DATA),
        lambda model: np.array([finding.text for finding in checks(model, DATA).findings]),
    ],
)
def test_what_a_network_draws_follows_from_the_seed(measure: Callable[[nn.Module], Any]) -> None:
    random = nn.Sequential(AlwaysDropout(), MODEL)
    torch.manual_seed(1)
    first = measure(random)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after  # and takes nothing from the caller's numbers
    torch.manual_seed(2)
    assert (measure(random) == first).all()


def test_an_unknown_attack_has_a_suggestion() -> None:
    with pytest.raises(InputError, match="got fgms; did you mean fgsm"):
        attack(MODEL, DATA.images, DATA.labels, "fgms")


@pytest.mark.parametrize(
    ("last", "shape"), [(nn.Unflatten(1, (3, 1)), (2, 3, 1)), (nn.Linear(3, 1), (2, 1)), (nn.Flatten(0), (6,))]
)
def test_outputs_that_are_no_logits_of_classes_are_told_as_such(last: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        as_images(nn.Sequential(small_network(), last), DATA.images, DATA.labels)
    assert str(error.value) == f"model: expected outputs of shape (n, classes), 2 classes or more, got {shape}"


def test_a_network_that_returns_more_than_logits_is_told_with_what_to_do() -> None:
    class Two(nn.Module):
        def forward(self, x: Any) -> Any:
            return MODEL(x), MODEL(x)

    wanted = r", got tuple; a network around it can return the logits alone$"
    with pytest.raises(InputError, match=wanted):
        attack(Two(), DATA.images, DATA.labels, "clean")
    with pytest.raises(InputError, match=wanted):
        evaluate(Two(), DATA, "clean")


def test_attacks_go_by_their_names_everywhere_and_a_tensor_is_told_from_images() -> None:
    assert distances(MODEL, DATA, "deepfool").attack == "deepfool"
    assert transfer(MODEL, {"F": MODEL}, DATA, "fgsm")["F"].attack == "fgsm from another network"
    assert examples({"F": MODEL}, DATA, "fgsm", [0])[0].attack == "fgsm"
    with pytest.raises(InputError, match=r"^images: expected Images, or windfirm.attack for a tensor, got Tensor$"):
        evaluate(MODEL, DATA.images, "fgsm")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "measure",
    [
        lambda images: curve(MODEL, images, [0.1]),
        lambda images: against_eps(MODEL, images, "pgd"),
        lambda images: occlusion_map(MODEL, images),
        lambda images: logits(MODEL, images),
    ],
)
def test_whatever_takes_images_says_so(measure: Callable[[Any], object]) -> None:
    measure(DATA)
    with pytest.raises(InputError, match=r"^images: expected Images, or windfirm.attack for a tensor, got Tensor$"):
        measure(DATA.images)


def test_networks_that_are_told_apart_have_names() -> None:
    with pytest.raises(InputError, match="transfer: expected at least one target, by its name in a dict, got list"):
        transfer(MODEL, [MODEL], DATA, "fgsm")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="examples: expected networks by their roles in a dict, got "):
        examples(MODEL, DATA, "fgsm", [0])  # type: ignore[arg-type]
    assert len(examples({"F": MODEL}, DATA, "fgsm", torch.tensor([0, 3]))) == 2  # type: ignore[arg-type]


def test_arrays_may_run_backwards() -> None:
    images = DATA.images.numpy()
    found = as_images(MODEL, images[:, ::-1], DATA.labels).images
    assert torch.equal(found, DATA.images.flip(1))


def test_a_network_that_squeezes_what_is_alone_is_asked_for_two_images() -> None:
    class Squeezing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3), keepdim=True).squeeze()

    assert as_images(Squeezing(), DATA.images, DATA.labels).classes == ("0", "1", "2")
