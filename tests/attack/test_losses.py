import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from windfirm.attack.losses import dlr, targeted_dlr
from windfirm.errors import InputError

LOGITS = torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.arange(50) % 6
TARGETS = (LABELS + 1 + torch.arange(50) % 5) % 6


def numpy_dlr(z: NDArray[np.float64], y: int) -> float:
    first, _, third = np.sort(z)[::-1][:3]
    return float(-(z[y] - np.delete(z, y).max()) / (first - third))


def numpy_targeted(z: NDArray[np.float64], y: int, t: int) -> float:
    first, _, third, fourth = np.sort(z)[::-1][:4]
    return float(-(z[y] - z[t]) / (first - (third + fourth) / 2))


def test_the_logits_ratios_agree_with_the_formulas_of_the_paper() -> None:
    rows = list(zip(LOGITS.numpy(), LABELS.tolist(), TARGETS.tolist(), strict=True))
    truth = torch.tensor([numpy_dlr(z, y) for z, y, _ in rows], dtype=torch.float64)
    torch.testing.assert_close(dlr(LOGITS, LABELS), truth, rtol=1e-9, atol=0)
    truth = torch.tensor([numpy_targeted(z, y, t) for z, y, t in rows], dtype=torch.float64)
    torch.testing.assert_close(targeted_dlr(LOGITS, LABELS, TARGETS), truth, rtol=1e-9, atol=0)
    assert torch.equal(dlr(LOGITS, LABELS) > 0, LOGITS.argmax(1) != LABELS)


def test_neither_depends_on_the_scale_of_the_logits() -> None:
    torch.testing.assert_close(dlr(1e4 * LOGITS, LABELS), dlr(LOGITS, LABELS))
    torch.testing.assert_close(targeted_dlr(1e4 * LOGITS, LABELS, TARGETS), targeted_dlr(LOGITS, LABELS, TARGETS))


def test_too_few_classes_are_refused() -> None:
    few = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(InputError) as error:
        dlr(LOGITS[:1, :2], few)
    assert str(error.value) == "apgd-dlr: expected a network with at least 3 classes, got 2"
    with pytest.raises(InputError) as error:
        targeted_dlr(LOGITS[:1, :3], few, few)
    assert str(error.value) == "apgd-t: expected a network with at least 4 classes, got 3"
    masked = LOGITS[:2].index_fill(1, torch.tensor([1, 2, 3, 4]), -torch.inf)
    with pytest.raises(InputError, match="apgd-dlr: expected a network with at least 3 classes, got 2"):
        dlr(masked, torch.tensor([0, 5]))
