from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.prune.nets import Net, lively
from windfirm.errors import InputError
from windfirm.prune.criteria.base import Observer, Seen
from windfirm.prune.observe import Batches, observe
from windfirm.prune.trace import trace
from windfirm.prune.watch import Place


def network(between: nn.Module | None = None) -> Any:
    return lively(nn.Sequential(nn.Conv2d(2, 3, 1), between or nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)))


def data(images: int, first: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(images)
    return torch.randn(images, 2, 2, 2, generator=generator, dtype=torch.float64), (torch.arange(images) + first) % 2


def watching(batch: Any = None, points: Mapping[Place, Any] | None = None, gradients: bool = False) -> Observer:
    return Observer(lambda half: {}, points or {}, batch, gradients)


def test_every_batch_is_shown_with_its_labels_logits_and_the_numbers_of_its_images() -> None:
    model, given, seen = network(), [data(3), data(2, 1)], list[Seen]()
    observe(model, [watching(seen.append)], given)
    assert [entry.images for entry in seen] == [range(3), range(3, 5)]
    for entry, (images, labels) in zip(seen, given, strict=True):
        assert torch.equal(entry.labels, labels)
        assert torch.equal(entry.logits, model(images).detach())
        assert not entry.gradients
        assert not entry.logits.requires_grad


def test_results_are_shown_before_something_is_written_over_them() -> None:
    model, (images, labels) = network(nn.ReLU(inplace=True)), data(4)
    place = next(call.place for call in trace(model, images).calls if call.module == "0")
    shown: list[Tensor] = []
    observe(model, [watching(points={place: lambda output, _: shown.append(output.clone())})], [(images, labels)])
    assert float(shown[0].min()) < 0
    assert torch.equal(shown[0], model[0](images).detach())


def test_gradients_are_those_of_the_mean_cross_entropy_and_had_only_where_wanted() -> None:
    model, (images, labels), asked, seen = network(), data(4), list[bool](), list[Seen]()
    model[1].register_forward_hook(lambda *_: asked.append(torch.is_grad_enabled()))
    observe(model, [watching(seen.append)], [(images, labels)])
    observe(model, [watching(seen.append), watching(gradients=True)], [(images, labels)])
    assert asked == [False, True]
    assert not seen[0].gradients
    assert all(parameter.grad is None for parameter in model.parameters())
    F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
    wanted = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert seen[1].gradients.keys() == wanted.keys()
    assert all(torch.allclose(slope, wanted[name], rtol=1e-12) for name, slope in seen[1].gradients.items())


def test_inputs_may_be_named_or_several() -> None:
    model = lively(Net(lambda m, x: m.a(x).flatten(1), a=nn.Conv2d(2, 1, 1)))
    model.forward = lambda x, shift: model.run(model, x + shift)
    images, labels = data(4)
    for inputs in ({"x": images, "shift": images}, (images, images)):
        seen: list[Seen] = []
        observe(model, [watching(seen.append)], [(inputs, labels)])
        assert torch.equal(seen[0].logits, model.a(2 * images).flatten(1).detach())


def test_images_get_the_precision_of_the_weights_and_not_of_a_number_beside_them() -> None:
    scale = nn.Parameter(torch.tensor(2.0))
    model = Net(lambda m, x: (m.scale * m.a(x)).flatten(1), scale=scale, a=nn.Conv2d(2, 1, 1).double())
    images, labels = data(4)
    seen: list[Seen] = []
    observe(model, [watching(seen.append)], [(images.float(), labels)])
    assert seen[0].logits.dtype == torch.float64


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one image, got none"),
        ([data(0)], "at least one image, got none"),
        (None, "pairs of images and labels, got NoneType"),
        ([data(3)[0]], "pairs of images and labels, got Tensor"),
        ([(*data(3), 1)], "pairs of images and labels, got tuple"),
        ([(data(3)[0], [0, 1, 0])], "labels as a tensor of shape (b,), got list"),
        ([(data(3)[0], torch.zeros(3, 2))], "labels as a tensor of shape (b,), got shape (3, 2)"),
        ([(data(3)[0], torch.zeros(2))], "one label for each image, got 2 for 3"),
        ([("images", torch.zeros(2))], "example inputs that are tensors, got str"),
        ([(torch.tensor(1.0), torch.zeros(1))], "example inputs with at least one image, got ()"),
    ],
)
def test_what_is_not_images_with_labels_is_refused(batches: Batches, message: str) -> None:
    with pytest.raises(InputError) as error:
        observe(network(), [watching()], batches)
    assert str(error.value) == f"batches: expected {message}"


def test_images_that_the_network_does_not_take_are_refused_in_one_sentence() -> None:
    with pytest.raises(InputError) as error:
        observe(network(), [watching()], [data(2), (torch.ones(2, 5, 2, 2), torch.zeros(2))])
    assert str(error.value).startswith("batches: expected inputs that the network takes, got Given groups=1, ")
    assert "\n" not in str(error.value)


def test_a_batch_with_another_forward_pass_is_refused_also_after_others() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        return m.b(m.a(x).relu() if len(x) < 4 else m.a(x)).flatten(1)  # type: ignore[no-any-return]

    model = lively(Net(run, a=nn.Conv2d(2, 3, 1), b=nn.Conv2d(3, 1, 1)))
    place = next(call.place for call in trace(model, data(1)[0]).calls if "relu" in str(call.op))
    watcher = watching(points={place: lambda output, images: None})
    observe(model, [watcher], [data(3)])
    with pytest.raises(InputError) as error:
        observe(model, [watcher], [data(3), data(4)])
    wanted = "inputs with the forward pass that was traced, got one without aten.relu.default in the network"
    assert str(error.value) == f"batches: expected {wanted}"
