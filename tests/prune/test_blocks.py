"""Residual branches: which are found, and that a network without one is the network in which it says nothing."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net, lively
from windfirm.errors import CutError
from windfirm.models.checkpoint import load, save
from windfirm.models.cost import cost
from windfirm.models.expand import expand
from windfirm.models.registry import build
from windfirm.models.resnet import BasicBlock
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import Structure, anatomy


class PreNorm(nn.Module):
    """Two branches in one module, each normalised first, as transformers have them."""

    def __init__(self, width: int, in_place: bool = False) -> None:
        super().__init__()
        self.in_place = in_place
        self.norm1, self.mix = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.mlp = (
            nn.BatchNorm2d(width),
            nn.Sequential(nn.Conv2d(width, 8, 1), nn.GELU(), nn.Conv2d(8, width, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self.norm1(x))
        y: Tensor = self.mlp(self.norm2(x))
        if self.in_place:
            y += x
            return y
        return x + y


def around(block: nn.Module) -> Any:
    """The block between two convolutions."""
    return lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), block, nn.Conv2d(4, 3, 3)))


def blocks(model: nn.Module) -> dict[str, Structure]:
    return {s.name: s for s in anatomy(model, EXAMPLE).structures if s.kind == "block"}


def test_a_module_that_only_adds_a_branch_gives_way_to_identity() -> None:
    model = around(BasicBlock(4, 4, 1))
    (block,) = blocks(model).values()
    assert (block.name, block.size, block.frozen, block.replaced) == ("2", 1, None, {"2": "skip"})
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    by_hand = model[3](model[1](model[0](images)))
    assert torch.equal(smaller(images), by_hand)
    assert [name for name, _ in smaller.named_parameters()] == ["0.weight", "0.bias", "3.weight", "3.bias"]


@pytest.mark.parametrize("in_place", [False, True])
def test_each_of_two_branches_in_one_module_can_leave(in_place: bool) -> None:
    model = around(PreNorm(4, in_place))
    found = blocks(model)
    assert {name: dict(block.replaced) for name, block in found.items()} == {
        "2.mix": {"2.norm1": "skip", "2.mix": "silence"},
        "2.mlp": {"2.norm2": "skip", "2.mlp": "silence"},
    }
    smaller = cut(model, Cut({found["2.mlp"]: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    x = model[1](model[0](images))
    by_hand = model[3](x + model[2].mix(model[2].norm1(x)))
    assert torch.allclose(smaller(images), by_hand, rtol=1e-12, atol=1e-12)


PARALLEL: dict[str, tuple[Callable[[Any, Tensor], Tensor], list[str]]] = {
    "a sum": (lambda m, x: x + (m.a(x) + m.b(x)), ["silence", "silence"]),
    "a sum around it": (lambda m, x: (m.a(x) + m.b(x)) + x, ["silence", "silence"]),
    "a gate": (lambda m, x: x + m.a(x) * m.b(x).sigmoid(), ["silence", "skip"]),
    "a gate a channel": (
        lambda m, x: x + m.a(x).tanh() * m.b(x).mean((2, 3), keepdim=True).sigmoid(),
        ["silence", "skip"],
    ),
    "a scaled sum": (
        lambda m, x: x + 2 * (m.a(x).mean((2, 3), keepdim=True).expand_as(x) + m.b(x)),
        ["silence", "silence"],
    ),
    "a number beside": (lambda m, x: x + (m.a(x) + 1) * m.b(x), ["skip", "silence"]),
    "a difference": (lambda m, x: x + (m.a(x) - m.b(x) / 2), ["silence", "silence"]),
}


@pytest.mark.parametrize("how", PARALLEL)
def test_a_branch_of_paths_side_by_side_can_leave(how: str) -> None:
    run, words = PARALLEL[how]
    a, b = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
    model = around(Net(lambda m, x: F.silu(run(m, x)), a=a, b=b))
    (block,) = blocks(model).values()
    assert (block.name, dict(block.replaced)) == ("2.b", dict(zip(("2.a", "2.b"), words, strict=True)))
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    by_hand = model[3](F.silu(model[1](model[0](images))))
    assert torch.allclose(smaller(images), by_hand, rtol=1e-12, atol=1e-12)


WIDENING = {
    "joined": lambda m, x: x + m.out(torch.cat([m.a(x), m.b(x)], 1)),
    "down and up": lambda m, x: x + m.out(F.interpolate(m.a(F.max_pool2d(x, 2)).tile(1, 2, 1, 1), scale_factor=2)),
}


@pytest.mark.parametrize("how", WIDENING)
def test_a_branch_that_ends_with_another_shape_than_it_began_can_leave(how: str) -> None:
    a, b, out = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 4, 1)
    modules: dict[str, nn.Module] = {"a": a, "b": b, "out": out} if how == "joined" else {"a": a, "out": out}
    model = around(Net(lambda m, x: F.silu(WIDENING[how](m, x)), **modules))
    (block,) = blocks(model).values()
    assert (block.frozen, block.replaced["2.out"]) == (None, "zero")
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    by_hand = model[3](F.silu(model[1](model[0](images))))
    assert torch.allclose(smaller(images), by_hand, rtol=1e-12, atol=1e-12)


def test_each_branch_has_the_end_that_it_needs() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        joined = x + m.out(torch.cat([m.a(x), m.b(x)], 1))
        y: Tensor = m.c(F.silu(joined))
        y += joined
        return y

    a, b, c = (nn.Conv2d(4, 4, 1) for _ in range(3))
    found = blocks(around(Net(run, a=a, b=b, out=nn.Conv2d(8, 4, 1), c=c)))
    assert {name: (block.frozen, block.replaced[name]) for name, block in found.items()} == {
        "2.out": (None, "zero"),
        "2.c": (None, "silence"),
    }


def test_a_block_may_be_called_by_keyword() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, feature: Tensor) -> Tensor:
            return feature + self.conv(feature)  # type: ignore[no-any-return]

    model = around(Net(lambda m, x: m.second(feature=m.first(x)), first=Named(), second=Named()))
    found = blocks(model)
    assert {name: dict(block.replaced) for name, block in found.items()} == {
        "2.first": {"2.first": "skip"},
        "2.second": {"2.second": "skip"},
    }
    smaller = cut(model, Cut({found["2.second"]: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    assert torch.equal(smaller(images), model[3](model[2].first(model[1](model[0](images)))))


def test_rectifying_again_is_no_identity_for_what_was_not_rectified() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 4, 3), BasicBlock(4, 4, 1), nn.Conv2d(4, 3, 3)))
    (block,) = blocks(model).values()
    assert "skip" in block.replaced.values()
    assert "1" not in block.replaced  # its last rectifier has to stay
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    assert torch.allclose(smaller(images), model[2](F.relu(model[0](images))), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_added_to_a_multiple_leaves_that_multiple(swapped: bool) -> None:
    def run(m: Net, x: Tensor) -> Any:
        pair = (x, m.conv(x)) if swapped else (m.conv(x), x)
        return torch.add(*pair, alpha=0.5)

    model = around(Net(run, conv=nn.Conv2d(4, 4, 3, padding=1)))
    (block,) = blocks(model).values()
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    assert torch.equal(smaller(images), model[3](model[1](model[0](images)) * (1 if swapped else 0.5)))


NO_BRANCH = {
    "its output is used elsewhere": lambda m, x: (lambda y, f: m.c(y + f) + m.d(f))(m.a(x), m.b(m.a(x))),
    "another input goes in": lambda m, x: (lambda y, z: m.c(y + m.b(y * z)) + m.d(z))(m.a(x), m.a(x * 2)),
    "it does not come from what it is added to": lambda m, x: m.c(m.a(x) + m.b(m.a(x * 2))) + m.d(m.a(x)),
}


@pytest.mark.parametrize("why", NO_BRANCH)
def test_what_is_no_branch_of_its_own_is_not_found(why: str) -> None:
    convolutions = {name: nn.Conv2d(2 if name == "a" else 4, 4, 3, padding=1) for name in "abcd"}
    assert not blocks(lively(Net(NO_BRANCH[why], **convolutions)))


class Encoder(nn.Module):
    """Two residual branches with attention, as vision transformers write them; it hands on the first of two results."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.mlp = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.attention(x, x, x, need_weights=False)
        x = x + y
        return x + self.mlp(x)  # type: ignore[no-any-return]


def transformer(block: nn.Module) -> Any:
    return lively(nn.Sequential(nn.Conv2d(2, 4, 4, 4), nn.Flatten(2), nn.Linear(4, 4), block, nn.Flatten()))


@pytest.mark.parametrize("images", [1, 2, 3])
def test_a_module_that_returns_several_things_stays_whatever_the_batch(images: int) -> None:
    example = torch.zeros(images, 2, 8, 8, dtype=torch.float64)
    found = {s.name: s.frozen for s in anatomy(transformer(Encoder()), example).structures if s.kind == "block"}
    assert found == {"3.attention": "3.attention returns more than one tensor", "3.mlp": None}


def test_blocks_that_pytorchs_own_forward_looks_into_stay() -> None:
    block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=True)
    found = blocks(transformer(block))
    assert found
    assert all(structure.frozen for structure in found.values())


def test_a_block_that_the_code_around_it_asks_for_more_than_its_work_stays_with_the_reason() -> None:
    class Tapped(BasicBlock):
        tap = False

    def run(m: Any, x: Tensor) -> Tensor:
        x, taps = m.conv(x), []
        for block in m.blocks:
            x = block(x)
            if block.tap:
                taps.append(x)
        out: Tensor = m.head(x.mean((2, 3)))
        return out

    parts = {"blocks": nn.Sequential(Tapped(8, 8, 1), BasicBlock(8, 8, 1)), "head": nn.Linear(8, 2)}
    model = lively(Net(run, conv=nn.Conv2d(2, 8, 3), **parts))
    model.blocks[1].tap = False
    assert {name: block.frozen for name, block in blocks(model).items()} == {
        "blocks.0.bn2": None,  # the block stays where it is, and what it adds is zero
        "blocks.1": "the network does not run without it: 'Skip' object has no attribute 'tap'",
    }


def test_a_branch_whose_work_would_stay_is_no_block() -> None:
    class NonLocal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.out = (nn.Conv2d(4, 4, 1) for _ in range(3))
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.a(x).flatten(2), self.b(x).flatten(2)
            return self.norm(x + self.out(((a @ b.transpose(1, 2)) @ a).view_as(x)))  # type: ignore[no-any-return]

    assert not blocks(around(NonLocal()))


def test_blocks_and_filters_leave_together_and_the_cost_is_foretold(tmp_path: Any) -> None:
    model = lively(build("resnet20"))
    example = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    body = anatomy(model, example)
    found = [s for s in body.structures if s.kind == "block" and s.frozen is None]
    assert [s.name for s in found] == [
        "layer1.0",
        "layer1.1",
        "layer1.2",
        "layer2.1",
        "layer2.2",
        "layer3.1",
        "layer3.2",
    ]
    removed = {body.named("layer1.1.conv1"): (0, 5), body.named("layer2.1.conv1"): (3,), found[1]: (0,), found[5]: (0,)}
    smaller = cut(model, Cut(removed), example)
    real = cost(smaller, example)
    assert (body.macs(removed), body.params(removed)) == (real.macs, real.params)
    smaller = smaller.float()
    save(smaller, tmp_path / "s.safetensors", arch="resnet20")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load(tmp_path / "s.safetensors")(images), smaller(images))


class Named(nn.Sequential):
    """The last block has another name as well, and the blocks share a weight."""

    def __init__(self) -> None:
        first, second = BasicBlock(4, 4, 1), BasicBlock(4, 4, 1)
        second.conv1.weight = first.conv1.weight
        super().__init__(nn.Conv2d(2, 4, 3), nn.ReLU(), first, second, nn.Conv2d(4, 3, 3))
        self.head = nn.Module()
        self.head.last = second

    def forward(self, x: Tensor) -> Tensor:
        return self[4](self[3](self[2](self[1](self[0](x)))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("names", ["2", "3", "23"])
def test_a_block_leaves_under_all_its_names_and_what_it_shares_with_the_last_that_holds_it(
    tmp_path: Path, names: str
) -> None:
    model, images = lively(Named()), torch.randn(3, 2, 8, 8, dtype=torch.float64)
    body = anatomy(model, EXAMPLE)
    removed = {body.named(name): (0,) for name in names}
    smaller = cut(model, Cut(removed), EXAMPLE)
    left = {"2": ("3", "head.last"), "3": ("2",), "23": ()}[names]
    assert {name for name, m in smaller.named_modules(remove_duplicate=False) if isinstance(m, BasicBlock)} == {*left}
    assert body.params(removed) == cost(smaller, EXAMPLE).params == sum(p.numel() for p in smaller.parameters())
    save(smaller, tmp_path / "m")
    assert torch.allclose(load(tmp_path / "m", Named)(images.float()).double(), smaller(images), atol=1e-4)
    assert torch.allclose(expand(smaller)(images), smaller(images), rtol=1e-12)


class Plain(nn.Module):
    """A residual block that ends with its addition; what follows rectifies the sum in place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Any:
        return x + self.b(self.a(x).relu())


@pytest.mark.parametrize("plain", [False, True])
def test_what_is_left_without_a_layer_can_be_trained_and_cut_again(plain: bool) -> None:
    layer = (nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)) if plain else (Plain(4),)
    ends = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)), nn.Conv2d(4, 3, 3)
    model = lively(nn.Sequential(ends[0], *layer, nn.ReLU(inplace=True), ends[1]))
    body = anatomy(model, EXAMPLE, plain=plain)
    (block,) = (s for s in body.structures if s.kind == "block")
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE, body=body).train()
    by_hand = copy.deepcopy(nn.Sequential(ends[0], nn.ReLU(), ends[1])).train()
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    for network in (smaller, by_hand):
        network(images).square().sum().backward()
    slopes = [[p.grad for p in network.parameters()] for network in (smaller, by_hand)]
    assert all(map(torch.equal, *slopes))
    (filters,) = (s for s in anatomy(smaller, EXAMPLE).structures if s.frozen is None)
    assert cut(smaller, Cut({filters: (1, 2)}), EXAMPLE).get_parameter("0.0.weight").shape[0] == 2


def test_layers_of_a_plain_chain_leave_on_request_alone() -> None:
    def layer(i: int, o: int) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]

    model = lively(nn.Sequential(*layer(2, 4), *layer(4, 4), *layer(4, 4), nn.Conv2d(4, 3, 3)))
    assert not blocks(model)
    body = anatomy(model, EXAMPLE, plain=True)
    found = {s.name: s for s in body.structures if s.kind == "block"}
    assert {name: dict(s.replaced) for name, s in found.items()} == {
        "3": {"3": "skip", "4": "skip"},
        "6": {"6": "skip", "7": "skip"},
    }
    removed = {found["3"]: (0,), body.named("0"): (2,)}
    smaller = cut(model, Cut({found["3"]: (0,)}), EXAMPLE, body=body)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    by_hand = model[6:](model[:3](images).relu())
    assert torch.allclose(smaller(images), by_hand, rtol=1e-12, atol=1e-12)
    assert body.macs({found["3"]: (0,)}) == cost(smaller, EXAMPLE).macs
    again = lively(nn.Sequential(*layer(2, 4), *layer(4, 4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 3)))
    again.insert(7, again[4])  # a normalisation that another layer needs as well
    assert [s.name for s in anatomy(again, EXAMPLE, plain=True).structures if s.kind == "block"] == []
    # Filters that the layer tied to each other are no longer alike without it: refused, and never wrong.
    with pytest.raises(CutError):
        cut(model, Cut(removed), EXAMPLE, body=body)
