import re

import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import Large
from tests.evaluate.toys_masked import (
    AlwaysDropout,
    OfItsBatch,
    Pretended,
    Quantised,
    Scaled,
    Stubborn,
    Then,
    patterns,
    plain,
)
from windfirm.evaluate import probes
from windfirm.evaluate.memory import Batches

IMAGES = patterns()
PIXELS = IMAGES.images / 255


def gradients(network: nn.Module, batch: int = 50) -> dict[str, str]:
    return {f.kind: f.text for f in probes.gradients(network, PIXELS, IMAGES.labels, Batches(batch), 8 / 255)}


def test_a_plain_network_raises_nothing() -> None:
    network = plain()
    assert gradients(network) == {}
    assert probes.outputs(network, PIXELS, Batches(50)) == []
    assert probes.training_mode(network) == []
    assert probes.differentiable(network, PIXELS[:1])


def test_quantised_activations_have_no_gradient() -> None:
    found = gradients(Then(after=Quantised()))
    assert list(found) == ["zero gradients", "vanishing gradients"]
    assert found["zero gradients"].endswith(
        "rightly classified images have no gradient at all: the outputs do not follow the images"
    )


def test_saturated_logits_have_no_gradient_of_the_cross_entropy() -> None:
    found = gradients(Then(after=Scaled()))
    assert list(found) == ["vanishing gradients", "saturated logits"]
    assert found == gradients(Then(after=Scaled()), batch=7)


@pytest.mark.parametrize(("deaf", "told"), [(1, []), (2, ["zero gradients", "vanishing gradients"])])
def test_one_image_in_a_hundred_may_lack_a_gradient(deaf: int, told: list[str]) -> None:
    right = plain()(PIXELS).argmax(1) == IMAGES.labels
    assert 100 <= int(right.sum()) < 200
    darkest = PIXELS[right].sum((1, 2, 3)).sort().values
    end = (darkest[deaf - 1] + darkest[deaf]) / 2

    class Deaf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where((x.sum((1, 2, 3)) > end)[:, None, None, None], x, x.detach())

    found = gradients(Then(before=Deaf()))
    assert list(found) == told
    assert all(text.startswith(f"{deaf} of {int(right.sum())} rightly") for text in found.values())


@pytest.mark.parametrize("sign", [0, -1])
def test_a_backward_pass_that_is_not_that_of_the_forward_pass_is_told(sign: int) -> None:
    found = gradients(Then(before=Pretended(sign)))
    assert list(found) == ["misleading gradients"]
    right = int((plain()(PIXELS).argmax(1) == IMAGES.labels).sum())
    nearer, of = map(int, re.findall(r"only (\d+) of (\d+) ", found["misleading gradients"])[0])
    assert of == right
    assert nearer < right / 2 if sign == 0 else nearer == 0


def test_a_gradient_that_goes_past_a_rounding_leads_where_it_says() -> None:
    class Rounded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + ((x * 15).round() / 15 - x).detach()

    assert gradients(Then(before=Rounded())) == {}


def test_outputs_that_are_no_function_of_the_images_have_none_either() -> None:
    class Blind(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(4).index_select(0, torch.zeros(len(x), dtype=torch.long))

    assert list(gradients(Blind())) == ["zero gradients", "vanishing gradients"]
    assert not probes.differentiable(Blind(), PIXELS[:1])


def test_a_network_that_is_always_wrong_has_nothing_to_attack() -> None:
    assert probes.gradients(plain(), PIXELS, (IMAGES.labels + 1) % 4, Batches(50), 8 / 255) == []


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        (Then(after=nn.Softmax(1)), "softmax at the end"),
        (Then(after=nn.Sigmoid()), "sigmoid at the end"),
        (Then(before=AlwaysDropout()), "random forward pass"),
        (Then(after=OfItsBatch()), "outputs depend on the batch"),
    ],
)
def test_outputs_that_mislead(network: nn.Module, kind: str) -> None:
    assert [finding.kind for finding in probes.outputs(network.eval(), PIXELS, Batches(50))] == [kind]


@pytest.mark.parametrize(("bias", "told"), [(0.0, []), (1e4, ["one answer to everything"])])
def test_a_network_that_has_one_answer_to_everything_is_told(bias: float, told: list[str]) -> None:
    linear = nn.Linear(12, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.linspace(0, 40, 36).sin().view(3, 12))
        linear.bias.copy_(torch.tensor([0.0, bias, 0.0]))
    network, labels = nn.Sequential(nn.Flatten(), linear), torch.arange(60) % 3
    images = torch.rand(60, 3, 2, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    assert [finding.kind for finding in probes.answers(network, images, labels, Batches(16))] == told
    assert probes.answers(network, images, torch.zeros(60), Batches(16)) == []
    assert probes.answers(network, images[:20], labels[:20], Batches(16)) == []


@pytest.mark.parametrize(("noise", "told"), [(1e-3, ["random forward pass"]), (1e-6, [])])
def test_outputs_may_differ_between_passes_by_as_much_as_rounding_does(noise: float, told: list[str]) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (1 + noise * torch.randn_like(x))

    found = probes.outputs(Then(after=Noisy()).eval(), PIXELS, Batches(50))
    assert [finding.kind for finding in found] == told


def test_outputs_that_sum_to_1_but_are_negative_are_no_probabilities() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(1, keepdim=True) + 1 / 4

    network = Then(after=Centred()).eval()
    assert torch.allclose(network(PIXELS).sum(1), torch.ones(len(PIXELS)), atol=5e-6)
    assert probes.outputs(network, PIXELS, Batches(50)) == []


def test_modules_that_eval_does_not_reach_are_named() -> None:
    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False), Stubborn(), nn.Dropout()
    ).eval()
    (found,) = probes.training_mode(network)
    assert found.kind == "training mode"
    assert found.text == ("2 modules work as in training although eval() was called: 1 (BatchNorm2d), 2 (Stubborn)")
    assert probes.training_mode(network.train())[0].text.startswith("4 modules work as in training")


def test_three_gradients_from_one_pass_are_those_of_their_losses() -> None:
    network, images, labels = plain(), PIXELS[:5], IMAGES.labels[:5]
    right, _, entropy, calm = probes.slopes(network, images, labels)
    logits = network(images)
    weights = network[1].weight.detach()  # type: ignore[index]
    truth = (logits.softmax(1) - nn.functional.one_hot(labels, 4)) @ weights
    assert torch.allclose(entropy.flatten(1), truth, atol=1e-6)
    spread = logits.std(1, correction=0, keepdim=True)
    truth = ((logits / spread).softmax(1) - nn.functional.one_hot(labels, 4)) / spread @ weights
    assert torch.allclose(calm.flatten(1), truth, atol=1e-5)
    assert right.tolist() == (logits.argmax(1) == labels).tolist()


def test_a_lack_of_memory_changes_no_finding() -> None:
    masked = Then(after=Scaled())
    assert gradients(Large(masked, 20)) == gradients(masked)
    assert probes.outputs(Large(plain(), 20), PIXELS, Batches(50)) == []
    (found,) = probes.outputs(Large(Then(after=OfItsBatch()), 20), PIXELS, Batches(50))
    assert found.kind == "outputs depend on the batch"  # and not on the pass, though the first was of two sizes


class Masked(nn.Module):
    """One more class, which is never predicted."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(logits, (0, 1), value=-torch.inf)


@pytest.mark.parametrize("flaw", [Scaled(), AlwaysDropout(), OfItsBatch(), nn.Identity()])
def test_a_class_masked_by_minus_infinity_hides_nothing(flaw: nn.Module) -> None:
    open_, masked = Then(after=flaw), Then(after=nn.Sequential(flaw, Masked()))
    kinds = [[found.kind for found in probes.outputs(each, PIXELS, Batches(50))] for each in (open_, masked)]
    assert kinds[0] == kinds[1]
    if not isinstance(flaw, AlwaysDropout):
        assert list(gradients(open_)) == list(gradients(masked))


def test_a_mask_that_changes_from_pass_to_pass_is_told() -> None:
    class Sometimes(nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return logits.masked_fill(torch.rand(logits.shape) < 0.1, -torch.inf)

    (found,) = probes.outputs(Then(after=Sometimes()), PIXELS, Batches(50))
    assert found.kind == "random forward pass"


def test_a_gradient_that_is_no_number_is_none() -> None:
    class Underflowing(nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return (300 * logits).softmax(1).log()  # 0 · ∞ on the way back

    network = Then(after=Underflowing())
    images = PIXELS.clone().requires_grad_()
    network(images).sum().backward()
    assert images.grad is not None
    assert images.grad.isnan().any()
    found = gradients(network)
    assert found["zero gradients"].split()[0] == found["vanishing gradients"].split()[0]
    assert not any(each.isnan().any() for each in probes.slopes(network, PIXELS, IMAGES.labels))
