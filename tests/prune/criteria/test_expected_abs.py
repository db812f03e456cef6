from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import Net, lively
from windfirm.prune.criteria import score, scores
from windfirm.prune.structure import Structure, structures

#: Two images of one row of two pixels.
IMAGES = torch.tensor([[[[1.0, 2.0]]], [[[-3.0, 0.0]]]])
LABELS = torch.tensor([0, 1])


def three_filters(*between: nn.Module) -> Any:
    model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), *between, nn.Conv2d(3, 2, 1), nn.Flatten())
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.tensor([1.0, -2.0, 0.5]).view(3, 1, 1, 1))
    return model


def found(model: nn.Module, images: Tensor = IMAGES, labels: Tensor = LABELS) -> dict[Structure, Tensor]:
    return score("expected-abs", model, structures(model, images[:1]), [(images, labels)])


def test_by_hand_behind_a_rectifier() -> None:
    # Maps of the two images: 1 2 | 0 0, 0 0 | 6 0, 0.5 1 | 0 0.
    (values,) = found(three_filters(nn.ReLU())).values()
    assert values.tolist() == [3 / 4, 6 / 4, 1.5 / 4]


@pytest.mark.parametrize(
    "rectifier", [lambda x: x.clamp(min=0), lambda x: x.clamp_min_(0), nn.Threshold(0, 0), nn.CELU(1e-9)]
)
def test_a_rectifier_by_another_name_is_looked_behind(rectifier: Callable[[Tensor], Tensor]) -> None:
    (values,) = found(three_filters(Net(lambda m, x: rectifier(x)))).values()
    assert values.tolist() == pytest.approx([3 / 4, 6 / 4, 1.5 / 4])


SMOOTH = (nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Hardsigmoid)


@pytest.mark.parametrize("activation", [*SMOOTH, nn.Softplus, nn.PReLU, nn.ReLU6])
def test_any_activation_is_looked_behind(activation: type[nn.Module]) -> None:
    model = three_filters(activation())
    with torch.no_grad():
        maps = model[1](model[0](IMAGES))
    (values,) = found(model).values()
    assert values.tolist() == pytest.approx(maps.abs().mean((0, 2, 3)).tolist())


def test_where_a_layer_is_read_twice_its_own_output_counts() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        return (m.b(y.relu()) + m.c(y)).flatten(1)  # type: ignore[no-any-return]

    model = Net(run, a=three_filters()[0], b=nn.Conv2d(3, 2, 1), c=nn.Conv2d(3, 2, 1))
    (values,) = found(model).values()
    assert values.tolist() == [6 / 4, 12 / 4, 3 / 4]


def test_by_hand_where_nothing_is_rectified() -> None:
    (values,) = found(three_filters()).values()
    assert values.tolist() == [6 / 4, 12 / 4, 3 / 4]


def test_a_rectifier_in_place_and_a_normalisation_are_looked_behind() -> None:
    norm = nn.BatchNorm2d(3, eps=0).eval()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 10.0, -2.0]))
    (values,) = found(three_filters(norm, nn.ReLU(inplace=True)).eval()).values()
    assert values.tolist() == [3 / 4, 60 / 4, 3 / 4]


def test_even_and_odd_images_apart() -> None:
    model = three_filters(nn.ReLU())
    asked = scores(["expected-abs"], model, structures(model, IMAGES[:1]), [(IMAGES, LABELS)])["expected-abs"]
    assert asked.halves is not None
    (even,), (odd,) = (half.values() for half in asked.halves)
    assert even.tolist() == [3 / 2, 0, 1.5 / 2]
    assert odd.tolist() == [0, 6 / 2, 0]
    alone = scores(["expected-abs"], model, structures(model, IMAGES[:1]), [(IMAGES[:1], LABELS[:1])])["expected-abs"]
    assert alone.halves is None  # there is no odd image


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64), torch.arange(6) % 2


def test_a_layer_that_runs_twice_has_the_mean_over_its_runs() -> None:
    model = lively(
        Net(lambda m, x: m.t(m.s(m.s(x).relu()).relu()).mean((2, 3)), s=nn.Conv2d(2, 2, 1), t=nn.Conv2d(2, 2, 1))
    )
    images, labels = data()
    with torch.no_grad():
        once = model.s(images).relu()
        twice = model.s(once).relu()
    whole = [s for s in structures(model, images[:1]) if s.kind == "filters"]
    piece = [Structure(s.name, s.kind, s.size, s.slices) for s in whole if s.name == "s"]  # also if it could not go
    (values,) = score("expected-abs", model, piece, [(images, labels)]).values()
    assert values.tolist() == pytest.approx(((once + twice) / 2).mean((0, 2, 3)).tolist())


def test_a_linear_layer_on_tokens_and_one_on_images() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        tokens = m.a(x.flatten(2).transpose(1, 2)).relu()
        return m.c(m.b(tokens.mean(1)).relu())  # type: ignore[no-any-return]

    model = lively(Net(run, a=nn.Linear(2, 3), b=nn.Linear(3, 4), c=nn.Linear(4, 2)))
    images, labels = data()
    with torch.no_grad():
        tokens = model.a(images.flatten(2).transpose(1, 2)).relu()
        features = model.b(tokens.mean(1)).relu()
    values = {s.name: values.tolist() for s, values in found(model, images, labels).items()}
    assert values == {
        "a": pytest.approx(tokens.mean((0, 1)).tolist()),
        "b": pytest.approx(features.mean(0).tolist()),
    }


def test_a_block_has_the_mean_over_its_output() -> None:
    layers = {name: nn.Conv2d(2, 2, 1) for name in "abcd"}
    model = lively(Net(lambda m, x: m.d((x + m.b(m.a(x).relu())).relu() + m.c(x)).mean((2, 3)), **layers))
    images, labels = data()
    with torch.no_grad():
        output = (images + model.b(model.a(images).relu())).relu()
    blocks = [s for s in structures(model, images[:1]) if s.kind == "block"]
    values = {s.name: v.tolist() for s, v in score("expected-abs", model, blocks, [(images, labels)]).items()}
    assert values["b"] == [pytest.approx(float(output.mean()))]


def on_a_grid(how: str, named: bool) -> Any:
    """A network that multiplies its map with, or adds to it, what a layer makes of constants, as many as 64 images."""

    def run(m: Net, x: Tensor) -> Tensor:
        x = m.stem(x).relu() * field(m) if how == "multiplied" else (m.stem(x) + field(m)).relu()
        return m.head(x.mean((2, 3)))  # type: ignore[no-any-return]

    shape, layer = ((64, 2), nn.Linear(2, 4)) if how == "multiplied" else ((1, 2, 8, 8), nn.Conv2d(2, 4, 1))
    grid = torch.linspace(-1, 1, 128, dtype=torch.float64).view(shape)
    known = nn.Parameter(grid, requires_grad=False) if named else grid  # or a plain attribute
    return lively(Net(run, stem=nn.Conv2d(2, 4, 1), layer=layer, head=nn.Linear(4, 3), grid=known))


def field(model: Net) -> Tensor:
    made: Tensor = model.layer(model.grid)
    return made if made.ndim == 4 else made.T.reshape(1, -1, 8, 8)


@pytest.mark.parametrize("how", ["multiplied", "added"])
@pytest.mark.parametrize("named", [True, False])
def test_what_a_layer_makes_of_constants_is_no_map_of_images(how: str, named: bool) -> None:
    model = on_a_grid(how, named)
    images = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        wanted = (model.stem(images) + (field(model) if how == "added" else 0)).relu().mean((0, 2, 3)).tolist()
    for size in (4, 3, 1):  # 4 divides the rows that the constants make, 3 does not
        batches = [(part, torch.zeros(len(part))) for part in torch.split(images, size)]
        found = score("expected-abs", model, structures(model, images[:1]), batches)
        assert {s.name: values.tolist() for s, values in found.items()} == {"stem": pytest.approx(wanted)}
