import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluate.toys import Large, labelled, small_network
from windfirm.errors import InputError
from windfirm.evaluate import calibration, ece, logits, nll, temperature
from windfirm.models.device import is_exact


def sure(*confidences: float) -> Tensor:
    """Logits of two classes with these probabilities of the first."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], 1)


def drawn(scale: float, images: int = 12_000) -> tuple[Tensor, Tensor]:
    """Logits times ``scale``, and labels drawn from the softmax of the logits themselves."""
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(images, 5, generator=generator, dtype=torch.float64)
    labels = true.softmax(1).multinomial(1, generator=generator)[:, 0]
    return scale * true, labels


def test_ece_by_hand() -> None:
    # Of two bins the first, up to 0.5, is empty; of ten, three hold images.
    logits, labels = sure(0.55, 0.58, 0.65, 0.95, 0.95), torch.tensor([0, 1, 0, 0, 1])
    assert ece(logits, labels, bins=2) == pytest.approx(abs(3 / 5 - (0.55 + 0.58 + 0.65 + 0.95 + 0.95) / 5))
    in_bins = (2 * abs(1 / 2 - 0.565) + 1 * abs(1 - 0.65) + 2 * abs(1 / 2 - 0.95)) / 5
    assert ece(logits, labels, bins=10) == pytest.approx(in_bins)


def test_a_bin_is_closed_above() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)  # a probability of exactly one half
    both = torch.cat([logits, sure(0.6)])
    assert ece(both, torch.tensor([0, 0, 1]), bins=2) == pytest.approx((2 * 0.5 + 1 * 0.6) / 3)


def test_nll_by_hand() -> None:
    assert nll(sure(0.8, 0.3), torch.tensor([0, 0])) == pytest.approx(-(np.log(0.8) + np.log(0.3)) / 2)


@pytest.mark.parametrize("scale", [1e-5, 0.2, 1.0, 3.7, 50.0, 1e6])
def test_a_known_scale_is_found_again(scale: float) -> None:
    true = temperature(*drawn(1.0))
    assert true == pytest.approx(1.0, rel=0.05)
    assert temperature(*drawn(scale)) == pytest.approx(scale * true, rel=1e-4)


def test_scaling_mends_a_network_that_is_too_sure() -> None:
    found = calibration(*drawn(4.0))
    truth = calibration(*drawn(1.0))
    assert found.images == 6_000
    assert found.ece > 0.1
    assert found.scaled_ece == pytest.approx(truth.scaled_ece, abs=1e-4)
    assert found.scaled_ece < 0.03
    assert found.scaled_nll == pytest.approx(truth.scaled_nll, rel=1e-6)
    assert found.nll > found.scaled_nll


def test_the_temperature_is_fitted_on_every_second_image_and_measured_on_the_others() -> None:
    true, labels = drawn(1.0)
    logits = true.clone()
    logits[::2] *= 3
    logits[1::2] *= 0.5
    found = calibration(logits, labels)
    assert found.temperature == pytest.approx(3 * temperature(true[::2], labels[::2]), rel=1e-4)
    others = labels[1::2, None]
    for scale, measured in ((1.0, found.nll), (found.temperature, found.scaled_nll)):
        truth = -(logits[1::2] / scale).log_softmax(1).gather(1, others).mean()
        assert measured == pytest.approx(float(truth), rel=1e-9)


def test_logits_that_are_always_right_ask_for_a_temperature_far_below_1() -> None:
    assert temperature(torch.eye(3), torch.arange(3)) < 0.1


def test_no_temperature_is_fitted_on_images_that_are_all_right() -> None:
    logits, labels = sure(0.9, 0.9, 0.8, 0.4), torch.tensor([0, 0, 0, 0])  # the error is among those that it is not
    found = calibration(logits, labels)
    assert (found.temperature, found.scaled_nll, found.scaled_ece) == (1.0, found.nll, found.ece)


def test_labels_that_a_network_rules_out_have_no_say_in_the_temperature() -> None:
    logits, labels = drawn(3.7, 2_000)
    wanted = temperature(logits, labels)
    ruled_out = torch.tensor([[0.0, 1.0, -torch.inf, *[0.0] * (logits.shape[1] - 3)]]).expand(5, -1)
    both = torch.cat([logits, ruled_out]), torch.cat([labels, torch.full((5,), 2)])
    assert temperature(*both) == wanted
    assert temperature(ruled_out, torch.full((5,), 2)) == 1


def test_one_image_cannot_be_split() -> None:
    with pytest.raises(InputError) as error:
        calibration(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64))
    assert str(error.value) == "calibration: expected at least two images, got 1"


def test_logits_are_those_of_the_evaluator_whatever_the_batch() -> None:
    model = small_network()
    images = labelled(model)
    model.train()
    found = logits(model, images, batch=7)
    model.eval()
    with torch.no_grad():
        truth = model(images.images / 255)
    assert (found.dtype, tuple(found.shape)) == (torch.float64, (40, 3))
    assert torch.allclose(found, truth.double(), atol=1e-6)
    assert torch.allclose(logits(Large(model), images), found, atol=1e-6)
    with pytest.raises(InputError, match=r"^model: expected outputs of shape"):
        logits(small_network(classes=4), images)


def test_logits_are_computed_in_float32_where_a_gpu_would_round_them() -> None:
    found: list[bool] = []
    network = small_network()
    images = labelled(network)
    network.register_forward_pre_hook(lambda module, args: found.append(is_exact()))
    logits(network, images, batch=16)
    assert len(found) > 1
    assert all(found)
    assert not is_exact()
