import math

import pytest
import torch
from torch import nn

from windfirm.adjust.distill import distillation
from windfirm.adjust.resume import weights_digest
from windfirm.errors import InputError
from windfirm.seeds import stream

CPU = torch.device("cpu")
PIXELS = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)


def constant(*logits: float) -> nn.Module:
    """The same logits for every image."""
    last = nn.Linear(3, len(logits))
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor(logits))
    return nn.Sequential(nn.Flatten(), last)


def test_two_logits_by_hand() -> None:
    """The teacher is sure of class 1 by 4, the network of class 0 by 2; divided by 4 they are 1 and -1/2."""

    def sigmoid(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    teacher, network = constant(1.0, 5.0), constant(0.0, -2.0)
    p, q = sigmoid(1.0), sigmoid(-0.5)  # of class 1
    far = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    plain = -math.log(sigmoid(-2.0))  # the label is class 1
    objective = distillation(teacher, CPU, PIXELS)
    loss, logits = objective.loss(network, torch.rand(3, 3, 1, 1), torch.tensor([1, 1, 1]), stream(0))
    assert loss.item() == pytest.approx(0.9 * 16 * far + 0.1 * plain, rel=1e-5)
    assert logits.tolist() == [[0.0, -2.0]] * 3
    options = {"temperature": 4.0, "weight": 0.9, "teacher": weights_digest(teacher)}
    assert (objective.name, objective.options) == ("distill", options)
    other = distillation(teacher, CPU, PIXELS, temperature=1.0, weight=0.25)
    p, q = sigmoid(4.0), sigmoid(-2.0)
    far = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    loss, _ = other.loss(network, torch.rand(3, 3, 1, 1), torch.tensor([1, 1, 1]), stream(0))
    assert loss.item() == pytest.approx(0.25 * far + 0.75 * plain, rel=1e-5)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_teacher_of_other_classes_is_refused(outputs: int) -> None:
    teacher, student = constant(*[0.0] * outputs), constant(0.0, 0.0)
    objective = distillation(teacher, torch.device("cpu"), torch.zeros(2, 3, 1, 1, dtype=torch.uint8))
    with pytest.raises(InputError) as error:
        objective(student, torch.zeros(2, 3, 1, 1), torch.tensor([0, 1]), stream(0))
    assert str(error.value) == f"distill: expected an original with outputs of shape (2, 2), got (2, {outputs})"


def test_the_teacher_teaches_in_eval_mode_and_learns_nothing() -> None:
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3), nn.Dropout(0.9), nn.Linear(3, 2)).train()
    network = constant(0.0, 1.0)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    objective = distillation(teacher, CPU, PIXELS)
    images, labels = torch.rand(4, 3, 1, 1), torch.tensor([0, 1, 0, 1])
    first, _ = objective.loss(network, images, labels, stream(0))
    torch.autograd.backward(first)
    second, _ = objective.loss(network, images, labels, stream(0))
    assert first.item() == second.item()  # no dropout, no statistics that move
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(value.grad is None and value.requires_grad for value in teacher.parameters())
    assert teacher.training
