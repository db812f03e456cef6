import numpy as np
import pytest
import torch
from torch import nn

from tests.evaluate.toys import Large, small_network
from tests.evaluate.toys_masked import Quantised, Ripple, Scaled, Then, patterns, plain
from windfirm.errors import InputError
from windfirm.evaluate import Outcome
from windfirm.models.device import is_exact
from windfirm.study.checks import checks

IMAGES = patterns()


def kinds(model: nn.Module) -> list[str]:
    return [finding.kind for finding in checks(model, IMAGES).findings]


def test_a_plain_network_raises_no_warning() -> None:
    assert checks(plain(), IMAGES).images == 120
    assert kinds(plain()) == []


def test_deliberately_masked_gradients_raise_warnings() -> None:
    assert kinds(Then(after=Quantised())) == [
        "zero gradients",
        "vanishing gradients",
        "accuracy does not fall with eps",
        "accuracy above chance at large eps",
        "black box beats white box",
    ]
    # FGSM here takes the gradient of the margin, which large logits do not hide: the curve has no fault.
    assert kinds(Then(after=Scaled())) == ["vanishing gradients", "saturated logits"]


def test_gradients_that_mislead_are_seen_by_an_attack_that_has_none() -> None:
    assert kinds(Then(before=Ripple())) == ["black box beats white box"]


def test_without_any_gradient_there_is_no_curve_to_look_at() -> None:
    class Detached(Then):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach()

    assert kinds(Detached()) == ["zero gradients", "vanishing gradients"]


def test_images_are_taken_from_all_over_the_set() -> None:
    ordered = IMAGES[IMAGES.labels.argsort(stable=True)]
    found = checks(Then(after=Quantised()), ordered, count=40)
    assert found.images == 40
    (said,) = [finding.text for finding in found.findings if "above chance" in finding.kind]
    assert "25.0 % is chance" in said  # all four classes were there


def test_outcomes_on_all_images_are_looked_at_too() -> None:
    pgd, square = (Outcome(name, name, 0.1, 1, (np.arange(120) < n).astype(np.int64)) for name, n in
                   (("pgd", 60), ("square", 30)))  # fmt: skip
    assert [f.kind for f in checks(plain(), IMAGES, [pgd, square], count=40).findings] == ["black box beats white box"]


def test_probes_see_the_network_in_float32_whatever_is_switched_on_around_them() -> None:
    found: list[bool] = []

    class Watched(Then):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found.append(is_exact() and not torch.is_autocast_enabled("cpu"))
            return super().forward(x).detach()  # so that probes alone look at it

    with torch.autocast("cpu", torch.bfloat16):
        checks(Watched(), IMAGES)
    assert len(found) > 1
    assert all(found)


def test_gradients_are_there_inside_inference_mode() -> None:
    with torch.inference_mode():
        assert kinds(plain()) == []


def test_the_network_is_left_as_it_was() -> None:
    model = plain().train()
    checks(model, IMAGES, count=8)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^model: expected outputs of shape \(1, 4\) for the classes of patterns/test"
    ):
        checks(small_network(), IMAGES)


def test_an_attack_that_is_not_finished_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of a quarter of eps does not reach the border of the ball, forty do."""
    monkeypatch.setattr("windfirm.study.checks.STEPS", (1, 40))
    (found,) = checks(plain(), IMAGES).findings
    assert found.kind == "more steps still help"
    assert found.text.startswith("more steps bring pgd from ")


def test_a_lack_of_memory_changes_no_finding() -> None:
    masked = Then(after=Scaled())
    assert checks(Large(masked, 20), IMAGES) == checks(masked, IMAGES)
