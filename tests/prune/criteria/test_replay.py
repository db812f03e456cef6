"""Forward passes of all kinds, replayed with a unit silent: right, left out, or refused in a sentence, never wrong."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.prune.nets import Net, lively
from windfirm.errors import CutError, InputError, TraceError
from windfirm.prune.criteria import score
from windfirm.prune.structure import Structure, anatomy

IMAGES = torch.rand(5, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(5) % 3


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(IMAGES[:3].clone(), LABELS[:3]), (IMAGES[3:].clone(), LABELS[3:])]


def conv(i: int, o: int, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1, **how)


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def plain(model: nn.Module, structure: Structure, unit: int) -> Tensor:
    """The score by its definition: zero weights in the layers that read a unit, and a whole forward pass."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        logits = model(IMAGES.clone())
        for piece in structure.slices:
            if piece.role == "in":
                twin.get_parameter(piece.tensor).index_fill_(piece.axis, torch.tensor(piece.indices[unit]), 0)
        q = twin(IMAGES.clone()).softmax(1)
        far: Tensor = (q * (q.log() - logits.softmax(1).log())).sum(1).mean()
    return far


def scored(model: nn.Module) -> set[str]:
    """Which filter groups have a score, each unit's compared with the definition."""
    body = anatomy(model, IMAGES[:1])
    groups = [s for s in body.structures if s.kind == "filters"]
    found = score("kl-divergence", model, groups, batches(), body=body)
    for structure, values in found.items():
        wanted = torch.stack([plain(model, structure, unit) for unit in range(structure.size)])
        assert torch.allclose(values, wanted, rtol=1e-8, atol=1e-14), structure.name
    return {structure.name for structure in found}


def tail() -> dict[str, nn.Module]:
    return {"a": conv(2, 4), "b": conv(4, 4), "c": conv(4, 3), "d": nn.Linear(3, 3)}


def added_in_place(m: Net, x: Tensor) -> Tensor:
    x = m.a(x).relu_()
    y = m.b(x)
    y += x
    return m.d(pooled(m.c(y.relu_())))  # type: ignore[no-any-return]


def written_parts(m: Net, x: Tensor) -> Tensor:
    y = torch.zeros_like(m.a(x))
    y[:, :2] = F.relu(m.a(x))[:, 2:]
    return m.d(pooled(m.c(F.pad(F.interpolate(m.b(y), scale_factor=2.0), (1, 0, 1, 0)))))  # type: ignore[no-any-return]


def twice(m: Net, x: Tensor) -> Tensor:
    return m.d(pooled(m.c(F.relu(m.b(F.relu(m.b(F.relu(m.a(x)))))))))  # type: ignore[no-any-return]


def over_the_input(m: Net, x: Tensor) -> Tensor:
    return twice(m, x.sub_(0.5))


def with_a_dead_end(m: Net, x: Tensor) -> Tensor:
    y = F.relu(m.a(x))
    m.b(y)
    return m.d(pooled(m.c(y)))  # type: ignore[no-any-return]


def halves_as_images(m: Net, x: Tensor) -> Tensor:
    """Two rows an image, one behind the other."""
    y = F.relu(m.a(torch.cat([x, x.flip(3)], 1).view(-1, *x.shape[1:])))
    return m.d(pooled(m.c(m.b(y))).view(len(x), 2, -1).mean(1))  # type: ignore[no-any-return]


RIGHT: dict[str, tuple[Callable[[Net, Tensor], Tensor], set[str]]] = {
    "added in place": (added_in_place, {"a", "c"}),
    "parts written": (written_parts, {"b", "c"}),
    "a layer twice": (twice, {"a", "c"}),
    "over the input": (over_the_input, {"a", "c"}),
    "a dead end": (with_a_dead_end, {"a", "c"}),
    "two rows an image": (halves_as_images, {"a", "b", "c"}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_every_forward_pass_scores_as_the_plain_loop_does(name: str) -> None:
    run, groups = RIGHT[name]
    assert scored(lively(Net(run, **tail()))) >= groups


CONSTANTS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "in the code": lambda m, x: x - torch.tensor([0.1, 0.4]).double().view(2, 1, 1),
    "for the images' device": lambda m, x: x - torch.tensor([0.1, 0.4], device=x.device, dtype=x.dtype)[:, None, None],
    "like the images": lambda m, x: x * x.new_tensor(0.4) + x.new_tensor(0.1),
    "of an array": lambda m, x: x - torch.from_numpy(np.array([[0.1]])) - torch.tensor(np.array([[0.2]])),
    "an attribute": lambda m, x: (x - m.mean) / m.std,
    "a list of channels": lambda m, x: x[:, [1, 0]],
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_that_no_module_holds_have_their_values(name: str) -> None:
    model = lively(Net(lambda m, x: twice(m, CONSTANTS[name](m, x)), **tail()))
    model.mean, model.std = torch.tensor([0.1, 0.4]).view(2, 1, 1), torch.tensor(0.7)
    assert scored(model) == {"a", "c"}


def tokens_first(m: Net, x: Tensor) -> Tensor:
    tokens = m.a(x).flatten(2).permute(2, 0, 1)
    return m.d(F.relu(m.c(F.relu(m.b(tokens)))).mean(0))  # type: ignore[no-any-return]


def images_twice(m: Net, x: Tensor) -> Tensor:
    y = F.relu(m.a(torch.cat([x, x.flip(3)])))
    return m.d(pooled(m.c(m.b(y))).view(2, len(x), 3).mean(0))  # type: ignore[no-any-return]


def through_a_view(m: Net, x: Tensor) -> Tensor:
    """What is read before and after is changed in between, by another name."""
    y = F.relu(m.a(x))
    view = y.view(len(y), -1)
    z = m.b(y)
    view.mul_(0.5)
    return m.d(pooled(m.c(y + z)))  # type: ignore[no-any-return]


LINEAR = {"a": nn.Conv2d(2, 4, 4, 4), "b": nn.Linear(4, 5), "c": nn.Linear(5, 3), "d": nn.Linear(3, 3)}


@pytest.mark.parametrize(
    ("run", "layers", "left"),
    [(tokens_first, LINEAR, {"b"}), (images_twice, tail(), {"a"}), (through_a_view, tail(), {"a"})],
)
def test_what_cannot_be_taken_apart_by_images_has_no_score(
    run: Callable[[Net, Tensor], Tensor], layers: dict[str, nn.Module], left: set[str]
) -> None:
    assert scored(lively(Net(run, **layers))).isdisjoint(left)


@pytest.mark.parametrize("criterion", ["kl-divergence", "cka"])
def test_where_all_of_a_group_is_silent_by_itself_nothing_changes(criterion: str) -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        return m.d(torch.cat([pooled(F.relu(m.a(x))), pooled(F.relu(m.b(x)))], 1))  # type: ignore[no-any-return]

    model = lively(Net(run, a=conv(2, 4), b=conv(2, 3), d=nn.Linear(7, 3)))
    nn.init.constant_(model.a.bias, -10)
    found = {s.name: v for s, v in score(criterion, model, anatomy(model, IMAGES[:1]).structures, batches()).items()}
    assert found["a"].tolist() == pytest.approx([0] * 4, abs=1e-15)
    assert min(found["b"].tolist()) > 1e-12


def statistics_of_the_batch() -> nn.Module:
    return nn.BatchNorm2d(4, track_running_stats=False)


def each_by_itself(m: Net, x: Tensor) -> Tensor:
    return m.d(pooled(m.c(torch.stack(F.relu(m.a(x)).unbind()))))  # type: ignore[no-any-return]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch statistics": (
        lambda: nn.Sequential(conv(2, 4), statistics_of_the_batch(), conv(4, 3), nn.Flatten(), nn.Linear(192, 3)),
        "a forward pass that can be replayed, image by image, got outputs",
    ),
    "a mean over images": (
        lambda: Net(lambda m, x: m.d(pooled(m.c((y := m.a(x)) - y.mean(0)))), **tail()),
        "a forward pass that can be replayed, image by image, got outputs",
    ),
    "a constant by the number of images": (
        lambda: Net(lambda m, x: twice(m, x * torch.tensor([0.5 / len(x)])), **tail()),
        "a forward pass that can be replayed, image by image, got outputs",
    ),
    "constants for each image": (
        lambda: Net(lambda m, x: twice(m, x * torch.tensor([0.5] * len(x)).view(-1, 1, 1, 1)), **tail()),
        "constants that do not grow with the number of images",
    ),
    "a constant written to": (
        lambda: Net(lambda m, x: twice(m, x * torch.tensor([0.5]).mul_(2)), **tail()),
        "constants that a forward pass leaves alone, got aten.mul_",
    ),
    "a loop over images": (lambda: Net(each_by_itself, **tail()), "one that is another for 2 images than for 3"),
}


@pytest.mark.parametrize("criterion", ["kl-divergence", "cka"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_image_by_image_is_refused(name: str, criterion: str) -> None:
    make, message = REFUSED[name]
    model = lively(make())
    with pytest.raises(TraceError, match=message):
        score(criterion, model, anatomy(model, IMAGES[:1]).structures, batches())


@pytest.mark.parametrize("output", [lambda y: y, lambda y: pooled(y)[:, 0]])
def test_outputs_that_are_no_class_scores_are_refused(output: Callable[[Tensor], Tensor]) -> None:
    model = lively(Net(lambda m, x: output(m.b(F.relu(m.a(x)))), a=conv(2, 4), b=conv(4, 3)))
    with pytest.raises(InputError, match=r"batches: expected class scores of shape \(3, classes\) from the network"):
        score("kl-divergence", model, anatomy(model, IMAGES[:1]).structures, batches())


@pytest.mark.parametrize("criterion", ["kl-divergence", "cka"])
def test_images_without_numbers_and_images_of_another_size_are_told_as_such(criterion: str) -> None:
    model = lively(Net(twice, **tail()))
    free = anatomy(model, IMAGES[:1]).structures
    with pytest.raises(CutError, match="expected finite outputs, got infinite or undefined ones"):
        score(criterion, model, free, [(IMAGES * torch.nan, LABELS)])
    with pytest.raises(InputError, match=r"images of one shape, as the first \(2, 8, 8\), got \(2, 6, 8\)"):
        score(criterion, model, free, [*batches(), (IMAGES[:, :, :6], LABELS)])


@pytest.mark.parametrize("criterion", ["kl-divergence", "cka"])
def test_a_network_in_half_precision_is_followed_in_single(criterion: str) -> None:
    layers = conv(2, 6), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 4), nn.BatchNorm2d(4), nn.ReLU()
    model = lively(nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 3)))
    free = anatomy(model, IMAGES[:1]).structures
    wanted = score(criterion, model, free, [(IMAGES, LABELS)])
    for dtype, close in ((torch.float16, 0.01), (torch.bfloat16, 0.1)):
        found = score(criterion, copy.deepcopy(model).to(dtype), free, [(IMAGES, LABELS)])
        for structure, values in wanted.items():
            assert float((found[structure] - values).abs().max()) < close * float(values.max())
