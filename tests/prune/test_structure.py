from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net, lively, proved, random_cut
from windfirm.models.cost import cost
from windfirm.models.registry import build
from windfirm.models.shrink import shrink
from windfirm.prune.select import eligible
from windfirm.prune.structure import Anatomy, Slice, anatomy, inside, structures

IMAGE = torch.zeros(1, 3, 32, 32)


def body(arch: str) -> Anatomy:
    return anatomy(build(arch), IMAGE)


def slices(network: Anatomy, name: str) -> dict[tuple[str, int], Slice]:
    return {(piece.tensor, piece.axis): piece for piece in network.named(name).slices}


def test_a_chain_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3)).double()
    first, last = structures(model, EXAMPLE)
    each = tuple((i,) for i in range(4))
    assert first.slices == (
        Slice("0.weight", 0, 4, "out", each),
        Slice("0.bias", 0, 4, "along", each),
        Slice("1.weight", 0, 4, "along", each),
        Slice("1.bias", 0, 4, "along", each),
        Slice("3.weight", 1, 4, "in", each),
        Slice("1.running_mean", 0, 4, "along", each),
        Slice("1.running_var", 0, 4, "along", each),
    )
    assert (first.name, first.kind, first.size, first.frozen) == ("0", "filters", 4, None)
    assert (last.name, last.size, last.frozen) == ("3", 3, "an output of the network")


def test_the_inner_groups_of_resnet56() -> None:
    inner = eligible(body("resnet56").structures, ("conv1", "layer*.conv2*"))
    assert len(inner) == 27
    assert sum(s.size for s in inner) == 1008
    assert {s.name for s in inner} == {f"layer{i}.{j}.conv1" for i in (1, 2, 3) for j in range(9)}


def test_a_residual_sum_ties_all_its_producers_over_every_stage() -> None:
    network = body("resnet56")
    stage = network.named("conv1")
    producers = [piece.tensor for piece in stage.producers]
    assert producers == ["conv1.weight"] + [f"layer{i}.{j}.conv2.weight" for i in (1, 2, 3) for j in range(9)]
    assert len(producers) == 28
    assert stage.size == 16
    pieces = slices(network, "conv1")
    # The padding shortcut puts the 16 channels behind 8 and then 24 zeros.
    assert pieces["layer2.0.conv2.weight", 0].indices[0] == (8,)
    assert pieces["layer3.0.conv2.weight", 0].indices[15] == (39,)
    assert pieces["linear.weight", 1].indices[15] == (39,)


def test_depthwise_channels_leave_with_their_expansion() -> None:
    network = body("mobilenet-v2")
    wide = slices(network, "features.3.expand")
    assert network.named("features.3.expand").frozen is None
    assert {(name.removeprefix("features.3."), axis) for name, axis in wide} == {
        ("expand.weight", 0),
        ("depthwise.weight", 0),
        ("project.weight", 1),
        *((f"{bn}.{part}", 0) for bn in ("expand_bn", "depthwise_bn") for part in ("weight", "bias")),
        *((f"{bn}.{part}", 0) for bn in ("expand_bn", "depthwise_bn") for part in ("running_mean", "running_var")),
    }
    assert not any("depthwise" in s.name for s in network.structures)


def test_vgg_is_a_chain_of_thirteen_into_a_linear_layer() -> None:
    network = body("vgg16-bn")
    free = eligible(network.structures)
    assert [s.size for s in free] == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert slices(network, "features.conv5_3")["linear.weight", 1].indices[511] == (511,)
    assert [(s.name, s.frozen) for s in network.structures if s.frozen] == [("linear", "an output of the network")]


def test_flatten_gives_every_channel_its_positions() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(12, 5)).double()
    read = structures(model, EXAMPLE)[0].slices[-1]
    assert (read.tensor, read.axis, read.indices) == ("3.weight", 1, ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)))


@pytest.mark.parametrize("arch", ["resnet20", "mobilenet-v2", "vgg16-bn"])
def test_the_cost_of_a_cut_is_foretold_exactly(arch: str) -> None:
    model = build(arch)
    network = anatomy(model, IMAGE)
    chosen = random_cut(model, IMAGE, 0.4, seed=3)
    assert network.macs() == cost(model, IMAGE).macs
    assert network.params() == cost(model, IMAGE).params
    shrink(model, chosen.kept())
    real = cost(model, IMAGE)
    assert (network.macs(chosen.removed), network.params(chosen.removed)) == (real.macs, real.params)
    assert Fraction(real.macs, network.macs()) < 1


def test_the_cost_without_a_block_is_less_by_all_that_is_in_it() -> None:
    network = body("resnet20")
    removed = {network.named(name): (0,) for name in ("layer1.1", "layer3.2")}
    parts = [(16, 32), (64, 8)]  # channels, and the side of their maps: two convolutions and two normalisations each
    assert network.macs() - network.macs(removed) == sum(2 * 9 * wide**2 * side**2 for wide, side in parts)
    assert network.params() - network.params(removed) == sum(2 * 9 * wide**2 + 4 * wide for wide, _ in parts)
    assert network.params(dict.fromkeys(removed, ())) == network.params()


def test_the_cost_is_per_image_and_counts_attention_and_shared_layers() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        y = m.b(m.b(m.a(x))).flatten(2)
        return torch.bmm(y, y.transpose(1, 2))

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 4, 1)))
    expected = 36 * 4 * 2 * 9 + 2 * 36 * 16 + 4 * 36 * 4
    assert anatomy(model, EXAMPLE).macs() == expected == cost(model, EXAMPLE).macs
    assert anatomy(model, EXAMPLE.expand(5, -1, -1, -1)).macs() == expected


def test_what_it_costs_to_make_a_weight_is_that_whatever_the_batch() -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.b(F.conv2d(m.a(x), m.w + (m.up @ m.down).view_as(m.w)))

    w, up, down = (nn.Parameter(torch.zeros(shape)) for shape in ((4, 4, 3, 3), (4, 2), (2, 36)))
    model = lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 3, 1), w=w, up=up, down=down))
    expected = 36 * 4 * 2 * 9 + 4 * 2 * 36 + 16 * 4 * 4 * 9 + 16 * 4 * 3
    for images in (1, 5):
        assert anatomy(model, EXAMPLE.expand(images, -1, -1, -1)).macs() == expected == cost(model, EXAMPLE).macs


def rows(m: Net, x: Tensor) -> Tensor:
    made: Tensor = m.a(x).flatten(2).transpose(1, 2)
    return made


PRODUCTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm": (lambda m, x: m.z(m.r(rows(m, x))[0]), {"r": nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True)}),
    "projected lstm": (lambda m, x: m.z(m.r(rows(m, x))[0]), {"r": nn.LSTM(4, 9, batch_first=True, proj_size=6)}),
    "gru": (lambda m, x: m.z(m.r(rows(m, x))[1][-1]), {"r": nn.GRU(4, 6, batch_first=True)}),
    "rnn": (lambda m, x: m.z(m.r(rows(m, x).transpose(0, 1))[0][-1]), {"r": nn.RNN(4, 6)}),
    "a cell": (lambda m, x: m.z(m.r(rows(m, x)[:, 0])[0]), {"r": nn.LSTMCell(4, 6)}),
    "a token": (lambda m, x: m.z(m.t.expand(len(x), 6)) + m.b(m.a(x))[:, :, 0, 0], {"t": nn.Parameter(torch.rand(6))}),
    "bilinear": (lambda m, x: m.z(m.r(m.a(x).mean((2, 3)), m.a(x).amax((2, 3)))), {"r": nn.Bilinear(4, 4, 6)}),
    "by a vector": (lambda m, x: m.b(m.a(x)).flatten(2) @ m.v, {"v": nn.Parameter(torch.rand(36))}),
    "added to a vector": (lambda m, x: m.b(m.a(x)) + torch.addmv(m.v, m.z.weight, m.v @ m.z.weight)[:, None, None],
                          {"v": nn.Parameter(torch.rand(3))}),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_that_is_made_counts_before_and_after_a_cut(name: str) -> None:
    run, modules = PRODUCTS[name]
    model = lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 3, 1), z=nn.Linear(6, 3), **modules))
    model = lively(nn.Sequential(nn.Conv2d(2, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1), model))
    for images in (1, 3):
        example = EXAMPLE.expand(images, -1, -1, -1)
        network = anatomy(model, example)
        assert network.macs() == cost(model, example).macs
        smaller, chosen, _ = proved(model, example)
        assert chosen.units
        assert network.macs(chosen.removed) == cost(smaller, example).macs


def test_the_tenth_block_is_not_inside_the_first() -> None:
    assert inside("layer1.1", ["layer1.1"])
    assert inside("layer1.1.conv1.weight", ["layer2.0", "layer1.1"])
    assert not inside("layer1.10.conv1.weight", ["layer2.0", "layer1.1"])


class _TwoWays(nn.Module):
    """Another layer for large images, and one for training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.large, self.extra = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 5, 1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if x.shape[-1] > 16:
            x = self.large(x)
        y: Tensor = self.last(x)
        return y + self.extra(x).mean() if self.training else y


def test_a_layer_that_the_example_never_ran_stays_with_its_reason() -> None:
    def frozen(side: int) -> dict[str, str | None]:
        return {s.name: s.frozen for s in structures(_TwoWays(), torch.zeros(1, 3, side, side))}

    assert frozen(8)["large"] == "it did not run on the example"
    assert frozen(32)["large"] is None
    assert "did not run" not in str(frozen(32))


def test_a_network_without_parameters_has_no_structures() -> None:
    assert structures(nn.Sequential(nn.Flatten()), EXAMPLE) == ()


def test_a_network_is_not_touched_by_looking_at_it() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    structures(model, EXAMPLE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model._forward_hooks
