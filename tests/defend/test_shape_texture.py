from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.defend.nets import batch, generator, shown, small
from windfirm.defend.registry import defence
from windfirm.defend.stylizer import load_stylizer
from windfirm.errors import CheckpointError, InputError


def test_half_of_the_loss_is_of_the_images_and_half_of_the_styled_ones_with_two_labels() -> None:
    images, labels = batch(6)
    loss, logits, (first, second) = shown(defence("shape-texture", 8, alpha=0.5), small(), images, labels, seed=4)
    order = torch.randperm(6, generator=generator(4))
    torch.testing.assert_close(first, images)
    torch.testing.assert_close(second, load_stylizer().within(images, order, 0.5))
    plain, styled = small()(first), small()(second)
    of_styled = 0.8 * F.cross_entropy(styled, labels) + 0.2 * F.cross_entropy(styled, labels[order])
    torch.testing.assert_close(loss, (F.cross_entropy(plain, labels) + of_styled) / 2)
    torch.testing.assert_close(logits, plain)


def test_running_statistics_are_those_of_the_images_as_they_are() -> None:
    images, labels = batch(6)
    plain, debiased = small(), small()
    plain(images)
    shown(defence("shape-texture", 8), debiased, images, labels)
    for (name, value), other in zip(plain.named_buffers(), debiased.buffers(), strict=True):
        torch.testing.assert_close(value, other, msg=name)


def test_stylized_training_sees_styled_images_alone() -> None:
    images, labels = batch(6)
    loss, logits, (seen,) = shown(defence("stylized", 8, alpha=0.6), small(), images, labels, seed=2)
    order = torch.randperm(6, generator=generator(2))
    torch.testing.assert_close(seen, load_stylizer().within(images, order, 0.6))
    torch.testing.assert_close(loss, F.cross_entropy(small()(seen), labels))
    torch.testing.assert_close(logits, small()(seen))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("stylized", {"alpha": 1.5}, "stylized: expected an alpha in [0, 1], got 1.5"),
        ("shape-texture", {"alpha": -1}, "shape-texture: expected an alpha in [0, 1], got -1"),
        ("shape-texture", {"texture": 2}, "shape-texture: expected a texture in [0, 1], got 2"),
    ],
)
def test_values_out_of_range_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        defence(name, 8, **options)
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["stylized", "shape-texture"])
def test_a_stylizer_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(CheckpointError) as error:
        defence(name, 8, stylizer="none.safetensors")
    wanted = "a file that `windfirm train-stylizer` wrote"
    assert str(error.value) == f"none.safetensors: expected {wanted}, got no such file"
